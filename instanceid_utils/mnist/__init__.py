"""MNIST: crops as IDX files, which every MNIST reader takes.

In goes the folder of an extraction, or one with a folder of images per identity; out come the
files of the MNIST format, and arrays from them.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "idx": ("IdxReader", "IdxWriter", "read_idx", "write_idx"),
        "mnist_files": ("read_mnist", "write_mnist"),
    },
)
