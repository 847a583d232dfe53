"""The way from a video to its results: every source of masks, stops, kills and broken files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from instanceid_utils.app import checkpoints, video_tracking
from instanceid_utils.app.texts import TrackTexts
from instanceid_utils.app.threads import Ahead, Behind
from instanceid_utils.app.video_tracking import Interrupted, track_video
from instanceid_utils.data.image_files import read_label_map
from instanceid_utils.formats import FormatError, read_masks
from instanceid_utils.gallery.file_lock import locked
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.tracker import InstanceID
from instanceid_utils.video.reader import read_video
from instanceid_utils.video.writer import VideoError, VideoWriter
from tests.moving_shapes import HEIGHT, WIDTH, HueEmbedder, Video, write_folder

N = 12
TEXTS = ("mot.txt", "mots.txt", "decisions.jsonl", "youtube_vis.json")


def shapes(n_frames=N, **options):
    return Video(n_frames, **{"seen": ((0, 99), (3, 99), (0, 8)), **options})


@pytest.fixture
def clip(tmp_path):
    return write_folder(tmp_path / "clip", shapes())


def track(source, out, masks=None, **options):
    options.setdefault("embedder", HueEmbedder())
    return track_video(source, out, masks=masks, progress=False, **options)


def same_results(one, other):
    for name in TEXTS:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    names = sorted(p.name for p in (one / "masks").iterdir())
    assert names == sorted(p.name for p in (other / "masks").iterdir())
    for name in names:
        assert (one / "masks" / name).read_bytes() == (other / "masks" / name).read_bytes()
    frames = [list(read_video(out / "tracked.mp4")) for out in (one, other)]
    assert [f.time for f in frames[0]] == pytest.approx([f.time for f in frames[1]])
    for a, b in zip(*frames):
        difference = cv2.blur(a.image, (5, 5)).astype(int) - cv2.blur(b.image, (5, 5))
        assert np.abs(difference).max() < 45, "more than the noise of encoding anew"
    summaries = [json.loads((out / "summary.json").read_text()) for out in (one, other)]
    assert summaries[0] == summaries[1]


def test_from_a_folder_to_lasting_ids(clip, tmp_path):
    result = track(*clip[:1], tmp_path / "out", clip[1])
    assert result.complete and (result.n_frames, result.n_ids) == (N, 3)
    truth = shapes()
    given = {}
    for t, frame in read_masks(result.files["masks"]).items():
        for label in np.unique(truth.label_map(t))[1:]:
            (id_,) = np.unique(frame.masks[truth.label_map(t) == label])
            given.setdefault(label, set()).add(int(id_))
    assert given == {1: {1}, 2: {3}, 3: {2}}  # 3 is there before 2
    assert not (tmp_path / "out" / "resume").exists()


@pytest.mark.parametrize("key", ["masks", "mots", "youtube-vis"])
def test_our_own_results_are_masks_again(clip, tmp_path, key):
    first = track(clip[0], tmp_path / "first", clip[1])
    again = track(clip[0], tmp_path / "again", first.files[key])
    for name in ("mot.txt", "mots.txt"):
        one, other = ((r / name).read_text().splitlines() for r in (first.out_dir, again.out_dir))
        assert sorted(one) == sorted(other)


def test_a_video_file_with_masks_in_some_frames(tmp_path):
    video = shapes()
    _, masks = write_folder(tmp_path / "clip", video, masks_every=5)
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        for t in range(N):
            writer.write(video[t])
    result = track(tmp_path / "v.mp4", tmp_path / "out", masks)
    assert result.n_frames == N == len(list(read_video(result.files["video"])))
    assert [int(p.stem) for p in sorted(result.files["masks"].iterdir())] == [0, 5, 10]


def test_the_times_of_a_variable_rate_are_kept(tmp_path):
    video, times = shapes(), np.cumsum([0, *np.tile([0.04, 0.3], 6)])[:N]
    with VideoWriter(tmp_path / "v.mp4", 25) as writer:
        for t in range(N):
            writer.write(video[t], time=times[t])
    result = track(tmp_path / "v.mp4", tmp_path / "out", dict(enumerate(video.label_maps)))
    shown = [frame.time for frame in read_video(result.files["video"])]
    assert shown == pytest.approx(times, abs=1e-3)


def test_a_truncated_video_is_tracked_as_far_as_it_goes(tmp_path, caplog):
    video = shapes()
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        for t in range(N):
            writer.write(video[t])
    data = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "v.mp4").write_bytes(data[: len(data) * 3 // 4])
    result = track(tmp_path / "v.mp4", tmp_path / "out", dict(enumerate(video.label_maps)))
    assert 0 < result.n_frames == len(list(read_video(result.files["video"]))) < N
    assert f"v.mp4: ends after {result.n_frames} of its {N} frames" in caplog.text


def test_masks_that_count_from_one(tmp_path, clip):
    video = shapes()
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        for t in range(N):
            writer.write(video[t])
    shifted = {t + 1: video.label_map(t) for t in range(N)}
    result = track(tmp_path / "v.mp4", tmp_path / "out", shifted, first_number=1)
    assert len(list(result.files["masks"].iterdir())) == N


def test_frames_are_matched_by_name(tmp_path):
    video = shapes()
    frames, masks = write_folder(tmp_path / "clip", video)
    every_fifth = [*sorted(frames.iterdir())[::-1], *sorted(masks.iterdir())[::-1]]
    for path in every_fifth:  # of a longer video
        path.rename(path.with_stem(f"{5 * int(path.stem):05d}"))
    result = track(frames, tmp_path / "out", masks)
    assert len(list(result.files["masks"].iterdir())) == N


class Thresholded:
    """A segmenter that sees what is not background; it counts its frames."""

    def __init__(self):
        self.n_frames = 0

    def segment(self, frame):
        self.n_frames += 1
        away = np.abs(frame.astype(int) - 100).max(axis=2) > 40
        _, labels = cv2.connectedComponents(cv2.medianBlur(away.astype(np.uint8), 5))
        return labels


def test_any_segmenter_takes_the_place_of_masks(clip, tmp_path):
    result = track(clip[0], tmp_path / "out", segmenter=Thresholded())
    assert result.n_ids == 3
    with pytest.raises(ValueError, match="masks or a segmenter, got both"):
        track(clip[0], tmp_path / "out2", clip[1], segmenter=Thresholded())


def test_without_masks_the_background_is_subtracted(tmp_path):
    video = Video(48, seen=((30, 99), (40, 99)))
    with VideoWriter(tmp_path / "v.mp4", 10, crf=5) as writer:
        for t in range(48):
            writer.write(video[t])
    result = track(tmp_path / "v.mp4", tmp_path / "out")
    last = read_label_map(tmp_path / "out" / "masks" / "000047.png")
    truth = video.label_map(47)
    assert result.complete
    for label in (1, 2):
        ids = last[truth == label]
        assert (ids == np.bincount(ids).argmax()).mean() > 0.7 and np.bincount(ids).argmax() > 0


def test_a_gallery_is_carried_from_video_to_video(clip, tmp_path):
    gallery = tmp_path / "known.gallery"
    first = track(clip[0], tmp_path / "a", clip[1], gallery=gallery)
    assert first.files["gallery"] == gallery and len(Gallery.load(gallery).ids) == 3
    other = write_folder(tmp_path / "other", shapes(seed=5, seen=((0, 99), (0, 99), (0, 99))))
    second = track(other[0], tmp_path / "b", other[1], gallery=gallery)
    assert second.n_ids == 3 and len(Gallery.load(gallery).ids) == 3


class Stops(InstanceID):
    """Sends this process a signal as soon as frame ``at`` (from 0, in this run) is decided on."""

    at, number = 0, signal.SIGINT

    def decide(self, observation):
        update = super().decide(observation)
        self.n_decided = getattr(self, "n_decided", 0) + 1
        if self.n_decided == self.at + 1:
            os.kill(os.getpid(), self.number)
        return update


@pytest.fixture
def stop_at(monkeypatch):
    """Return a function that tracks, is told to stop at a frame, and gives the result."""

    def run(at, *args, number=signal.SIGINT, **options):
        stops = type("StopsThere", (Stops,), {"at": at, "number": number})
        with monkeypatch.context() as patch:
            for module in (video_tracking, checkpoints):
                patch.setattr(module, "InstanceID", stops)
            try:
                return track(*args, **options)
            except Interrupted as stop:
                return stop.result

    return run


@pytest.mark.parametrize("options", [{}, {"abstain": 3, "abstain_band": 0.9}, {"tail": 0}])
@pytest.mark.parametrize("stop", [0, 5, N - 2])
def test_interrupted_and_gone_on_with_is_as_if_never_stopped(
    clip, tmp_path, stop_at, stop, options
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    track(clip[0], whole, clip[1], **options)
    result = stop_at(stop, clip[0], parts, clip[1], number=signal.SIGTERM, **options)
    assert result.n_frames == max(0, stop + 1 - options.get("abstain", 0))
    assert not result.complete
    summary = json.loads((parts / "summary.json").read_text())
    assert summary["complete"] is False and summary["n_frames"] == result.n_frames
    if result.n_frames:
        assert len(list(read_video(parts / "tracked.mp4"))) == result.n_frames
    if stop < 6:
        stop_at(2, clip[0], parts, clip[1], resume=True, **options)
    result = track(clip[0], parts, clip[1], resume=True, **options)
    assert result.complete and result.n_frames == N
    same_results(whole, parts)
    assert sorted(p.name for p in parts.iterdir()) == sorted(p.name for p in whole.iterdir())


class Notes(HueEmbedder):
    """Remembers how many crops came together."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def embed_crops(self, crops):
        self.sizes.append(len(crops))
        return super().embed_crops(crops)


