"""Fetch DAVIS 2017: resumable, checked before it is unpacked, unpacked without leaving its folder.

The archive is held against a size and a SHA-256 that are written here; nothing of it is looked
into before they agree, and nothing appears under its final name before it is whole.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

import pooch
from tqdm.auto import tqdm

from instanceid_utils.data.davis import DavisDataset

logger = logging.getLogger(__name__)

DAVIS_URL = "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip"
DAVIS_BYTES = 832_766_765
DAVIS_SHA256 = "e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492"

_CHUNK = 2**14  # bytes; what is lost at most when a connection breaks


def fetch_davis(
    root: str | os.PathLike,
    *,
    url=DAVIS_URL,
    n_bytes=DAVIS_BYTES,
    sha256=DAVIS_SHA256,
    keep_archive: bool = False,
    progress: bool = True,
) -> Path:
    """Download DAVIS 2017 (480p, train and val) unless it is there, and unpack it.

    A download that broke off goes on where it stopped when this is called again.

    Parameters
    ----------
    root : path-like
        The data set will be ``root/DAVIS``.
    url, n_bytes, sha256
        The archive; its top folder is ``DAVIS``.
    keep_archive : bool
        Keep the zip file in ``root`` after unpacking.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pathlib.Path
        The folder to give to `DavisDataset`.

    Raises
    ------
    ValueError
        If size or hash are not what was expected (the file is deleted), if an entry of the
        archive would leave the folder, or if it does not hold the DAVIS layout.
    OSError
        If the connection fails; what has arrived is kept.
    """
    root = Path(root)
    target = root / "DAVIS"
    if target.is_dir():
        return target
    archive = pooch.retrieve(
        url,
        f"sha256:{sha256}",
        fname=PurePosixPath(url).name,
        path=root,
        downloader=ResumingDownloader(n_bytes, progress=progress),
    )
    unpacked = root / ".DAVIS.part"  # a fixed name, so that leftovers are found and removed
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        unpack_zip(archive, unpacked, progress=progress)
        DavisDataset(unpacked / "DAVIS")
        os.replace(unpacked / "DAVIS", target)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    if not keep_archive:
        os.remove(archive)
    return target


class ResumingDownloader:
    """Downloader for pooch that keeps what has arrived, and asks for the rest by HTTP Range.

    Parameters
    ----------
    n_bytes : int
        Size of the whole file; a server that offers another is refused at once.
    attempts : int
        Give up after so many connections in a row that brought nothing.
    timeout : float
        Seconds without a byte after which a connection counts as broken.
    progress : bool
        Show a progress bar.
    """

    def __init__(self, n_bytes, attempts=3, timeout=30.0, progress=True):
        self.n_bytes, self.attempts = n_bytes, attempts
        self.timeout, self.progress = timeout, progress

    def __call__(self, url, output_file, pooch_object, check_only=False):
        """Download ``url`` to ``output_file``; the signature is pooch's."""
        import requests

        folder = Path(output_file).parent
        part = folder / f"{PurePosixPath(url).name}.part"
        fails = 0
        while (before := _size(part)) < self.n_bytes:
            try:
                self._fetch_rest(url, part)
                error = "the connection was closed early"
            except requests.exceptions.HTTPError as http_error:
                raise OSError(f"{url}: {http_error}") from http_error
            except requests.exceptions.RequestException as connection_error:
                error = connection_error
            fails = 0 if _size(part) > before else fails + 1
            if fails == self.attempts:
                raise OSError(
                    f"{url}: {error}; {_size(part):,} of {self.n_bytes:,} bytes are kept in "
                    f"{part}, call again to go on"
                )
            if _size(part) < self.n_bytes:
                logger.info("%s: %s, going on from byte %d", url, error, _size(part))
        os.replace(part, output_file)

    def _fetch_rest(self, url, part):
        import requests

        start = _size(part)
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            response.raise_for_status()
            if start != self._offered_start(url, response):
                start = 0  # the server knows no ranges and sends the whole file
            bar = tqdm(
                total=self.n_bytes,
                initial=start,
                unit="B",
                unit_scale=True,
                desc=part.stem,
                disable=not self.progress,
            )
            with bar, open(part, "ab" if start else "wb") as file:
                for piece in response.iter_content(_CHUNK):
                    if file.tell() + len(piece) > self.n_bytes:
                        raise ValueError(f"{url}: expected {self.n_bytes:,} bytes, more arrive")
                    file.write(piece)
                    bar.update(len(piece))

    def _offered_start(self, url, response):
        """First byte the server sends; checks the size of the whole on the way."""
        start, total = 0, response.headers.get("Content-Length")
        if response.status_code == 206:
            found = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "")
            )
            if not found:
                raise ValueError(f"{url}: the server answers a range request without a range")
            start, total = int(found[1]), found[2]
        if total not in (None, "*", str(self.n_bytes)):
            raise ValueError(f"{url}: expected {self.n_bytes:,} bytes, the server has {total}")
        return start


def unpack_zip(archive: str | os.PathLike, folder: str | os.PathLike, progress: bool = True):
    """Unpack a zip archive, all of it or, if one entry is suspicious, nothing.

    Parameters
    ----------
    archive : path-like
    folder : path-like
        Made if it is not there.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ValueError
        If an entry has an absolute path or one with "..", is a symbolic link or anything else
        but a file or folder, or if the archive is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
            for entry in entries:
                _check_entry(archive, entry)
            for entry in tqdm(entries, desc="unpack", unit="file", disable=not progress):
                file.extract(entry, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"{archive}: expected a whole zip archive ({error})") from error


def _check_entry(archive, entry):
    name = entry.filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    outside = name.startswith("/") or ".." in name.split("/") or re.search(r"[\\:\0]", name)
    if outside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "leaves the folder" if outside else "is neither file nor folder"
        raise ValueError(f"{archive}: refused, its entry {name!r} {what}")


def _size(path):
    return path.stat().st_size if path.exists() else 0
