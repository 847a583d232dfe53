"""Masks for a video that has none: a protocol of one method, and two that follow it.

`BackgroundSegmenter` needs no weights and no network, only a camera that stands still. What it
sees is change: an object that stops for long fades into the background, one that leaves where
it had stood since the start leaves a ghost, and objects that touch may come as one.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import cv2
import numpy as np

from instanceid_utils.segments.segments import check_frame

SHADOW, FOREGROUND = 127, 255  # as OpenCV's subtractors mark them
FADING = {"mog2": 0.105, "knn": 0.19}  # learning rate times the frames until something has faded
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
        fraction; 1 parts nothing.
    warm_up : int
        Frames at the start for which nothing is reported, while the background is learned.
    persist : int
        An object is reported from the frame on in which it is seen for this time, at about the
        same place and size: noise and pieces of objects come and go. 1 reports all at once.

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
    ):
        if method not in ("mog2", "knn"):
            raise ValueError(f'method: expected "mog2" or "knn", got {method!r}')
        if memory < 1 or not sensitivity > 0 or not 0 <= min_area < 1 or not 0 < split <= 1:
            raise ValueError(
                "expected memory >= 1, sensitivity > 0, 0 <= min_area < 1 and "
                f"0 < split <= 1, got {memory}, {sensitivity}, {min_area}, {split}"
            )
        if warm_up < 0 or persist < 1:
            raise ValueError(f"expected warm_up >= 0 and persist >= 1, got {warm_up}, {persist}")
        self.method, self.memory, self.sensitivity = method, int(memory), float(sensitivity)
        self.min_area, self.min_thickness = float(min_area), float(min_thickness)
        self.split, self.warm_up, self.persist = float(split), int(warm_up), int(persist)
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
        # At first faster: the background is not known yet, and what was taken for it may leave.
        rate = min(1.0, max(FADING[self.method] / self.memory, 1 / (2 * self._count)))
        changed = self._subtractor.apply(cv2.GaussianBlur(frame, (0, 0), 1.0), learningRate=rate)
        mask = np.where(changed == FOREGROUND, np.uint8(255), np.uint8(0))
        if self._count <= self.warm_up or mask.mean() > 255 * MOSTLY:
            return np.zeros(frame.shape[:2], np.int32)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, self._small)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._large)
        return self._label(filled(mask))

    def _start(self, shape):
        create = {
            "mog2": cv2.createBackgroundSubtractorMOG2,
            "knn": cv2.createBackgroundSubtractorKNN,
        }[self.method]
        self._subtractor = create(detectShadows=True)
        if self.method == "mog2":
            self._subtractor.setVarThreshold(self._subtractor.getVarThreshold() / self.sensitivity)
        else:
            self._subtractor.setDist2Threshold(
                self._subtractor.getDist2Threshold() / self.sensitivity
            )
        self._subtractor.setShadowValue(SHADOW)
        self._frame_shape, self._count = shape, 0
        self._persistence = Persistence(self.persist)
        tall = 2 * max(3, round(min(shape[:2]) / 80))
        self._small = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
        # High and narrow: it joins head, body and legs, and not those who walk side by side.
        self._large = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, tall))

    def _label(self, mask):
        parts = list(self._parts(mask))
        ages = self._persistence.ages([(*centre, area) for _, _, centre, area in parts])
        label_map = np.zeros(mask.shape, np.int32)
        lasting = [part for part, age in zip(parts, ages) if age >= self.persist]
        for label, (here, part, _, _) in enumerate(lasting, 1):
            label_map[here][part] = label
        return label_map

    def _parts(self, mask):
        """Yield place, mask, centre and area of all that is large and thick enough."""
        smallest = max(1, self.min_area * mask.size)
        n, blobs, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for i in range(1, n):
            left, top, width, height, area = stats[i]
            if area < smallest:
                continue
            here = slice(top, top + height), slice(left, left + width)
            for part in part_blob(blobs[here] == i, self.split):
                rows, columns = np.nonzero(part)
                area = len(rows)
                if area >= smallest and thickness(part) >= self.min_thickness * np.sqrt(area):
                    yield here, part, (left + columns.mean(), top + rows.mean()), area


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


def part_blob(blob, split):
    """Part a blob at its necks.

    Peaks of the distance to the edge are the middles of the parts; two of them are parts of
    their own where the way from one to the other narrows by the fraction ``split`` of the
    blob's greatest width or more. Each pixel goes to the nearest peak.

    Parameters
    ----------
    blob : ndarray of shape (h, w), bool
    split : float
        In (0, 1].

    Returns
    -------
    list of ndarray of shape (h, w), bool
        The blob itself if it has no neck.
    """
    padded = np.pad(blob.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)
    drop = split * depth.max()
    if split >= 1 or drop < 1:
        return [blob]
    level = _flooded(depth - drop, depth)  # flat wherever no neck is deeper than the drop
    tops = level - _flooded(level - 0.02, level) > 0.01
    n, peaks = cv2.connectedComponents(tops.astype(np.uint8))
    if n <= 2:
        return [blob]
    away = (peaks == 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(nearest.max() + 1, np.int32)
    owner[nearest[peaks > 0]] = peaks[peaks > 0]
    parts = np.where(padded > 0, owner[nearest], 0)[1:-1, 1:-1]
    return [parts == k for k in range(1, n)]


def thickness(blob):
    """Return the greatest width of a blob, in pixels."""
    return 2 * cv2.distanceTransform(np.pad(blob.astype(np.uint8), 1), cv2.DIST_L2, 5).max()


def _flooded(low, high):
    """Morphological reconstruction: let ``low`` rise as far as it can spread under ``high``."""
    kernel = np.ones((3, 3), np.uint8)
    while True:
        risen = np.minimum(cv2.dilate(low, kernel), high)
        if np.array_equal(risen, low):
            return low
        low = risen


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
