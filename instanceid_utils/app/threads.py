"""Two small threads round a loop: one prepares what comes next, one writes what is done."""

from __future__ import annotations

import queue
import threading

_END = object()


class Ahead:
    """Iterate over ``iterable`` in a thread of its own, at most ``n`` items ahead.

    What the iterable raises is raised here. `close` stops the thread and closes the iterable.
    """

    def __init__(self, iterable, n=4):
        self._queue, self._stop = queue.Queue(n), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(iterable,), daemon=True)
        self._thread.start()

    def _run(self, iterable):
        iterator = iter(iterable)
        try:
            for item in iterator:
                if not self._put((item, None)):
                    return
            self._put((_END, None))
        except BaseException as error:  # handed on, whatever it is
            self._put((_END, error))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    def _put(self, item):
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self):
        return self

    def __next__(self):
        item, error = self._queue.get()
        if item is not _END:
            return item
        self._queue.put((_END, error))  # and so for whoever asks again
        if error is not None:
            raise error
        raise StopIteration

    def close(self):
        """Stop the thread and wait for it."""
        self._stop.set()
        self._thread.join()


class Behind:
    """Call ``function`` with what is `put`, in order, in a thread of its own.

    What it raises is raised by the next `put`, `wait` or `close`; what was put after it is
    dropped, and ``failed`` is true from then on.
    """

    def __init__(self, function, n=4):
        self._queue, self._error, self.failed = queue.Queue(n), None, False
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            item = self._queue.get()
            try:
                if item is _END:
                    return
                if not self.failed:
                    self._function(item)
            except BaseException as error:  # handed on, whatever it is
                self._error, self.failed = error, True
            finally:
                self._queue.task_done()

    def put(self, item):
        """Hand over one item; waits while ``n`` are waiting already."""
        self._raise()
        self._queue.put(item)

    def wait(self):
        """Wait until all that was put is done."""
        self._queue.join()
        self._raise()

    def close(self):
        """Wait, and stop the thread."""
        if self._thread.is_alive():
            self._queue.put(_END)
            self._thread.join()
        self._raise()

    def _raise(self):
        if self._error is not None:
            error, self._error = self._error, None
            raise error
