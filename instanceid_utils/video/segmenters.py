"""Masks for a video that has none: a protocol of one method, and two that follow it.

`BackgroundSegmenter` needs no weights and no network, only a camera that stands still. What it
sees is change: an object that stops for very long fades into the background, one that leaves where
it had stood since the start leaves a ghost, and objects that were never seen apart may come as one.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import cv2
import numpy as np

from instanceid_utils.segments.segments import check_frame
from instanceid_utils.video.background import Background
from instanceid_utils.video.parting import KnownObjects, part_blob, thickness

CHECK = 8  # frames after which what stands still is looked at for being a ghost
MOSTLY = 0.6  # of the frame: beyond it the light or the camera has changed


class Segmenter(Protocol):
    """Anything that finds the objects of a frame.

    ``stateful`` (False unless told) says that masks depend on the frames before, so that
    tracking that is resumed has to show it those again.
    """

    def segment(self, frame: np.ndarray) -> Any:
        """Find the objects of one frame, uint8 RGB (H, W, 3).

        Returns
        -------
        object
            Masks in any form that `instanceid_utils.formats.from_model` knows.
        """


class BackgroundSegmenter:
    """Find what moves before a fixed camera, by background subtraction.

    Parameters
    ----------
    method : {"mog2", "knn"}
        Zivkovic 2004 (mixture of Gaussians) or Zivkovic and van der Heijden 2006 (nearest
        neighbours), as OpenCV has them. Both tell shadows, which are removed.
    memory : int
        Frames, about, for which an object that stands still is seen, and after which what an
        object has left behind is forgotten.
    sensitivity : float
        1 is OpenCV's own threshold; higher finds more, and more noise.
    min_area : float
        Smallest object, as a fraction of the frame.
    min_thickness : float
        What is everywhere narrower than this part of the root of its area (a tape in the wind,
        the edge of a wall as the camera shakes) is no object.
    split : float
        Objects that touch are parted at a neck narrower than the smaller of them by this
        fraction; 1 parts none there. Objects that were seen apart before are parted without a
        neck, too: see `parting.KnownObjects`.
    warm_up : int
        Frames at the start for which nothing is reported, while the background is learned.
    persist : int
        An object is reported from the frame on in which it is seen for this time, at about the
        same place and size: noise and pieces of objects come and go. 1 reports all at once.
    hold : int
        Frames for which an object that has come and stands still does not begin to fade. What
        was never seen to move is not held. Only "mog2" can; 0 holds nothing.

    Examples
    --------
    >>> segmenter = BackgroundSegmenter(warm_up=1, persist=1)
    >>> still = np.full((60, 80, 3), 90, np.uint8)
    >>> moved = still.copy()
    >>> moved[20:40, 30:50] = 200
    >>> [int(segmenter.segment(f).max()) for f in [still] * 5 + [moved]]
    [0, 0, 0, 0, 0, 1]
    """

    stateful = True

    def __init__(
        self,
        method: str = "mog2",
        *,
        memory: int = 150,
        sensitivity: float = 1.0,
        min_area: float = 5e-4,
        min_thickness: float = 0.4,
        split: float = 0.3,
        warm_up: int = 10,
        persist: int = 3,
        hold: int = 300,
    ):
        if method not in ("mog2", "knn"):
            raise ValueError(f'method: expected "mog2" or "knn", got {method!r}')
        if memory < 1 or not sensitivity > 0 or not 0 <= min_area < 1 or not 0 < split <= 1:
            raise ValueError(
                "expected memory >= 1, sensitivity > 0, 0 <= min_area < 1 and "
                f"0 < split <= 1, got {memory}, {sensitivity}, {min_area}, {split}"
            )
        if warm_up < 0 or persist < 1 or hold < 0:
            raise ValueError(
                "expected warm_up >= 0, persist >= 1 and hold >= 0, "
                f"got {warm_up}, {persist} and {hold}"
            )
        self.method, self.memory, self.sensitivity = method, int(memory), float(sensitivity)
        self.min_area, self.min_thickness = float(min_area), float(min_thickness)
        self.split, self.warm_up, self.persist = float(split), int(warm_up), int(persist)
        self.hold = int(hold)
        self._frame_shape = None

    def segment(self, frame: np.ndarray) -> np.ndarray:
        """Find the moving objects of the next frame.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3), uint8
            RGB. Another size than before starts anew.

        Returns
        -------
        ndarray of shape (H, W), int32
            Label map, numbered anew in each frame.
        """
        check_frame(frame)
        if frame.shape != self._frame_shape:
            self._start(frame.shape)
        self._count += 1
        mask = self._background.changed(frame)
        if self._count <= self.warm_up or mask.mean() > 255 * MOSTLY:
            self._background.learn()
            return np.zeros(frame.shape[:2], np.int32)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, self._small)
        mask = filled(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._large))
        blobs = list(self._blobs(mask))
        label_map = self._label(blobs, frame)
        self._background.learn(self._held(blobs))
        return label_map

    def _start(self, shape):
        self._background = Background(
            self.method, self.memory, self.sensitivity, holds=self.hold > 0
        )
        self._frame_shape, self._count = shape, 0
        self._smallest = max(1, self.min_area * shape[0] * shape[1])
        self._persistence = Persistence(self.persist)
        self._known = KnownObjects(self.persist)
        tall = 2 * max(3, round(min(shape[:2]) / 80))
        self._small = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
        # High and narrow: it joins head, body and legs, and not those who walk side by side.
        self._large = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, tall))

    def _blobs(self, mask):
        """Yield place and mask of all that is large enough."""
        n, blobs, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for i in range(1, n):
            left, top, width, height, area = stats[i].tolist()
            if area >= self._smallest:
                here = slice(top, top + height), slice(left, left + width)
                yield here, blobs[here] == i

    def _label(self, blobs, frame):
        self._known.expect()
        parts, alone, whole = [], [], []
        for here, blob in blobs:
            shares = self._known.divide(blob, here, frame)
            divided = len(shares) > 1
            if not divided:
                shares = part_blob(blob, self.split)
            found = [(here, part) for part in shares if self._is_object(part)]
            parts += found
            if not divided:
                alone += found
                whole += [len(shares) == 1] * len(found)
        self._known.observe(alone, whole, frame)
        ages = self._persistence.ages([_centre_and_area(*part) for part in parts])
        label_map = np.zeros(frame.shape[:2], np.int32)
        lasting = [part for part, age in zip(parts, ages) if age >= self.persist]
        for label, (here, part) in enumerate(lasting, 1):
            label_map[here][part] = label
        return label_map

    def _is_object(self, part):
        """Tell whether it is large and thick enough."""
        area = np.count_nonzero(part)
        return area >= self._smallest and thickness(part) >= self.min_thickness * np.sqrt(area)

    def _held(self, blobs):
        """Return where the background is not learned: at what has come, and not for ever."""
        if self._count % CHECK == 0:
            standing = self._known.at_rest()
            ghosts = self._background.left_behind([(one.here, one.mask) for one in standing])
            for one, is_ghost in zip(standing, ghosts):
                one.n_still = np.inf if is_ghost else one.n_still
        held = np.zeros(self._frame_shape[:2], np.uint8)
        for here, blob in blobs:
            if self._known.has_come(blob, here, self.hold):
                held[here] |= blob
        return held


def _centre_and_area(here, part):
    rows, columns = np.nonzero(part)
    return here[1].start + columns.mean(), here[0].start + rows.mean(), len(rows)


class TorchvisionSegmenter:
    """Mask R-CNN of torchvision, as an example of a model behind the protocol.

    Needs ``torch`` and ``torchvision``, which are no part of this package and are imported when
    an object is made.

    Parameters
    ----------
    model : torch.nn.Module, optional
        In evaluation mode; ``maskrcnn_resnet50_fpn_v2`` with its COCO weights unless given.
    classes : set of int, optional
        COCO categories to keep (1 is a person); all by default.
    device : str
        Such as "cpu" or "cuda".
    """

    def __init__(self, model=None, *, classes=None, device: str = "cpu"):
        torch = _import("torch")
        if model is None:
            detection = _import("torchvision.models.detection")
            model = detection.maskrcnn_resnet50_fpn_v2(weights="DEFAULT").eval()
        self._torch, self.device = torch, device
        self.model, self.classes = model.to(device), classes

    def segment(self, frame):
        """Find the objects of one frame; see `Segmenter`."""
        check_frame(frame)
        torch = self._torch
        image = torch.from_numpy(np.ascontiguousarray(frame)).to(self.device)
        with torch.inference_mode():
            output = self.model([image.permute(2, 0, 1).float() / 255])[0]
        if self.classes is None:
            return output
        keep = [i for i, c in enumerate(output["labels"].tolist()) if c in self.classes]
        return {name: values[keep] for name, values in output.items()}


def _import(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"TorchvisionSegmenter needs torch and torchvision, which are no part of "
            f"this package ({error})"
        ) from error


def make_segmenter(name: str, sensitivity: float) -> Segmenter:
    """Make a segmenter by its name.

    Parameters
    ----------
    name : {"mog2", "knn", "torchvision"}
    sensitivity : float
        Of a `BackgroundSegmenter`.
    """
    if name == "torchvision":
        return TorchvisionSegmenter()
    return BackgroundSegmenter(name, sensitivity=sensitivity)


def filled(mask):
    """Return a mask (H, W), uint8, without its holes."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return cv2.drawContours(np.zeros_like(mask), contours, -1, 255, cv2.FILLED)


