"""What a model holds in memory for one frame, told apart by the attributes it has.

None of the libraries is imported: an adapter reads the attributes which that library documents
and turns arrays of any framework into NumPy's. A detector's boxes stay boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from instanceid_utils.formats import rle
from instanceid_utils.formats.frame_masks import FrameMasks, check_lengths
from instanceid_utils.segments.segments import Segments

KNOWN = (
    "arrays, boxes=, {id: mask}, torchvision, Detectron2, Ultralytics, MMDetection, Matterport, "
    "SAM, supervision.Detections"
)


def from_model(
    output: object,
    number: int = 0,
    frame_shape: tuple | None = None,
    *,
    boxes: object = None,
    scores: object = None,
    classes: object = None,
    scale: bool = False,
    soft: bool = False,
) -> FrameMasks:
    """Turn the output of a segmentation model or a detector for one frame into `FrameMasks`.

    Parameters
    ----------
    output : object
        What torchvision, Detectron2, MMDetection or Matterport Mask R-CNN, Ultralytics or SAM
        return, a ``supervision.Detections``, an array (label map or stack), ``{id: mask}`` as
        SAM 2 gives for a frame, or `FrameMasks`. A list of one such output, as the models return
        for a batch of one, will do. None or an empty list is a frame without objects. Where a
        library found boxes and no masks, they are taken as boxes.
    number : int
        Of the frame.
    frame_shape : tuple of int, optional
        (H, W); needed where nothing was found and the output does not tell it, and for boxes.
    boxes : array_like of shape (N, 4), optional
        left, top, right, bottom in pixels, instead of an output.
    scores, classes : array_like of shape (N,), optional
        In place of those that the output brings along.
    scale : bool
        Scale masks of another size than the frame, as arrays of a smaller picture. Those of
        Ultralytics, which says how it padded, and those off by one pixel are always scaled.
    soft : bool
        Take an array of floats: probabilities are cut at 0.5, logits (beyond [0, 1]) at 0.

    Returns
    -------
    FrameMasks

    Raises
    ------
    ValueError
        If it is none of these, or its parts do not belong together.
    """
    if boxes is not None:
        if output is not None:
            raise ValueError("boxes: expected masks or boxes, got both")
        frame = FrameMasks(0, None, boxes=_boxes(boxes))
    else:
        frame = _adapt(output, frame_shape, soft)
    if scores is not None:
        frame = replace(frame, scores=_floats(scores))
    if classes is not None:
        frame = replace(frame, classes=_classes(classes))
    frame = replace(frame, number=number)
    if frame.boxes is not None:
        check_lengths(frame, len(frame.boxes))
        return frame
    if frame.masks.ndim == 3:
        check_lengths(frame, len(frame.masks))
    return _fitted(frame, frame_shape, scale)


def _adapt(output, frame_shape, soft):
    if isinstance(output, (list, tuple)) and len(output) == 1 and not _is_sam(output):
        output = output[0]
    if isinstance(output, FrameMasks):
        return output
    if output is None or isinstance(output, (list, tuple)) and not output:
        return from_sam([], frame_shape)
    if _is_sam(output):
        return from_sam(output, frame_shape)
    if isinstance(output, Mapping):
        return _from_mapping(output)
    for attribute in ("pred_instances", "pred_track_instances"):
        if hasattr(output, attribute):
            return from_mmdetection(getattr(output, attribute))
    if hasattr(output, "pred_masks") or hasattr(output, "pred_boxes"):
        return from_detectron2(output)
    if hasattr(output, "masks") and hasattr(output, "orig_shape"):
        return from_ultralytics(output)
    if hasattr(output, "mask") and hasattr(output, "class_id"):
        return from_supervision(output)
    if hasattr(output, "__array__") or hasattr(output, "detach"):
        return from_array(output, frame_shape, soft)
    if isinstance(output, Segments):
        raise ValueError("masks: Segments are for update() itself")
    raise ValueError(
        f"masks: {type(output).__name__} is none of the outputs known: {KNOWN}; see "
        "instanceid_utils.formats.from_model"
    )


def _from_mapping(output):
    if "instances" in output:
        return from_detectron2(output)
    if "class_ids" in output and "masks" in output:
        return from_matterport(output)
    if "masks" in output or "boxes" in output:
        return from_torchvision(output)
    if all(isinstance(key, (int, np.integer)) for key in output):
        return from_object_masks(output)
    raise ValueError(
        f"masks: a dict with {', '.join(map(str, list(output)[:5]))} is none of the outputs "
        f"known: {KNOWN}"
    )


def from_array(array: object, frame_shape: tuple | None = None, soft: bool = False) -> FrameMasks:
    """Adapt a label map (H, W), a stack (N, H, W) or (N, 1, H, W), or one bool mask (H, W).

    A stack holds bool or 0/1; (H, W, N) is taken where only that fits the frame. ``soft`` takes
    floats too: probabilities, or logits where a value lies beyond [0, 1].
    """
    masks = _numpy(array)
    if masks.dtype.kind == "O":
        raise ValueError("masks: expected numbers, got an array of objects")
    _refuse_boxes(masks, frame_shape)
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    if masks.ndim == 3 and frame_shape is not None:
        height, width = frame_shape
        if masks.shape[:2] == (height, width) != masks.shape[1:]:
            masks = masks.transpose(2, 0, 1)
    if masks.dtype.kind == "f" and (soft or masks.ndim == 3 and np.isin(masks, (0, 1)).all()):
        masks = _binary(masks if masks.ndim == 3 else masks[np.newaxis])
    if masks.ndim == 2 and masks.dtype == bool:
        masks = masks[np.newaxis]
    elif masks.ndim == 3 and masks.dtype.kind in "iuf" and masks.dtype != bool:
        if not np.isin(masks, (0, 1)).all():
            raise ValueError(f"masks: expected a stack of 0 and 1{_hint(masks)}")
        masks = masks.astype(bool)
    if masks.ndim not in (2, 3) or masks.dtype.kind not in "biu":
        raise ValueError(
            f"masks: expected an integer label map (H, W) or a stack (N, H, W), "
            f"got {masks.dtype} of shape {masks.shape}{_hint(masks)}"
        )
    return FrameMasks(0, masks)


def _refuse_boxes(masks, frame_shape):
    if masks.ndim == 2 and masks.shape[1] == 4 and masks.dtype != bool:
        if frame_shape is not None and frame_shape[1] != 4:
            raise ValueError(
                f"masks: expected masks of the frame's size {frame_shape[1]}x{frame_shape[0]}, got "
                f"an array of shape {masks.shape}, which looks like boxes: give them as boxes="
            )


def _hint(masks):
    if masks.dtype.kind == "f" and masks.size:
        if np.isnan(masks).any():
            return ", with NaN in it"
        if masks.ndim == 2 and masks.min() >= 0 and (masks % 1 == 0).all():
            return "; whole numbers are masks.astype(int)"
        if masks.min() < 0 or masks.max() > 1:
            return "; logits are masks > 0"
        return "; probabilities are masks > 0.5"
    if masks.dtype.kind in "iu" and masks.ndim == 3:
        if masks.shape[-1] in (3, 4):
            return "; this looks like a colour picture"
        if masks.size and set(np.unique(masks).tolist()) <= {0, 255}:
            return "; masks of 0 and 255 are masks > 0"
    return ""


def from_object_masks(masks: Mapping) -> FrameMasks:
    """Adapt ``{object id: mask}``, masks (H, W) or (1, H, W) of bool or logits, as of SAM 2."""
    ids = list(masks)
    stack = [_numpy(masks[i]) for i in ids]
    stack = [mask[0] if mask.ndim == 3 and len(mask) == 1 else mask for mask in stack]
    shapes = {mask.shape for mask in stack}
    if len(shapes) > 1 or any(mask.ndim != 2 for mask in stack):
        raise ValueError(f"masks: expected one mask (H, W) for each id, got {sorted(shapes)}")
    whole = _binary(np.array(stack)) if stack else np.zeros((0, 1, 1), bool)
    return FrameMasks(0, whole, ids=np.array(ids, np.int64))


def from_torchvision(output: Mapping, threshold: float = 0.5) -> FrameMasks:
    """Adapt torchvision: a dict with soft masks (N, 1, H, W) or boxes, scores and labels.

    ``threshold`` cuts the soft masks, in [0, 1].
    """
    fields = {"scores": _floats(output.get("scores")), "classes": _classes(output.get("labels"))}
    if output.get("masks") is None:
        return FrameMasks(0, None, boxes=_boxes(output["boxes"]), **fields)
    masks = _numpy(output["masks"])
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    return FrameMasks(0, _binary(masks, threshold), **fields)


def from_matterport(output: Mapping) -> FrameMasks:
    """Adapt Mask R-CNN of Matterport: masks (H, W, N) with ``class_ids`` and ``scores``."""
    return FrameMasks(
        0,
        _binary(_numpy(output["masks"]).transpose(2, 0, 1)),
        scores=_floats(output.get("scores")),
        classes=_classes(output["class_ids"]),
    )


def from_detectron2(output: Any) -> FrameMasks:
    """Adapt Detectron2: ``Instances`` with masks or boxes, or the dict that holds them."""
    instances = output["instances"] if isinstance(output, Mapping) else output
    masks, boxes = (getattr(instances, name, None) for name in ("pred_masks", "pred_boxes"))
    fields = {
        "scores": _floats(getattr(instances, "scores", None)),
        "classes": _classes(getattr(instances, "pred_classes", None)),
    }
    if masks is not None:
        return FrameMasks(0, _binary(_numpy(masks)), **fields)
    if boxes is None:
        raise ValueError("masks: these Instances have neither pred_masks nor pred_boxes")
    return FrameMasks(0, None, boxes=_boxes(getattr(boxes, "tensor", boxes)), **fields)


def from_mmdetection(instances: Any) -> FrameMasks:
    """Adapt the ``pred_instances`` of a ``DetDataSample`` of MMDetection or MMTracking."""
    ids = getattr(instances, "instances_id", None)
    fields = {
        "scores": _floats(getattr(instances, "scores", None)),
        "classes": _classes(getattr(instances, "labels", None)),
        "ids": None if ids is None else _numpy(ids).astype(np.int64),
    }
    masks = getattr(instances, "masks", None)
    if masks is None:
        return FrameMasks(0, None, boxes=_boxes(instances.bboxes), **fields)
    return FrameMasks(0, _binary(_numpy(getattr(masks, "masks", masks))), **fields)


def from_ultralytics(result: Any) -> FrameMasks:
    """Adapt ``Results`` of Ultralytics: masks in the frame's or the network's size, or boxes."""
    shape = tuple(int(side) for side in result.orig_shape)
    boxes = result.boxes
    ids = getattr(boxes, "id", None)
    fields = {
        "scores": None if boxes is None else _floats(boxes.conf),
        "classes": None if boxes is None else _classes(boxes.cls),
        "ids": None if ids is None else _numpy(ids).astype(np.int64),
    }
    if result.masks is not None:
        masks = _numpy(result.masks.data)
        if masks.shape[1:] != shape:
            masks = _without_letterbox(masks, shape)
        return FrameMasks(0, _binary(masks.reshape(-1, *shape)), **fields)
    if boxes is None or not len(boxes.conf):
        return FrameMasks(
            0, np.zeros((0, *shape), bool), scores=np.zeros(0, np.float32), classes=()
        )
    return FrameMasks(0, None, boxes=_boxes(boxes.xyxy), **fields)


def _without_letterbox(masks, shape):
    """Undo the padding to the network's size, and scale: holes in a mask stay holes."""
    (height, width), (h, w) = shape, masks.shape[1:]
    gain = min(h / height, w / width)
    top, left = (h - height * gain) / 2, (w - width * gain) / 2
    rows = slice(round(top - 0.1), h - round(top - 0.1) or None)
    columns = slice(round(left - 0.1), w - round(left - 0.1) or None)
    return _resized(masks[:, rows, columns].astype(np.float32), shape)


