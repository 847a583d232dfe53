"""Gallery: the instances seen so far.

In go embeddings with their IDs; out come the nearest IDs of a query with their L2 distances, not
squared, in milliseconds up to a million views. What it holds is saved whole or not at all.

From the bottom up: `arguments` are checked; `undo` takes back; `inverted_file` sorts vectors into
cells; `vector_index` holds them and searches; `identities` says whose they are; `contents` puts
these together; `audit` checks all of it; `gallery_file` takes it to the disk, and `file_lock` lets
one process at a time update that; `gallery` is public.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "gallery": ("Gallery",),
        "gallery_file": ("GalleryFileError",),
        "file_lock": ("locked",),
        "audit": ("GalleryCorruptError",),
    },
)
