import contextlib
import hashlib
import stat
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.download import ResumingDownloader, fetch_davis, unpack_zip


class Server(ThreadingHTTPServer):
    """Serves one file; can cut connections, ignore ranges or answer with an error."""

    daemon_threads = True

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.cut_after, self.ranges, self.status = data, None, True, 200
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/davis.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(asked[6:-1]) if asked and server.ranges else 0
        body = server.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            end = len(server.data)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        self.end_headers()
        self.wfile.write(body[: server.cut_after])
        self.close_connection = True

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(data):
    server = Server(data)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def archive(make_davis, tmp_path):
    """Bytes of a small zip archive with the top folder DAVIS, like the real one."""
    root = make_davis(root=tmp_path / "source/DAVIS", train=["road"], val=["pond"])
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w") as file:
        for item in sorted(root.rglob("*")):
            file.write(item, item.relative_to(root.parent))
    return path.read_bytes()


@pytest.fixture
def fetch(tmp_path, archive):
    def call(server, **changes):
        expected = {"n_bytes": len(archive), "sha256": hashlib.sha256(archive).hexdigest()}
        options = {"url": server.url, "progress": False, **expected, **changes}
        return fetch_davis(tmp_path / "data", **options)

    return call


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetch_once(archive, fetch, tmp_path):
    with serving(archive) as server:
        path = fetch(server)
        assert path == tmp_path / "data/DAVIS" == fetch(server)
        assert server.asked == [None]
    assert DavisDataset(tmp_path / "data").sequences("val") == ("pond",)
    assert names(tmp_path / "data") == ["DAVIS"]


def test_archive_can_be_kept_and_is_used_again(archive, fetch, tmp_path):
    with serving(archive) as server:
        fetch(server, keep_archive=True)
        assert names(tmp_path / "data") == ["DAVIS", "davis.zip"]
        (tmp_path / "data/DAVIS").rename(tmp_path / "gone")
        fetch(server)
        assert server.asked == [None]


def test_cut_connections_are_taken_up_again(archive, fetch, monkeypatch):
    monkeypatch.setattr("instanceid_utils.data.download._CHUNK", 100)
    with serving(archive) as server:
        server.cut_after = 7000
        fetch(server)
        assert server.asked == [None, "bytes=7000-", "bytes=14000-"]


def test_a_later_call_goes_on(archive, fetch, tmp_path):
    (tmp_path / "data").mkdir()
    part = tmp_path / "data/davis.zip.part"
    part.write_bytes(archive[:1000])
    with serving(archive) as server:
        server.cut_after = 0
        with pytest.raises(OSError, match=r"1,000 of .* bytes are kept .* call again"):
            fetch(server)
        assert part.read_bytes() == archive[:1000] and len(server.asked) == 3
        server.cut_after = None
        assert fetch(server).is_dir()
        assert set(server.asked) == {"bytes=1000-"}


def test_no_server(fetch, archive):
    with serving(archive) as server:
        pass
    with pytest.raises(OSError, match="0 of .* bytes are kept"):
        fetch(server)


def test_http_errors_are_not_tried_again(archive, fetch):
    with serving(archive) as server:
        server.status = 404
        with pytest.raises(OSError, match="404"):
            fetch(server)
        assert len(server.asked) == 1


def test_server_without_ranges_starts_again(archive, fetch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/davis.zip.part").write_bytes(b"x" * 1000)
    with serving(archive) as server:
        server.ranges = False
        assert fetch(server).is_dir()


def test_wrong_hash_deletes(archive, fetch, tmp_path):
    with serving(archive) as server, pytest.raises(ValueError, match="does not match"):
        fetch(server, sha256="0" * 64)
    assert names(tmp_path / "data") == []


def test_a_spoilt_part_is_found_by_the_hash(archive, fetch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/davis.zip.part").write_bytes(b"x" * 1000)
    with serving(archive) as server:
        with pytest.raises(ValueError, match="does not match"):
            fetch(server)
        assert fetch(server).is_dir()


@pytest.mark.parametrize("change", [-1, 1])
def test_wrong_size_is_refused_before_the_download(archive, fetch, tmp_path, change):
    with serving(archive) as server, pytest.raises(ValueError, match="the server has"):
        fetch(server, n_bytes=len(archive) + change)
    assert names(tmp_path / "data") == []


def test_other_content_is_not_installed(fetch, tmp_path):
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("DAVIS/readme.txt", "no frames")
    data = path.read_bytes()
    with serving(data) as server, pytest.raises(ValueError, match="DAVIS 2017 layout"):
        fetch(server, n_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert names(tmp_path / "data") == ["davis.zip"]


def symlink(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    "entry",
    ["/etc/evil", "../evil", "a/../../evil", "a\\..\\evil", "C:/evil", symlink("link")],
    ids=str,
)
def test_entries_that_leave_the_folder(tmp_path, entry):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("good.txt", "good")
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(ValueError, match="evil.zip: refused, its entry"):
        unpack_zip(path, tmp_path / "out", progress=False)
    assert names(tmp_path) == ["evil.zip"]


def test_damaged_archives(tmp_path, archive):
    path = tmp_path / "damaged.zip"
    for data in (archive[: len(archive) // 2], b"", b"no zip"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="damaged.zip: expected a whole zip"):
            unpack_zip(path, tmp_path / "out", progress=False)


def test_more_bytes_than_announced(tmp_path):
    """A server that says nothing of the length and never ends."""
    downloader = ResumingDownloader(10, progress=False)

    class Endless(Handler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(100):
                    self.wfile.write(bytes(10_000))

    with serving(b"") as server:
        server.RequestHandlerClass = Endless
        with pytest.raises(ValueError, match="expected 10 bytes, more arrive"):
            downloader(server.url, str(tmp_path / "out"), None)