class Persistence:
    """Count in how many frames each blob was seen before, one of about its size and place.

    Parameters
    ----------
    n_frames : int
        For so many frames a blob may be away and still count as seen.
    """

    def __init__(self, n_frames):
        self.n_frames = n_frames
        self._count, self._seen = 0, np.zeros((0, 5))  # x, y, area, age, frame of each blob

    def ages(self, blobs):
        """Take in the blobs of the next frame.

        Parameters
        ----------
        blobs : array_like of shape (N, 3)
            Centre x, y and area.

        Returns
        -------
        ndarray of shape (N,), int
            1 for a blob that is new.
        """
        self._count += 1
        blobs = np.asarray(blobs, float).reshape(-1, 3)
        x, y, area, age, _ = self._seen.T
        ratio = blobs[:, 2:] / area
        reach = np.sqrt(np.maximum(blobs[:, 2:], area))
        same = (np.hypot(blobs[:, :1] - x, blobs[:, 1:2] - y) < reach) & (ratio < 2) & (ratio > 0.5)
        ages = 1 + np.where(same, age, 0).max(axis=1, initial=0)
        now = np.column_stack([blobs, ages, np.full(len(blobs), self._count)])
        recent = self._seen[self._seen[:, 4] > self._count - self.n_frames]
        self._seen = np.concatenate([recent, now])
        return ages.astype(int)
