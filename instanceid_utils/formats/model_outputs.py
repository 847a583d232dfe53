"""Masks that a model holds in memory, told apart by the attributes they have.

None of the libraries is imported: an adapter reads the attributes which that library documents
and turns arrays of any framework into NumPy's.
"""

from __future__ import annotations

import cv2
import numpy as np

from instanceid_utils.formats import rle
from instanceid_utils.formats.frame_masks import FrameMasks, check_lengths


def from_model(output: object, number: int = 0, frame_shape: tuple | None = None):
    """Turn the output of a segmentation model for one frame into `FrameMasks`.

    Parameters
    ----------
    output : object
        What torchvision or Detectron2 Mask R-CNN, Ultralytics or SAM return, a
        ``supervision.Detections``, an array (label map or stack), or `FrameMasks`. A list of
        one such output, as the models return for a batch of one, will do.
    number : int
        Of the frame.
    frame_shape : tuple of int, optional
        (H, W); needed only where nothing was found and the output does not tell it.

    Returns
    -------
    FrameMasks

    Raises
    ------
    ValueError
        If it is none of these, or its parts do not belong together.
    """
    if isinstance(output, (list, tuple)) and len(output) == 1 and not _is_sam(output):
        output = output[0]
    if isinstance(output, FrameMasks):
        frame = output
    elif _is_sam(output):
        frame = from_sam(output, frame_shape)
    elif isinstance(output, dict) and "instances" in output or hasattr(output, "pred_masks"):
        frame = from_detectron2(output)
    elif isinstance(output, dict) and "masks" in output:
        frame = from_torchvision(output)
    elif hasattr(output, "masks") and hasattr(output, "orig_shape"):
        frame = from_ultralytics(output)
    elif hasattr(output, "mask") and hasattr(output, "class_id"):
        frame = from_supervision(output, frame_shape)
    elif hasattr(output, "__array__") or hasattr(output, "detach"):
        frame = from_array(output)
    else:
        raise ValueError(
            f"masks: {type(output).__name__} is none of the outputs known: arrays, "
            "torchvision, Detectron2, Ultralytics, SAM, supervision.Detections"
        )
    n = len(frame.masks) if frame.masks.ndim == 3 else None
    if n is not None:
        check_lengths(frame, n)
    if frame_shape is not None and frame.masks.shape[-2:] != tuple(frame_shape):
        height, width = frame.masks.shape[-2:]
        raise ValueError(
            f"masks: expected the frame's size {frame_shape[1]}x{frame_shape[0]}, "
            f"got {width}x{height}"
        )
    return FrameMasks(number, frame.masks, frame.scores, frame.classes, frame.ids, frame.name)


def from_array(array):
    """Adapt a label map (H, W), a stack (N, H, W) of bool or 0/1, or one bool mask (H, W)."""
    masks = _numpy(array)
    if masks.ndim == 2 and masks.dtype == bool:
        masks = masks[np.newaxis]
    elif masks.ndim == 3 and masks.dtype != bool:
        if not np.isin(masks, (0, 1)).all():
            raise ValueError("masks: expected a stack of 0 and 1")
        masks = masks.astype(bool)
    return FrameMasks(0, masks)


def from_torchvision(output, threshold=0.5):
    """Adapt Mask R-CNN of torchvision: a dict with soft masks (N, 1, H, W), scores and labels.

    ``threshold`` cuts the soft masks, in [0, 1].
    """
    masks = _numpy(output["masks"])
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    return FrameMasks(
        0,
        _binary(masks, threshold),
        scores=_floats(output.get("scores")),
        classes=_classes(output.get("labels")),
    )


def from_detectron2(output):
    """Adapt Mask R-CNN of Detectron2: ``Instances``, or the dict that holds them."""
    instances = output["instances"] if isinstance(output, dict) else output
    fields = {
        name: getattr(instances, name, None) for name in ("pred_masks", "scores", "pred_classes")
    }
    if fields["pred_masks"] is None:
        raise ValueError("masks: these Instances have no pred_masks: not a segmentation model?")
    return FrameMasks(
        0,
        _binary(_numpy(fields["pred_masks"]), 0.5),
        scores=_floats(fields["scores"]),
        classes=_classes(fields["pred_classes"]),
    )


def from_ultralytics(result):
    """Adapt ``Results`` of Ultralytics: masks in the model's size, or polygons in the frame's."""
    shape = tuple(int(side) for side in result.orig_shape)
    if result.masks is None:
        return FrameMasks(
            0, np.zeros((0, *shape), bool), scores=np.zeros(0, np.float32), classes=()
        )
    masks = _numpy(result.masks.data)
    if masks.shape[1:] != shape:  # the network's own size: its padding is undone in .xy only
        masks = np.array([_fill(polygon, shape) for polygon in result.masks.xy])
    boxes = result.boxes
    ids = getattr(boxes, "id", None)
    return FrameMasks(
        0,
        _binary(masks.reshape(-1, *shape), 0.5),
        scores=_floats(boxes.conf),
        classes=_classes(boxes.cls),
        ids=None if ids is None else _numpy(ids).astype(np.int64),
    )


def from_sam(masks, frame_shape=None):
    """Adapt the list of dicts of SAM's mask generators: bool arrays or run lengths."""
    if not masks and frame_shape is None:
        raise ValueError("masks: an empty list tells no size; give frame_shape")
    stack = [
        rle.decode(m["segmentation"], f"masks[{i}]", frame_shape)
        if isinstance(m["segmentation"], dict)
        else _numpy(m["segmentation"]).astype(bool)
        for i, m in enumerate(masks)
    ]
    scored = bool(masks) and all("predicted_iou" in m for m in masks)
    return FrameMasks(
        0,
        np.array(stack) if stack else np.zeros((0, *frame_shape), bool),
        scores=_floats([m["predicted_iou"] for m in masks]) if scored else None,
    )


def from_supervision(detections, frame_shape=None):
    """Adapt ``supervision.Detections`` with masks."""
    if detections.mask is None:
        if len(detections.class_id if detections.class_id is not None else ()) or not frame_shape:
            raise ValueError("masks: these Detections have boxes only, their mask is None")
        return FrameMasks(0, np.zeros((0, *frame_shape), bool))
    ids = detections.tracker_id
    return FrameMasks(
        0,
        _binary(_numpy(detections.mask), 0.5),
        scores=_floats(detections.confidence),
        classes=_classes(detections.class_id),
        ids=None if ids is None else _numpy(ids).astype(np.int64),
    )


def _is_sam(output):
    return isinstance(output, (list, tuple)) and all(
        isinstance(item, dict) and "segmentation" in item for item in output
    )


def _numpy(array):
    if hasattr(array, "detach"):  # a torch tensor, perhaps on another device
        array = array.detach().cpu()
    return np.asarray(array)


def _binary(masks, threshold):
    if masks.ndim != 3:
        raise ValueError(f"masks: expected (N, H, W), got {masks.shape}")
    if masks.dtype == bool:
        return masks
    if np.isnan(masks).any():
        raise ValueError("masks: expected no NaN")
    return masks > threshold


def _floats(scores):
    if scores is None:
        return None
    scores = _numpy(scores).astype(np.float32)
    if not np.isfinite(scores).all():
        raise ValueError("scores: expected finite numbers")
    return scores


def _classes(labels):
    return None if labels is None else tuple(_numpy(labels).astype(int).tolist())


def _fill(polygon, shape):
    mask = np.zeros(shape, np.uint8)
    if len(polygon):
        cv2.fillPoly(mask, [np.round(_numpy(polygon)).astype(np.int32)], 1)
    return mask
