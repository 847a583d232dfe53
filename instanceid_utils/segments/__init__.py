"""Segments: from the masks of a frame to square crops.

In go a label map or a stack of masks, and the frame; out come `Segments` (box, area and mask of
each) and their crops, everything that is not the segment filled with grey.
"""

from instanceid_utils.segments.crops import (
    CROP_SIZE,
    FILL,
    MARGIN,
    cut_crops,
    square_boxes,
    with_background,
)
from instanceid_utils.segments.segments import Segments, box_segments, check_frame, find_segments
from instanceid_utils.segments.white_balance import shades_of_grey

__all__ = [
    "CROP_SIZE",
    "FILL",
    "MARGIN",
    "Segments",
    "box_segments",
    "check_frame",
    "cut_crops",
    "find_segments",
    "shades_of_grey",
    "square_boxes",
    "with_background",
]
