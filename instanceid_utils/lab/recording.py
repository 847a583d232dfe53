"""Watch a video once, and keep what looking at it again needs: for the tracker widget.

The frames are kept as JPEG and the masks as PNG, some 50 to 200 kB a frame, so that any of them
is there at once; the observations are made from the frames as they were.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.app.mask_feed import MaskFeed
from instanceid_utils.data.lazy_frames import LazySequence
from instanceid_utils.formats.palette import MAX_ID, id_map
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.tracking.observation import observe
from instanceid_utils.video.reader import video_info


class Recording(NamedTuple):
    """What `record_video` keeps, as `lab.tracker_widget` takes it."""

    frames: LazySequence  # of ndarray (H, W, 3), uint8
    label_maps: LazySequence  # of ndarray (H, W), uint8 or uint16
    observations: list  # of tracking.Observation


def record_video(
    source,
    embedder,
    *,
    masks=None,
    segmenter=None,
    min_area=None,
    min_score=None,
    stop: int | None = None,
    progress: bool = True,
    **options,
):
    """Watch a video once; a frame without masks counts as one without segments.

    Parameters
    ----------
    source, masks, segmenter, min_area, min_score
        As for `app.track_video`.
    embedder : embedding.Embedder
    stop : int, optional
        Watch this many frames at most.
    progress : bool
        Show a progress bar.
    **options
        ``format``, ``sequence``, ``first_number``, ``fps`` of `app.track_video`.

    Returns
    -------
    Recording
    """
    info = video_info(source, fps=options.get("fps"))
    feed = MaskFeed(
        source,
        info,
        masks,
        segmenter=segmenter,
        clean={"min_area": min_area, "min_score": min_score},
        **options,
    )
    pictures, label_maps, observations = [], [], []
    expected = min(filter(None, (stop, info.n_frames)), default=None)
    with tqdm(total=expected, unit=" frames", disable=not progress) as bar:
        for frame, found in feed.frames():
            if stop is not None and len(pictures) >= stop:
                break
            segments = (
                find_segments(np.zeros(frame.image.shape[:2], np.uint8))
                if found is None
                else found.segments
            )
            observations.append(
                observe(embedder, frame.image, segments if found is None else found)
            )
            label_map = _label_map(segments)
            quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
            pictures.append(cv2.imencode(".jpg", frame.image[..., ::-1], quality)[1])
            label_maps.append(cv2.imencode(".png", label_map)[1])
            bar.update()
    return Recording(
        LazySequence(
            lambda t: cv2.imdecode(pictures[t], cv2.IMREAD_COLOR)[..., ::-1].copy(), len(pictures)
        ),
        LazySequence(lambda t: cv2.imdecode(label_maps[t], cv2.IMREAD_UNCHANGED), len(label_maps)),
        observations,
    )


def _label_map(segments):
    """Draw the segments by label, or numbered in their order where a PNG cannot hold a label."""
    labels = segments.labels
    fits = labels.max(initial=0) <= MAX_ID
    return id_map(segments, labels if fits else np.arange(1, len(segments) + 1))
