"""Tracking: from the segments of a frame to lasting IDs.

In go a frame and its masks; out comes an `Update`: an ID for each segment, with the reason. A
segment is compared with the gallery and with who is expected at its place; all evidence is
weighed on one scale, the lowest cost below the threshold wins, and what nobody claims is new.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "tracker": ("InstanceID",),
        "observation": ("Observation", "Update", "observe", "observe_together"),
        "decision": ("NO_ID", "Choice", "Decision", "choose", "explain", "write_jsonl"),
        "candidates": ("Candidates", "gather", "weigh"),
        "place": ("Expected", "PlaceMemory"),
        "boxes": ("box_iou",),
        "shots": ("ShotDetector",),
        "classes": ("ClassMemory",),
        "evidence": ("PARTS", "Evidence"),
        "habits": ("Habits",),
        "healing": ("Strains", "younger_group"),
        "meetings": ("covered_pairs", "fragments", "merged"),
        "probation": ("Probation",),
        "second_look.sightings": ("make_sightings", "sighting_dtype"),
        "second_look.joining": ("SecondLook", "look_again"),
        "second_look.regrouping": ("regroup",),
        "second_look.whole_video": ("TrackedVideo", "track"),
        "abstention": ("Abstention", "final_id"),
    },
)