def from_sam(masks: list, frame_shape: tuple | None = None) -> FrameMasks:
    """Adapt the list of dicts of SAM's mask generators: bool arrays or run lengths."""
    if not masks and frame_shape is None:
        raise ValueError("masks: an empty list tells no size; give frame_shape")
    stack = [
        rle.decode(m["segmentation"], f"masks[{i}]")
        if isinstance(m["segmentation"], dict)
        else _numpy(m["segmentation"]).astype(bool)
        for i, m in enumerate(masks)
    ]
    scored = bool(masks) and all("predicted_iou" in m for m in masks)
    return FrameMasks(
        0,
        np.array(stack) if stack else np.zeros((0, *(frame_shape or ())), bool),
        scores=_floats([m["predicted_iou"] for m in masks]) if scored else None,
    )


def from_supervision(detections: Any) -> FrameMasks:
    """Adapt ``supervision.Detections`` with masks or boxes."""
    ids = detections.tracker_id
    fields = {
        "scores": _floats(detections.confidence),
        "classes": _classes(detections.class_id),
        "ids": None if ids is None else _numpy(ids).astype(np.int64),
    }
    if detections.mask is None:
        return FrameMasks(0, None, boxes=_boxes(detections.xyxy), **fields)
    return FrameMasks(0, _binary(_numpy(detections.mask)), **fields)


