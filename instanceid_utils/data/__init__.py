"""Data: annotated video, and the crops of its segments, on disk and in memory.

In goes a folder in the DAVIS 2017 layout; out come its frames and label maps one by one, or the
crops of all segments with a manifest that says where each is from and on which side it is.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "davis": ("DavisDataset", "Frame", "natural_key"),
        "image_files": (
            "MAX_PIXELS",
            "davis_palette",
            "read_image",
            "read_label_map",
            "read_rgba",
            "write_label_map",
            "write_rgba",
        ),
        "lazy_frames": ("LazySequence", "open_sequence"),
        "manifest": ("load_crops", "read_manifest", "split_by_identity"),
        "extraction": ("Extraction", "extract"),
        "segment_sets": ("SegmentSet", "collect", "from_manifest"),
        "download": ("fetch_davis", "unpack_zip"),
    },
)
