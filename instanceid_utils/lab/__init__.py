"""Lab: what runs in JupyterLab.

In goes a video that is watched once; out comes a widget in which IDs are decided again with
another threshold, explained, merged, named and saved.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "widgets": ("TrackerWidget", "tracker_widget"),
        "recording": ("Recording", "record_video"),
        "review": ("Review",),
    },
)
