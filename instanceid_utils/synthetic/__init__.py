"""Synthetic: instances that never were, drawn from a seed.

In goes a seed; out come annotated video in the DAVIS layout, clips, and tracklets of crops:
people, animals, vehicles and things under moving light and cameras, and crowds of walkers.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "dataset": ("TEST_PLOTS", "Plot", "draw_sequence", "generate"),
        "crowd": ("draw_crowd", "generate_crowds"),
        "clips": ("draw_visits", "write_clip", "write_clips"),
        "crowd_views": ("draw_crowd_views",),
        "populations": ("crowd_population", "population"),
        "tracklets": ("draw_tracklet", "draw_tracklets"),
    },
)
