import gzip
import itertools
import struct
import tracemalloc

import idx2numpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from instanceid_utils.mnist.idx import IdxReader, IdxWriter, read_idx, write_idx

DTYPES = ["u1", "i1", "<i2", ">i2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8"]
SUFFIXES = ["", ".gz"]

# Written out by hand from the definition of the format.
GOLDEN = {
    "u1": (b"\0\0\x08\x02" + struct.pack(">II", 2, 2) + b"\x00\x01\xfe\xff", [[0, 1], [254, 255]]),
    "i1": (b"\0\0\x09\x01" + struct.pack(">I", 2) + b"\x80\x7f", [-128, 127]),
    "i2": (b"\0\0\x0b\x01" + struct.pack(">I", 2) + b"\x00\x01\xff\xfe", [1, -2]),
    "i4": (b"\0\0\x0c\x01" + struct.pack(">I", 1) + b"\x00\x01\x02\x03", [66051]),
    "f4": (b"\0\0\x0d\x01" + struct.pack(">I", 1) + b"\x3f\x80\x00\x00", [1.0]),
    "f8": (b"\0\0\x0e\x01" + struct.pack(">I", 1) + b"\xc0\x00" + b"\0" * 6, [-2.0]),
}


@pytest.mark.parametrize("dtype", GOLDEN)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_golden_files(tmp_path, dtype, suffix):
    golden, values = GOLDEN[dtype]
    path = tmp_path / f"golden{suffix}"
    path.write_bytes(gzip.compress(golden) if suffix else golden)
    array = read_idx(path)
    assert array.dtype == np.dtype(dtype) and array.dtype.isnative and array.flags.writeable
    assert array.tolist() == values

    write_idx(path, np.array(values, dtype))
    data = path.read_bytes()
    assert (gzip.decompress(data) if suffix else data) == golden


arrays = hnp.arrays(
    st.sampled_from(DTYPES),
    hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=5),
    elements=st.integers(0, 127),
)


@settings(max_examples=40)
@given(arrays, st.sampled_from(SUFFIXES), st.integers(1, 4))
def test_what_was_written_is_read_by_every_reader(tmp_path_factory, array, suffix, batch_size):
    path = tmp_path_factory.getbasetemp() / f"x{suffix}"
    write_idx(path, array)
    read = read_idx(path)
    assert read.dtype == array.dtype.newbyteorder("=") and read.shape == array.shape
    np.testing.assert_array_equal(read, array)

    reader = IdxReader(path)
    batches = list(reader.batches(batch_size))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    np.testing.assert_array_equal(np.concatenate([array[:0], *batches]), array)

    with (gzip.open if suffix else open)(path, "rb") as file:
        other = idx2numpy.convert_from_file(file)
    np.testing.assert_array_equal(other, array)


@settings(max_examples=40)
@given(arrays, st.data())
def test_random_access(tmp_path_factory, array, data):
    path = tmp_path_factory.getbasetemp() / "y"
    write_idx(path, array)
    start, stop = (data.draw(st.integers(-7, 7)) for _ in range(2))
    read = IdxReader(path)[start:stop]
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array[start:stop])
    if len(array):
        index = data.draw(st.lists(st.integers(0, len(array) - 1)))
        np.testing.assert_array_equal(IdxReader(path)[index], array[index])


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5)), st.sampled_from(SUFFIXES), st.sampled_from(DTYPES))
def test_appending_equals_writing_at_once(tmp_path_factory, lengths, suffix, dtype):
    folder = tmp_path_factory.getbasetemp()
    ends = list(itertools.accumulate(lengths, initial=0))
    array = np.arange(ends[-1] * 6).reshape(-1, 2, 3).astype(dtype)
    count = len(array) if suffix else None
    with IdxWriter(folder / f"a{suffix}", (2, 3), array.dtype, count) as writer:
        for start, end in zip(ends, ends[1:]):
            writer.append(array[start:end])
    write_idx(folder / f"b{suffix}", array)
    np.testing.assert_array_equal(read_idx(folder / f"a{suffix}"), array)
    assert (folder / f"a{suffix}").read_bytes() == (folder / f"b{suffix}").read_bytes()


