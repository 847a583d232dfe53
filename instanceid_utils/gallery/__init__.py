"""Gallery: the instances seen so far.

In go embeddings with their IDs; out come the nearest IDs of a query with their L2 distances, not
squared, in milliseconds up to a million views. What it holds is saved whole or not at all.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "gallery": ("Gallery",),
        "gallery_file": ("GalleryFileError",),
        "audit": ("GalleryCorruptError",),
    },
)
