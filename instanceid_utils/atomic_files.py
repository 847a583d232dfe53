"""Files that are replaced as a whole: whoever reads one sees the old content or the new.

The new content is written beside the old one and takes its name once it is on the disk. Killed
at any instant, a process leaves the old file or the new one, and perhaps a ``.<name>.part``,
which the next write uses up.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file beside ``path`` that takes its place when the block ends well.

    Parameters
    ----------
    path : path-like
        A link is followed: what it points at is replaced.

    Yields
    ------
    binary file
        Empty, to be written to. If the block raises, it is removed and ``path`` is as it was.

    Raises
    ------
    BlockingIOError
        If another process or thread is replacing the same file (POSIX).

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replacing(path) as file:
    ...     count = file.write(b"whole")
    >>> path.read_bytes(), [p.name for p in path.parent.iterdir()]
    (b'whole', ['note.txt'])
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.part")
    with open(
        os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "wb"
    ) as file:
        _claim(file, part, path)
        with removed_on_error(part):
            file.truncate(0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:
                os.replace(part, target)  # before the lock goes with the file
    if fcntl is None:
        os.replace(part, target)
    sync_folder(target.parent)


def _claim(file, part, path):
    """Be the only one to write, and make sure that the file was not renamed just before."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.path.samestat(os.fstat(file.fileno()), os.stat(part))
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise BlockingIOError(errno.EAGAIN, "somebody else is saving to it right now", str(path))


def write_atomically(path: str | os.PathLike, content: bytes | str) -> None:
    """Replace a file as a whole.

    Parameters
    ----------
    path : path-like
    content : bytes or str
        Text is written as UTF-8.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def removed_on_error(path: str | os.PathLike) -> Iterator[None]:
    """Remove a file, if it is there, when the block raises."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def sync_folder(folder: str | os.PathLike) -> None:
    """Put the names in a folder on the disk, where the system has a way to ask for it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
