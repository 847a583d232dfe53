"""One writer at a time: who updates a file for minutes keeps others from doing so meanwhile.

A gallery is read, learned from for as long as a video takes, and written. The lock is on a small
file beside it, ``.NAME.lock``, because the gallery itself is replaced, not written over. The system
lets go of it when its process ends, however it ends.

On a file system that has no locks, a file that nobody else can have made stands for it,
``.NAME.held``. That one stays when its process is killed; the error says whose it is, and that it
may be removed once that process is gone.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

logger = logging.getLogger(__name__)

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_IN_USE = {errno.EAGAIN, errno.EACCES, errno.EDEADLK, errno.EWOULDBLOCK}
_BEYOND = 2**30  # Windows locks bytes, and nobody could read the note in those that are locked
_POLL = 0.2  # seconds
_ours: set[str] = set()  # what this process holds


@contextlib.contextmanager
def locked(path: str | os.PathLike, *, wait: bool | float = False) -> Iterator[None]:
    """Be the only one that updates a file, or a folder, until the block ends.

    `Gallery.save` and `InstanceID.save` refuse a path that another process holds.

    Parameters
    ----------
    path : path-like
        Need not be there. A link is followed.
    wait : bool or float
        If somebody else has it: raise (False), say so and wait (True), or for this many seconds.

    Raises
    ------
    BlockingIOError
        If another process, or another thread, has it; the message says which.
    OSError
        If there is no such folder, or nothing may be written in it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from instanceid_utils.gallery import Gallery
    >>> path = Path(tempfile.mkdtemp()) / "known.gallery"
    >>> with locked(path):
    ...     gallery = Gallery.load(path) if path.exists() else Gallery(dim=2)
    ...     gallery.add([gallery.new_id()], np.eye(2, dtype=np.float32)[:1])
    ...     gallery.save(path)
    """
    target, until = Path(os.path.realpath(path)), _deadline(wait)
    said = False
    while True:
        try:
            lock = _Lock(target, path)
            break
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise
            if not said:
                logger.warning("%s: %s; waiting", path, error.strerror)
                said = True
            time.sleep(_POLL)
    _ours.add(str(target))
    try:
        yield
    finally:
        _ours.discard(str(target))
        lock.release()


def refuse_if_locked(path: str | os.PathLike) -> None:
    """Raise BlockingIOError if another process updates a file; this process may write it."""
    target = Path(os.path.realpath(path))
    if str(target) not in _ours and any(p.exists() for p in _lock_files(target)):
        _Lock(target, path).release()


def _deadline(wait):
    if wait is True:
        return float("inf")
    return time.monotonic() + float(wait)


def _lock_files(target):
    return [target.with_name(f".{target.name}.{ending}") for ending in ("lock", "held")]


class _Lock:
    """The lock on a file, taken when this is made."""

    def __init__(self, target, path):
        self._path, held = _lock_files(target)
        self._file = None
        while self._file is None:
            file = open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
            try:
                _lock(file)
                # Whoever had it may have removed its name before we got it.
                if _is_named(file, self._path):
                    self._file = file
            except OSError as error:
                if error.errno in _IN_USE:
                    raise _in_use(path, _read_note(file)) from None
                if error.errno not in _NO_LOCKS:
                    raise
                self._stand_in(held, path)
                break
            finally:
                if self._file is not file:
                    file.close()
        self._file.seek(0)
        self._file.truncate(0)
        self._file.write(_note())

    def _stand_in(self, held, path):
        """Do without locks: whoever makes a file that was not there has it."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        self._path = held
        try:
            self._file = open(held, "xb", buffering=0)
        except FileExistsError:
            whose = held.read_bytes() if held.exists() else b""
            left = f" (there are no locks here: if it is gone, remove {held})"
            raise _in_use(path, whose.decode("ascii", "replace"), left) from None

    def release(self):
        """Let go."""
        if os.name != "nt":
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # while it is still ours
            self._file.close()
        else:  # an open file cannot be removed there
            self._file.close()
            with contextlib.suppress(OSError):
                os.unlink(self._path)


def _lock(file):
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        file.seek(_BEYOND)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)


def _is_named(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _note():
    return f"{os.getpid()} on {socket.gethostname()}".encode("ascii", "replace")


def _read_note(file):
    file.seek(0)
    return file.read(200).decode("ascii", "replace")


def _in_use(path, whose, more=""):
    who = f"process {whose}" if whose.strip() else "another process"
    return BlockingIOError(errno.EAGAIN, f"{who} has it open for an update{more}", str(path))