def test_a_resumed_run_embeds_the_same_crops_together(clip, tmp_path, stop_at):
    whole, rest = Notes(), Notes()
    track(clip[0], tmp_path / "whole", clip[1], embedder=whole)
    assert 1 < len(whole.sizes) < N / 2  # frames are embedded together
    stop_at(5, clip[0], tmp_path / "parts", clip[1])
    track(clip[0], tmp_path / "parts", clip[1], embedder=rest, resume=True)
    assert rest.sizes == whole.sizes[1:]  # frame 6 is in the second block


def test_frames_before_a_broken_mask_are_tracked(clip, tmp_path):
    (clip[1] / "00006.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="00006.png"):
        track(clip[0], tmp_path / "out", clip[1])
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["n_frames"] == 6


class Signals(HueEmbedder):
    """Sends this process a signal while the first frame is embedded."""

    def embed_crops(self, crops):
        if not self.n_crops:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().embed_crops(crops)


def test_stopped_in_the_first_frame_is_valid_and_can_be_gone_on_with(clip, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    track(clip[0], whole, clip[1])
    with pytest.raises(Interrupted) as info:
        track(clip[0], parts, clip[1], embedder=Signals())
    n_frames = info.value.result.n_frames
    assert n_frames < N and json.loads((parts / "summary.json").read_text())["complete"] is False
    assert (parts / "tracked.mp4").exists() == (n_frames > 0)
    track(clip[0], parts, clip[1], resume=True)
    same_results(whole, parts)


@pytest.fixture
def interruptible():
    """Take Ctrl-C as a terminal gives it; in the background, the shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_breaks_off_and_the_run_can_be_started_anew(
    clip, tmp_path, monkeypatch, interruptible
):
    class Impatient(InstanceID):
        def decide(self, observation):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            return super().decide(observation)

    with monkeypatch.context() as patch:
        patch.setattr(video_tracking, "InstanceID", Impatient)
        with pytest.raises(KeyboardInterrupt) as info:
            track(clip[0], tmp_path / "out", clip[1])
    assert not isinstance(info.value, Interrupted)
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == {"complete": False}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert track(clip[0], tmp_path / "out", clip[1]).complete


def test_stopped_in_the_last_frame_is_complete(clip, tmp_path, stop_at):
    assert stop_at(N - 1, clip[0], tmp_path / "out", clip[1]).complete


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from tests.moving_shapes import HueEmbedder
from instanceid_utils.app import video_tracking
class Dies(video_tracking.InstanceID):
    n = 0
    def decide(self, observation):
        self.n += 1
        if self.n == int(sys.argv[5]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decide(observation)
video_tracking.InstanceID = Dies
video_tracking.track_video(sys.argv[2], sys.argv[3], embedder=HueEmbedder(), masks=sys.argv[4],
                           checkpoint_every=4, progress=False)
"""


@pytest.mark.parametrize("frame", [7, 11])
def test_killed_and_gone_on_with_is_as_if_never_stopped(clip, tmp_path, frame):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    track(clip[0], whole, clip[1], checkpoint_every=4)
    here = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", KILLED, here, clip[0], parts, clip[1], str(frame)],
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert json.loads((parts / "summary.json").read_text())["complete"] is False
    track(clip[0], parts, clip[1], resume=True, checkpoint_every=4)
    same_results(whole, parts)


def test_a_segmenter_with_a_memory_sees_the_frames_again(tmp_path, stop_at):
    video = Video(40, seen=((15, 99), (20, 99)))
    frames, _ = write_folder(tmp_path / "clip", video)
    track(frames, tmp_path / "whole")
    stop_at(12, frames, tmp_path / "parts")
    track(frames, tmp_path / "parts", resume=True)
    same_results(tmp_path / "whole", tmp_path / "parts")


def test_only_the_same_run_is_gone_on_with(clip, tmp_path, stop_at):
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match="out: holds no unfinished run"):
        track(clip[0], out, clip[1], resume=True)
    stop_at(3, clip[0], out, clip[1])
    with pytest.raises(ValueError, match="had tracker {}, not {'threshold': 0.3}"):
        track(clip[0], out, clip[1], resume=True, threshold=0.3)
    run = next((out / "resume").glob("*/run.json"))
    run.write_text(run.read_text()[:-20])
    with pytest.raises(ValueError, match=r"run\.json: damaged"):
        track(clip[0], out, clip[1], resume=True)
    assert track(clip[0], out, clip[1]).complete, "or it is started anew"
    with pytest.raises(ValueError, match="a live source"):
        track("rtsp://127.0.0.1:1/x", out, resume=True)


def test_a_broken_mask_is_named_and_what_was_before_it_is_whole(clip, tmp_path):
    whole = track(clip[0], tmp_path / "whole", clip[1])
    good = (clip[1] / "00007.png").read_bytes()
    (clip[1] / "00007.png").write_bytes(good[:40])
    with pytest.raises(FormatError, match=r"00007\.png: "):
        track(clip[0], tmp_path / "out", clip[1])
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["complete"] is False and summary["n_frames"] == 7
    assert "00007.png" in summary["error"]
    assert len(list(read_video(tmp_path / "out" / "tracked.mp4"))) == 7
    (clip[1] / "00007.png").write_bytes(good)
    track(clip[0], tmp_path / "out", clip[1], resume=True)
    same_results(whole.out_dir, tmp_path / "out")


def test_masks_that_do_not_belong_to_the_video(clip, tmp_path):
    with pytest.raises(FormatError, match="no frame of .* has masks in it; its first frames are"):
        track(clip[0], tmp_path / "out", {100: np.zeros((HEIGHT, WIDTH), int)})
    wrong = {0: np.zeros((5, 5), int)}
    with pytest.raises(FormatError, match="frame 0: .* size 80x48, got 5x5"):
        track(clip[0], tmp_path / "out", wrong)
    with pytest.raises(VideoError, match=r"nowhere\.mp4: no such file"):
        track(tmp_path / "nowhere.mp4", tmp_path / "out", clip[1])


def test_results_never_replace_what_they_are_made_from(clip, tmp_path):
    for out in (clip[0].parent, clip[1]):
        with pytest.raises(ValueError, match="where results would replace it"):
            track(clip[0], out, clip[1])


def test_a_frame_that_cannot_be_written_leaves_the_checkpoint_before_it(
    clip, tmp_path, monkeypatch
):
    whole = track(clip[0], tmp_path / "whole", clip[1])
    out = tmp_path / "out"
    write, full = TrackTexts.write, []

    def fails(self, number, frame, alone):
        if number == 9 and not full:
            full.append(self._write("mot", "1,2,3"))
            raise OSError(28, "No space left on device", str(out / "mots.txt"))
        write(self, number, frame, alone)

    monkeypatch.setattr(TrackTexts, "write", fails)
    with pytest.raises(OSError, match=r"No space left.*mots\.txt"):
        track(clip[0], out, clip[1], checkpoint_every=4)
    track(clip[0], out, clip[1], checkpoint_every=4, resume=True)
    same_results(whole.out_dir, out)


def test_provisional_ids_are_settled_before_they_are_written(clip, tmp_path):
    result = track(clip[0], tmp_path / "out", clip[1], abstain=3, abstain_band=0.9)
    lines = [json.loads(x) for x in (tmp_path / "out" / "decisions.jsonl").read_text().splitlines()]
    written = {d["id"] for d in lines}
    assert written == set(np.loadtxt(result.files["mot"], delimiter=",")[:, 1].astype(int))
    assert written == set(result.tracker.gallery.ids)


# --- the threads ------------------------------------------------------------------------------


def test_ahead_hands_on_items_errors_and_the_end():
    assert list(Ahead(range(50), n=2)) == list(range(50))

    def breaks():
        yield 1
        raise OSError("lens")

    ahead = Ahead(breaks())
    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(OSError, match="lens"):
            next(ahead)


def test_ahead_stops_when_closed():
    closed = []

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    ahead = Ahead(endless(), n=2)
    next(ahead)
    ahead.close()
    assert closed == [True]


def test_behind_keeps_order_and_raises_once():
    done = []

    def work(item):
        if item == 3:
            raise OSError("full")
        done.append(item)

    behind = Behind(work, n=1)
    with pytest.raises(OSError, match="full"):
        for item in range(50):
            behind.put(item)
    behind.put(99)
    behind.close()
    assert done == [0, 1, 2] and behind.failed


def test_a_gallery_that_somebody_else_updates(clip, tmp_path):
    known, out = tmp_path / "known.gallery", tmp_path / "out"
    track(clip[0], out, clip[1], gallery=known)
    before = known.read_bytes(), (out / "mot.txt").stat().st_mtime_ns
    with locked(known), pytest.raises(BlockingIOError, match="open for an update"):
        track(clip[0], out, clip[1], gallery=known)
    assert before == (known.read_bytes(), (out / "mot.txt").stat().st_mtime_ns)
    with pytest.raises(BlockingIOError), locked(known):
        track(clip[0], tmp_path / "b", clip[1], gallery=known, wait=0.3)
    assert track(clip[0], out, clip[1], gallery=known).complete


def test_a_run_does_not_go_on_over_a_gallery_that_was_updated_meanwhile(clip, tmp_path, stop_at):
    known, out = tmp_path / "known.gallery", tmp_path / "out"
    track(clip[0], tmp_path / "a", clip[1], gallery=known)
    stop_at(5, clip[0], out, clip[1], gallery=known)
    old = known.read_bytes()
    track(clip[0], tmp_path / "b", clip[1], gallery=known, threshold=0.01, place_cue=False)
    new = known.read_bytes()
    assert new != old
    with pytest.raises(ValueError, match="had gallery_sha256"):
        track(clip[0], out, clip[1], gallery=known, resume=True)
    assert known.read_bytes() == new
    known.write_bytes(old)
    assert track(clip[0], out, clip[1], gallery=known, resume=True).complete