def _fitted(frame, frame_shape, scale):
    """Return the masks in the size of the frame, or say why they cannot be."""
    shape = frame.masks.shape[-2:]
    if frame_shape is None or shape == tuple(frame_shape):
        return frame
    height, width = frame_shape
    off_by_one = max(abs(shape[0] - height), abs(shape[1] - width)) <= 1
    if not len(frame.masks) and frame.masks.ndim == 3:
        return replace(frame, masks=np.zeros((0, height, width), bool))
    if not (scale or off_by_one):
        same = abs(shape[0] / height - shape[1] / width) < 0.02 * shape[0] / height
        hint = "; scale_masks=True (scale= of from_model) scales them" if same else ""
        raise ValueError(
            f"masks: expected the frame's size {width}x{height}, got {shape[1]}x{shape[0]}{hint}"
        )
    if frame.masks.ndim == 3:
        return replace(frame, masks=_resized(frame.masks.astype(np.float32), frame_shape) > 0.5)
    rows, columns = (np.arange(n) * m // n for n, m in zip(frame_shape, shape))
    return replace(frame, masks=frame.masks[rows[:, None], columns])


def _resized(masks, shape):
    """Scale a stack of float32 (N, h, w) to (N, H, W)."""
    size = int(shape[1]), int(shape[0])
    stack = [cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) for mask in masks]
    return np.array(stack).reshape(-1, *shape)


