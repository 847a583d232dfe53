"""A second look at a finished video: what no single frame could tell.

In go the sightings of all IDs; they are cut where their looks change for good and joined anew by
all their views. Out come final IDs, and a gallery that agrees with them.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "sightings": ("good_views", "make_sightings", "sighting_dtype"),
        "tracklets": ("Limits", "Tracklet", "cut_tracks"),
        "joining": ("SecondLook", "Weights", "look_again", "set_distances"),
        "regrouping": ("regroup",),
        "whole_video": ("TrackedVideo", "deal", "track"),
    },
)
