"""The one place that imports TensorFlow and TensorFlow Addons, and keeps them quiet."""

import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with warnings.catch_warnings():
    # Both import-time warnings (TFA's end of life, its range of TensorFlow versions) are
    # answered by the pinned versions; a user can do nothing about them.
    warnings.simplefilter("ignore")
    import tensorflow as tf
    import tensorflow_addons as tfa

tf.get_logger().setLevel("ERROR")

__all__ = ["tf", "tfa"]