def test_arrays_of_any_layout(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    for view in (array.T, array[:, ::-1], array[..., ::2], np.asfortranarray(array)):
        write_idx(tmp_path / "x", view)
        np.testing.assert_array_equal(read_idx(tmp_path / "x"), view)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_more_than_a_chunk(tmp_path, suffix, dtype):
    array = np.random.default_rng(0).integers(0, 255, (70_001, 11)).astype(dtype)
    write_idx(tmp_path / f"x{suffix}", array)
    np.testing.assert_array_equal(read_idx(tmp_path / f"x{suffix}"), array)


# Files that are not what they say


def spoil(tmp_path, suffix, data):
    path = tmp_path / f"spoilt{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    return path


WHOLE = b"\0\0\x08\x02" + struct.pack(">II", 300, 100) + bytes(30_000)


def read_everything(path):
    """Both ways to read a file; they must agree on whether it is good."""
    with pytest.raises(ValueError) as first:
        read_idx(path)
    with pytest.raises(ValueError):
        list(IdxReader(path).batches(7))
    assert str(path) in str(first.value)
    return str(first.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "data, said",
    [
        (b"", "expected an IDX file"),
        (WHOLE[:3], "expected an IDX file"),
        (WHOLE[:10], "cut short in its header"),
        (WHOLE[:12], ""),
        (WHOLE[:-1], ""),
        (WHOLE + b"\0", ""),
        (b"\0\0\x0a" + WHOLE[3:], "expected an IDX file, its first bytes are"),
        (b"\0\1\x08" + WHOLE[3:], "expected an IDX file"),
        (b"\0\0\x08\0" + WHOLE[4:], "expected 1 to 32 dimensions, the header says 0"),
        (b"\0\0\x08\xff" + bytes(2000), "expected 1 to 32 dimensions, the header says 255"),
        (b"\0\0\x0e" + WHOLE[3:], ""),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
    ],
)
def test_bad_files_are_named(tmp_path, suffix, data, said):
    assert said in read_everything(spoil(tmp_path, suffix, data))


def test_sizes_are_told(tmp_path):
    message = read_everything(spoil(tmp_path, "", WHOLE[:-5]))
    assert "expected 30,000 bytes for shape (300, 100) of uint8, there are 29,995" in message


def test_suffix_must_fit(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(WHOLE))
    assert "needs a name ending in .gz" in read_everything(tmp_path / "a")
    (tmp_path / "b.gz").write_bytes(WHOLE)
    assert "b.gz: Not a gzipped file" in read_everything(tmp_path / "b.gz")


@pytest.mark.parametrize("keep", [1, 15, 0.5, -1, -9])
def test_cut_gzip(tmp_path, keep):
    path = tmp_path / "x.gz"
    write_idx(path, np.random.default_rng(0).integers(0, 255, (999, 99)).astype("u1"))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    read_everything(path)


def test_damaged_gzip(tmp_path):
    path = tmp_path / "x.gz"
    write_idx(path, np.random.default_rng(0).integers(0, 255, (999, 99)).astype("u1"))
    data = bytearray(path.read_bytes())
    data[5000] ^= 0x10
    path.write_bytes(data)
    read_everything(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 4, (2**20, 2**12), (5000, 1000)])
def test_headers_claim_no_memory(tmp_path, suffix, shape):
    header = b"\0\0\x0e" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    path = spoil(tmp_path, suffix, header + bytes(100_000))
    tracemalloc.start()
    read_everything(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 2**20


def test_empty_items_of_absurd_shape(tmp_path):
    shape = (0, 2**32 - 1, 2**32 - 1)
    path = spoil(tmp_path, "", b"\0\0\x08\3" + struct.pack(">III", *shape))
    try:
        assert read_idx(path).shape == shape
    except ValueError as error:  # NumPy's limit, as long as the file is named
        assert "spoilt" in str(error)


# The writer


def test_refused_arrays_leave_nothing(tmp_path):
    for array, said in [
        (np.zeros(3, np.int64), "IDX has no int64"),
        (np.zeros(3, bool), "IDX has no bool"),
        (np.array(["a"]), "IDX has no"),
        (np.uint8(3), "scalar"),
        (np.zeros((0, 2**32), np.uint8), "at most 32 dimensions"),
    ]:
        with pytest.raises(ValueError, match=said):
            write_idx(tmp_path / "x", array)
    with pytest.raises(ValueError, match="needs its count="):
        IdxWriter(tmp_path / "x.gz", (), np.uint8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_leaves_the_old_file(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    write_idx(path, np.arange(5, dtype=np.uint8))
    with pytest.raises(RuntimeError), IdxWriter(path, (), np.uint8, count=9) as writer:
        writer.append(np.ones(4, np.uint8))
        raise RuntimeError
    for wrong in (np.ones(10, np.uint8), np.ones((1, 1), np.uint8), np.ones(1, np.int8)):
        with pytest.raises(ValueError, match="expected"):
            with IdxWriter(path, (), np.uint8, count=9) as writer:
                writer.append(wrong)
    with pytest.raises(ValueError, match="expected 9 items, got 8"):
        with IdxWriter(path, (), np.uint8, count=9) as writer:
            writer.append(np.ones(8, np.uint8))
    assert read_idx(path).tolist() == [0, 1, 2, 3, 4]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_refused_batch_changes_nothing(tmp_path):
    with IdxWriter(tmp_path / "x", (2,), np.int16) as writer:
        writer.append(np.array([[1, 2]], np.int16))
        with pytest.raises(ValueError, match=r"int16 of shape \(n, 2\), got int64 of \(2,\)"):
            writer.append(np.array([3, 4]))
        writer.append(np.array([[5, 6]], np.int16))
    assert read_idx(tmp_path / "x").tolist() == [[1, 2], [5, 6]]
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_reader_arguments(tmp_path):
    write_idx(tmp_path / "x.gz", np.arange(5, dtype=np.uint8))
    with pytest.raises(ValueError, match="random access needs an uncompressed file"):
        IdxReader(tmp_path / "x.gz")[0]
    with pytest.raises(ValueError, match="batch_size"):
        list(IdxReader(tmp_path / "x.gz").batches(0))
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")
