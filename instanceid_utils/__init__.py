"""InstanceID: a lasting identity for every segmented object of a video.

A segment becomes an embedding learned with triplet loss; a gallery holds the embeddings
of the instances seen so far; a segment close enough to one of them gets its ID again,
any other segment gets a new one.
"""

from importlib import import_module

__version__ = "1.0.0"
__all__ = ["Embedder", "InstanceID"]

_HOME = {"Embedder": "embedding", "InstanceID": "tracking"}


def __getattr__(name):
    # TensorFlow takes seconds to import, and reading an IDX file needs none of it.
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
