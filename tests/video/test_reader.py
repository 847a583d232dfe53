"""Reading and writing video: times, turns, sizes, colours, interruptions, damaged files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import av
import cv2
import numpy as np
import pytest

from instanceid_utils.video.reader import VideoInfo, image_files, read_video, video_info
from instanceid_utils.video.writer import VideoError, VideoWriter


def corner_picture(height=48, width=64):
    """Black, with one colour in each corner: shows which way up it is."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:16, :16], image[:16, -16:] = (255, 0, 0), (0, 255, 0)
    image[-16:, :16], image[-16:, -16:] = (0, 0, 255), (255, 255, 255)
    return image


def grey(level, height=48, width=64):
    return np.full((height, width, 3), level, np.uint8)


def write_with_pyav(path, codec, frames, **options):
    """Write a file by PyAV alone, in the way its documentation shows."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, **options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, fps=10) as writer:
        for level in range(0, 200, 20):
            writer.write(grey(level))
    return path


def test_what_is_written_is_read_back(clip):
    frames = list(read_video(clip))
    assert [f.index for f in frames] == list(range(10))
    assert [f.time for f in frames] == pytest.approx(np.arange(10) / 10)
    assert np.allclose([f.image.mean() for f in frames], np.arange(0, 200, 20), atol=3)
    with av.open(str(clip)) as container:
        assert container.duration / 1e6 == pytest.approx(1.0), "the last frame lasts a while too"
    info = video_info(clip)
    assert (info.size, info.fps, info.n_frames) == ((64, 48), pytest.approx(10), 10)


def test_the_file_is_one_that_browsers_play(clip):
    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.colorspace == context.color_primaries == context.color_trc == 1
    data = clip.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat"), "the index must come first"


def test_colours_survive(tmp_path):
    picture = corner_picture()
    with VideoWriter(tmp_path / "c.mp4", 10, crf=10) as writer:
        writer.write(picture)
    frame = next(read_video(tmp_path / "c.mp4")).image.astype(int)
    for row, column in ((6, 6), (6, -6), (-6, 6), (-6, -6)):
        assert np.abs(frame[row, column] - picture[row, column]).max() < 12


def test_odd_sizes_are_padded_by_the_edge(tmp_path):
    with VideoWriter(tmp_path / "odd.mp4", 10) as writer:
        writer.write(grey(200, 47, 63))
    frame = next(read_video(tmp_path / "odd.mp4")).image
    assert frame.shape == (48, 64, 3)
    assert np.abs(frame.astype(int) - 200).max() < 8


def test_variable_frame_rate_is_kept(tmp_path):
    times = [0.0, 0.1, 0.15, 0.6, 0.61, 2.0]
    with VideoWriter(tmp_path / "v.mp4", 30) as writer:
        for time in times:
            writer.write(grey(90), time=time)
        writer.write(grey(90), time=1.0)  # a clock that goes back must not break the file
    read = [f.time for f in read_video(tmp_path / "v.mp4")]
    assert read[:-1] == pytest.approx(times, abs=1e-4)
    assert read[-1] > read[-2]


def test_start_and_stop_count_frames(clip):
    assert [f.index for f in read_video(clip, start=3, stop=6)] == [3, 4, 5]
    assert list(read_video(clip, start=50)) == []
    with pytest.raises(ValueError, match="start <= stop"):
        read_video(clip, start=4, stop=2)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("avi", "mpeg4"), ("mov", "mpeg4"), ("webm", "libvpx"), ("mkv", "mpeg4")]
)
def test_other_containers(tmp_path, suffix, codec):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    path = write_with_pyav(tmp_path / f"v.{suffix}", codec, [grey(40), grey(120), grey(200)])
    frames = list(read_video(path))
    assert np.allclose([f.image.mean() for f in frames], [40, 120, 200], atol=6)
    assert [f.time for f in frames] == pytest.approx([0, 0.1, 0.2], abs=2e-3)


# The matrix (a, b, c, d) of the track header says x' = a x + c y, y' = b x + d y (ISO 14496-12).
ORIENTATIONS = {
    "half turn": ((-1, 0, 0, -1), lambda x: x[::-1, ::-1]),
    "quarter turn clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "quarter turn anticlockwise": ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
    "mirror": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda x: x[::-1]),
    "transpose": ((0, 1, 1, 0), lambda x: x.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_rotation_metadata_is_applied(tmp_path, name):
    (a, b, c, d), turned = ORIENTATIONS[name]
    with VideoWriter(tmp_path / "v.mp4", 10, crf=5) as writer:
        writer.write(corner_picture())
    data = bytearray((tmp_path / "v.mp4").read_bytes())
    at = data.find(b"tkhd") + 4 + 40  # version, flags, 20 bytes of ids and times, 16 more
    old = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    assert data[at : at + 36] == old
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4")
    data[at : at + 36] = matrix.tobytes()
    (tmp_path / "v.mp4").write_bytes(data)
    expected = turned(corner_picture())
    frame = next(read_video(tmp_path / "v.mp4")).image
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 6
    info = video_info(tmp_path / "v.mp4")
    assert info.size == (expected.shape[1], expected.shape[0])


def test_a_folder_of_images_in_natural_order(tmp_path):
    for number in (1, 2, 10, 9):
        cv2.imwrite(str(tmp_path / f"frame{number}.png"), grey(number * 10))
    (tmp_path / "notes.txt").write_text("not an image")
    frames = list(read_video(tmp_path, fps=5))
    assert [f.name for f in frames] == [f"frame{n}.png" for n in (1, 2, 9, 10)]
    assert [int(f.image.mean()) for f in frames] == [10, 20, 90, 100]
    assert frames[-1].time == pytest.approx(0.6)
    assert video_info(tmp_path).n_frames == 4
    assert [p.name for p in image_files(tmp_path)][-1] == "frame10.png"


class Camera:
    """Stands in for `cv2.VideoCapture`: three frames, then it is unplugged."""

    released = 0

    def __init__(self, index):
        self.frames = [np.full((48, 64, 3), (0, 0, 50 * k), np.uint8) for k in (1, 2, 3)]

    def isOpened(self):
        return True

    def get(self, which):
        return {
            cv2.CAP_PROP_FPS: 15.0,
            cv2.CAP_PROP_FRAME_WIDTH: 64.0,
            cv2.CAP_PROP_FRAME_HEIGHT: 48.0,
        }[which]

    def read(self):
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def release(self):
        Camera.released += 1


@pytest.mark.parametrize("source", [0, "0"])
def test_a_camera(monkeypatch, source):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    Camera.released = 0
    assert video_info(source) == VideoInfo(64, 48, 15.0, None)
    frames = list(read_video(source, start=1))
    assert [f.index for f in frames] == [1, 2] and frames[0].time <= frames[1].time
    assert [f.image[0, 0].tolist() for f in frames] == [[100, 0, 0], [150, 0, 0]]  # BGR to RGB
    assert [f.index for f in read_video(source, stop=2)] == [0, 1]
    assert Camera.released == 3


def test_a_stream_url(clip, tmp_path):
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{clip.name}"
        assert video_info(url) == video_info(clip)
        assert len(list(read_video(url))) == 10
        with pytest.raises(VideoError, match=f"{url}.none: cannot be opened as a video"):
            list(read_video(url + ".none"))
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_interrupted_writing_leaves_a_valid_file(tmp_path):
    path = tmp_path / "v.mp4"
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, 10) as writer:
        for _ in range(7):
            writer.write(grey(100))
        raise KeyboardInterrupt
    assert len(list(read_video(path))) == 7
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_a_killed_writer_leaves_a_part_that_plays(tmp_path):
    code = (
        "import sys, time, numpy as np\n"
        "from instanceid_utils.video.writer import VideoWriter\n"
        "writer = VideoWriter(sys.argv[1], 10)\n"
        "for i in range(90): writer.write(np.full((48, 64, 3), i, np.uint8))\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "v.mp4")], stdout=subprocess.PIPE
    )
    assert process.stdout.readline().strip() == b"ready"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "v.mp4").exists()
    assert 40 <= len(list(read_video(tmp_path / "v.partial-0.mp4"))) <= 90


def test_a_video_in_parts_goes_on_where_it_was_cut(tmp_path):
    path = tmp_path / "v.mp4"
    writer, times = VideoWriter(path, 10), [1 + i / 10 for i in range(9)]
    for time in times[:4]:
        writer.write(grey(40), time=time)
    state = json.loads(json.dumps(writer.cut()))
    writer.write(grey(250), time=9.0)  # after the cut, and then killed: this frame is lost
    del writer
    writer = VideoWriter(path, 10, state=state)
    for time in times[4:6]:
        writer.write(grey(100), time=time)
    writer.close(keep_parts=True)
    assert len(list(read_video(path))) == 6
    with VideoWriter(path, 10, state=writer.cut()) as writer:
        for time in times[6:]:
            writer.write(grey(160), time=time)
    frames = list(read_video(path))
    assert [f.time for f in frames] == pytest.approx(np.arange(9) / 10)
    levels = [40] * 4 + [100] * 2 + [160] * 3
    assert np.allclose([f.image.mean() for f in frames], levels, atol=3)
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_fit_puts_frames_of_any_size_into_the_picture(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 10, size=(64, 48), fit=True) as writer:
        writer.write(grey(200, 96, 64))
    frame = next(read_video(tmp_path / "v.mp4")).image
    assert frame.shape == (48, 64, 3)
    assert frame[24, 32].mean() > 180 and frame[24, 4].mean() < 20


def test_frames_that_do_not_fit_are_refused(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        writer.write(grey(1))
        with pytest.raises(ValueError, match=r"v\.mp4: frame 1 is 32x48, the video is 64x48"):
            writer.write(grey(1, 48, 32))
        with pytest.raises(ValueError, match=r"expected a uint8 frame \(H, W, 3\), got float64"):
            writer.write(np.zeros((48, 64, 3)))
    assert len(list(read_video(tmp_path / "v.mp4"))) == 1


def test_nothing_written_leaves_nothing(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"ends in \.mp4"):
        VideoWriter(tmp_path / "v.avi", 10)
    with pytest.raises(ValueError, match="fps"):
        VideoWriter(tmp_path / "v.mp4", 0)


def test_errors_name_the_file(tmp_path):
    with pytest.raises(VideoError, match=r"nowhere\.mp4: no such file"):
        read_video(tmp_path / "nowhere.mp4")
    (tmp_path / "text.mp4").write_text("hello " * 100)
    with pytest.raises(VideoError, match=r"text\.mp4: cannot be opened as a video"):
        next(read_video(tmp_path / "text.mp4"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="empty: no images"):
        read_video(tmp_path / "empty")
    (tmp_path / "empty" / "0.png").write_bytes(b"not a png")
    with pytest.raises(VideoError, match=r"0\.png: expected a JPEG, PNG or WebP"):
        next(read_video(tmp_path / "empty"))
    with pytest.raises(VideoError, match="camera 63: cannot be opened"):
        next(read_video(63))


def test_a_file_of_sound_only_is_no_video(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        sound.sample_rate, sound.time_base = 8000, Fraction(1, 8000)
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"sound\.wav: holds no video"):
        next(read_video(path))


def test_a_truncated_file_gives_the_frames_that_are_there(tmp_path, caplog):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(20)]
    path = write_with_pyav(tmp_path / "v.avi", "mpeg4", noise)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    n_frames = len(list(read_video(path)))
    assert 2 <= n_frames < 20
    assert f"{path}: ends after {n_frames} of its 20 frames" in caplog.text
    caplog.clear()
    path.write_bytes(data)
    assert len(list(read_video(path))) == len(list(read_video(path, stop=20))) == 20
    assert len(list(read_video(path, stop=5))) == 5 and not caplog.records
