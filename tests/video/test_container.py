"""Files as cameras and editors leave them: side data, jumping clocks, names, matrices, pixels."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from instanceid_utils import cli
from instanceid_utils.video import VideoError, VideoWriter, read_video, video_info
from instanceid_utils.video.container import Clock, read_container

WIDTH, HEIGHT = 160, 120


def picture(t):
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    image[20:50, 10 + 8 * t : 40 + 8 * t] = 200, 40, 40
    image[70:105, 110 - 8 * t : 145 - 8 * t] = 40, 60, 200
    return image


def jpeg(t, orientation=1):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", orientation
    data = io.BytesIO()
    Image.fromarray(picture(t)).save(data, "JPEG", quality=95, exif=exif)
    return data.getvalue()


def write_mjpeg(path, n=4, orientation=1):
    """Put JPEG files with EXIF into a container as they are, as cameras do."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for t in range(n):
            packet = av.Packet(jpeg(t, orientation))
            packet.pts = packet.dts = t
            packet.time_base, packet.stream = Fraction(1, 10), stream
            container.mux(packet)
    return path


def encode(path, n, codec="libx264", rate=10, aspect=None, matrix=None, **options):
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix:
            stream.codec_context.colorspace = matrix
        stream.options = {"crf": "5"}
        for t in range(n):
            frame = av.VideoFrame.from_ndarray(picture(t), format="rgb24")
            if matrix:
                frame = frame.reformat(format="yuv420p", dst_colorspace=9)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def near(image, expected):
    """Tell whether two pictures are the same but for what compression does along edges."""
    return np.abs(image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("suffix", [".avi", ".mov", ".mkv"])
def test_frames_with_exif_are_read(tmp_path, suffix):
    frames = list(read_video(write_mjpeg(tmp_path / f"camera{suffix}")))
    assert len(frames) == 4
    assert all(near(frame.image, picture(frame.index)) for frame in frames)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_picture_as_a_video_stands_upright(tmp_path, orientation, turns):
    (tmp_path / "one.jpg").write_bytes(jpeg(0, orientation))
    (frame,) = read_video(tmp_path / "one.jpg")
    assert near(frame.image, np.rot90(picture(0), turns))
    assert video_info(tmp_path / "one.jpg").size == frame.image.shape[1::-1]


def test_a_tiff_with_exif_as_a_video(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.fromarray(picture(0)).save(tmp_path / "one.tif", exif=exif)
    (frame,) = read_video(tmp_path / "one.tif")
    assert np.array_equal(frame.image, picture(0))


def test_recordings_joined_into_one_stream_go_on(tmp_path):
    part = encode(tmp_path / "part.ts", 6, format="mpegts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(part * 3)
    frames = list(read_video(tmp_path / "joined.ts"))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(18) / 10)
    words = ["track", tmp_path / "joined.ts", "--out", tmp_path / "out", "--outputs", "video"]
    assert cli.main([str(word) for word in words] + ["--quiet"]) == 0
    out = tmp_path / "out/tracked.mp4"
    assert [f.time for f in read_video(out)] == pytest.approx(np.arange(18) / 10, abs=1e-3)
    assert video_info(out).fps == pytest.approx(10)


def test_time_never_goes_back_and_keeps_its_rate():
    clock = Clock(0.1)
    shown = [clock.shown(t) for t in (5.0, 5.1, 5.1, 5.4, 0.0, 0.1, 95000.0, 2.0)]
    assert shown == pytest.approx([0, 0.1, 0.1, 0.4, 0.5, 0.6, 95000.5, 95000.6])


@pytest.mark.parametrize("name", ["12:30:00.mp4", "concat:a.mp4", "a%02d.mp4", "-b.mp4"])
def test_an_existing_file_is_a_file(tmp_path, monkeypatch, name):
    encode(tmp_path / "plain.mp4", 4)
    (tmp_path / "plain.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    words = ["track", "--outputs", "video", "--quiet", "--out", "out", "--", name]
    assert cli.main(words) == 0
    assert len(list(read_video("out/tracked.mp4"))) == len(list(read_video(name))) == 4


@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(1, 2)])
def test_the_shape_of_pixels_is_carried_over(tmp_path, aspect):
    encode(tmp_path / "v.mp4", 4, aspect=aspect)
    words = ["track", tmp_path / "v.mp4", "--out", tmp_path / "out", "--outputs", "video"]
    assert cli.main([str(word) for word in words] + ["--quiet"]) == 0
    with av.open(str(tmp_path / "out/tracked.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == aspect
    assert video_info(tmp_path / "v.mp4").pixel_aspect == aspect


def test_square_pixels_stay_square(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        writer.write(picture(0))
    assert video_info(tmp_path / "v.mp4").pixel_aspect == 1


def test_the_matrix_of_bt2020_is_used(tmp_path):
    encode(tmp_path / "v.mp4", 3, matrix=9)
    for index, _, image in read_container(tmp_path / "v.mp4", 0, None):
        assert np.abs(image[30, 25 + 8 * index].astype(int) - (200, 40, 40)).max() < 8
        assert np.abs(image[90, 125 - 8 * index].astype(int) - (40, 60, 200)).max() < 8


def write_folder(folder, encode_frame, name="{:03d}.png"):
    folder.mkdir()
    for t in range(3):
        (folder / name.format(t)).write_bytes(encode_frame(t))
    return folder


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_pictures_of_fewer_bits_in_16_are_stretched(tmp_path, caplog, bits, suffix):
    def deep(t):
        image = picture(t)[..., ::-1].astype(np.uint16) << (bits - 8)
        image[0, 0] = 2**bits - 1  # something is bright
        return cv2.imencode(suffix, image)[1].tobytes()

    folder = write_folder(tmp_path / "f", deep, "{:03d}" + suffix)
    for start in (0, 2):
        for frame in read_video(folder, start=start):
            assert np.array_equal(frame.image[1:], picture(frame.index)[1:])
    assert (f"taken for {bits} bits" in caplog.text) == (bits < 16)


@pytest.mark.parametrize("name", ["{:03d}.webp", "{:03d}.png", "{:03d}.jpg"])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 95}, {"exact": True}])
def test_webp_is_read_whatever_it_is_called(tmp_path, name, options):
    def webp(t):
        data = io.BytesIO()
        image = Image.fromarray(picture(t))
        (image.convert("RGBA") if "exact" in options else image).save(data, "WEBP", **options)
        return data.getvalue()

    folder = write_folder(tmp_path / "f", webp, name)
    assert all(near(f.image, picture(f.index)) for f in read_video(folder))
    words = ["track", folder, "--out", tmp_path / "out", "--outputs", "mot", "--quiet"]
    assert cli.main([str(word) for word in words]) == 0
    first = folder / name.format(0)
    first.write_bytes(first.read_bytes()[:-40])
    assert cli.main([str(word) for word in words]) == 1


def huge(suffix):
    """A file whose header says 70,000 x 70,000 pixels."""
    data = bytearray(cv2.imencode(suffix, picture(0))[1].tobytes())
    if suffix == ".png":
        data[16:24] = struct.pack(">II", 70_000, 70_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        data[18:26] = struct.pack("<ii", 70_000, 70_000)
    return bytes(data)


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
@pytest.mark.parametrize("read", [lambda folder: next(read_video(folder)), video_info])
def test_pictures_with_a_huge_header_are_refused_by_name(tmp_path, suffix, read):
    (tmp_path / f"0{suffix}").write_bytes(huge(suffix))
    with pytest.raises(VideoError, match=rf"0\{suffix}: "):
        read(tmp_path)


def test_pictures_of_floats_are_refused_by_name(tmp_path):
    cv2.imwrite(str(tmp_path / "0.tif"), np.zeros((8, 8, 3), np.float32))
    with pytest.raises(VideoError, match=r"0\.tif: expected a picture of 8 or 16 bits"):
        next(read_video(tmp_path))