def _is_sam(output):
    return (
        isinstance(output, (list, tuple))
        and bool(output)
        and all(isinstance(item, dict) and "segmentation" in item for item in output)
    )


def _numpy(array):
    if hasattr(array, "detach"):  # a torch tensor, perhaps on another device
        array = array.detach().cpu()
    return np.asarray(array)


def _binary(masks, threshold=None):
    """Cut soft masks (N, H, W): at the threshold, else logits at 0 and probabilities at 0.5."""
    if masks.ndim != 3:
        raise ValueError(f"masks: expected (N, H, W), got {masks.shape}")
    if masks.dtype == bool:
        return masks
    if masks.dtype.kind == "f" and np.isnan(masks).any():
        raise ValueError("masks: expected no NaN")
    if threshold is None:
        logits = masks.dtype.kind == "f" and masks.size and (masks.min() < 0 or masks.max() > 1)
        threshold = 0 if logits else 0.5
    return masks > threshold


def _boxes(boxes):
    boxes = _numpy(boxes)
    boxes = boxes.reshape(-1, 4) if not boxes.size else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iuf":
        raise ValueError(
            f"boxes: expected left, top, right, bottom of shape (N, 4), got {boxes.dtype} of shape "
            f"{boxes.shape}"
        )
    if not np.isfinite(boxes).all():
        raise ValueError("boxes: expected finite numbers")
    return boxes.astype(np.float64)


def _floats(scores):
    if scores is None:
        return None
    scores = _numpy(scores).astype(np.float32)
    if not np.isfinite(scores).all():
        raise ValueError("scores: expected finite numbers")
    return scores


def _classes(labels):
    """Return class numbers as int and class names as str."""
    if labels is None:
        return None
    labels = _numpy(labels)
    if labels.dtype.kind == "f":
        labels = labels.astype(np.int64)
    return tuple(labels.tolist())
