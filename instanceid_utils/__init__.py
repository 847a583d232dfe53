"""InstanceID: a lasting identity for every segmented object of a video.

A segment becomes an embedding learned with triplet loss; a gallery holds the embeddings
of the instances seen so far; a segment close enough to one of them gets its ID again,
any other segment gets a new one.

The rooms, in the order of a segment's way: `segments`, `data`, `mnist`, `formats`, `video`,
`embedding`, `gallery`, `tracking`, `evaluation`, `synthetic`, `training`, `pictures`, `app`, `lab`.
"""

from typing import TYPE_CHECKING

from instanceid_utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from instanceid_utils.embedding.embedder import Embedder as Embedder
    from instanceid_utils.gallery.gallery import Gallery as Gallery
    from instanceid_utils.mnist.idx import read_idx as read_idx
    from instanceid_utils.mnist.idx import write_idx as write_idx
    from instanceid_utils.tracking.second_look.whole_video import track as track
    from instanceid_utils.tracking.tracker import InstanceID as InstanceID

__version__ = "1.2.0"
__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "embedding.embedder": ("Embedder",),
        "gallery.gallery": ("Gallery",),
        "mnist.idx": ("read_idx", "write_idx"),
        "tracking.tracker": ("InstanceID",),
        "tracking.second_look.whole_video": ("track",),
    },
)
