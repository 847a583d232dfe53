"""Embedding: from a crop to a point on the unit sphere.

In go crops; out come vectors that are near each other for one instance: learned ones from the
network, or plain descriptors to compare them with. Weights come with a card and a calibrated
threshold.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "embedder": ("Embedder",),
        "runtimes": ("OnnxNetwork",),
        "export": ("describe",),
        "network": ("build_network",),
        "imagenet": ("fetch_mobilenet", "fill_mobilenet"),
        "tensorflow": ("tf", "tfa"),
        "weights": ("calibration_path", "load_weights", "save_weights"),
        "calibration_record": ("Calibration",),
        "descriptors": ("DESCRIPTORS", "hsv_histogram", "raw_pixels"),
    },
)
