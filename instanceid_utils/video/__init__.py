"""Video: frames in, pictures with IDs out.

In go files, folders of images, streams and cameras, as `VideoFrame` one by one; out go video
files, and frames with masks, IDs and tails drawn on them. A segmenter finds what
moves where a video has no masks.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "reader": ("VideoFrame", "VideoInfo", "image_files", "read_video", "video_info"),
        "writer": ("VideoError", "VideoWriter"),
        "overlay": ("Overlay", "draw_ids", "id_colour"),
        "segmenters": ("BackgroundSegmenter", "Segmenter", "TorchvisionSegmenter"),
    },
)
