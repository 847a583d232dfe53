"""App: a video file in, a folder of results out.

In go a video and, if there are any, its masks; out come the tracked video, masks and text with
lasting IDs, decisions, a contact sheet and a timeline. What is written when it is stopped is
valid, and can be gone on with.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "video_tracking": ("Interrupted", "TrackResult", "track_video"),
        "outputs": ("OUTPUTS", "TrackOutputs", "TrackedFrame"),
        "mask_feed": ("MaskFeed",),
        "re_embedding": ("re_embed",),
        "threads": ("Ahead", "Behind"),
    },
)
