"""Run tasks: one after the other in this process, or on the workers of Dask.

This is the only module that imports Dask, and only where workers are asked for. A worker that is
killed, all of them gone for a while, or a scheduler that is started anew cost the tasks that were
under way, and these are given out again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

logger = logging.getLogger(__name__)

PATIENCE = 600  # seconds without the scheduler before it is given up
_RETRY = 1.0  # seconds between two looks for it
# A terminal's Ctrl-C reaches all processes; the workers leave it to the one that started them.
_LEAVE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
_DEATHS = 3  # workers that a task may take with it before it is given up


class WorkerError(RuntimeError):
    """A task whose workers died, again and again."""


class Workers:
    """Those who do tasks; to be used in a ``with`` block, from which they go again.

    Parameters
    ----------
    n : int, optional
        Processes on this machine: one for each core by default, 0 for none but this one, which
        needs no Dask.
    scheduler : str, optional
        Address of a Dask scheduler, to use its workers instead.
    say : callable
        Called with a line for the user.

    Raises
    ------
    ValueError
        If n is below 0, or given with a scheduler.
    """

    def __init__(self, n: int | None = None, scheduler: str | None = None, say: Callable = print):
        if n is not None and (scheduler is not None or n < 0):
            raise ValueError(f"workers: expected 0 or more, and no scheduler beside them, got {n}")
        self.n, self.scheduler, self.say = n, scheduler, say
        self._client, self._open = None, ExitStack()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: Any) -> None:
        self._leave()

    def run(
        self,
        function: Callable,
        jobs: Mapping[str, tuple],
        done: Callable = lambda key, error: None,
    ) -> dict[str, Exception]:
        """Run a function once for each job.

        Parameters
        ----------
        function : callable
            Of a module that the workers have, too. It may be run more than once for a job. What
            it returns is dropped.
        jobs : mapping of str to tuple
            Arguments by name.
        done : callable
            Called with name and error (or None) of each job as it ends.

        Returns
        -------
        dict of str to Exception
            What went wrong, by job.

        Raises
        ------
        ModuleNotFoundError
            If Dask is needed and not installed.
        ConnectionError
            If the scheduler cannot be reached for `PATIENCE` seconds.
        """
        ends = self._one_by_one if self.n == 0 else self._on_dask
        errors = {}
        for key, error in ends(function, jobs) if jobs else ():
            if error is not None:
                errors[key] = error
            done(key, error)
        return errors

    def _one_by_one(self, function, jobs):
        for key, job in jobs.items():
            try:
                function(*job)
            except Exception as error:
                yield key, error
            else:
                yield key, None

    def _on_dask(self, function, jobs):
        """Hand out what is left until nothing is, however often the scheduler goes meanwhile."""
        from distributed import CancelledError
        from distributed.comm import CommClosedError

        left, since = dict(jobs), None
        while left:
            try:
                self._meet()
                since = None
                for key, error in _ended(self._client, function, left):
                    del left[key]
                    yield key, error
            except (CancelledError, CommClosedError, OSError, TimeoutError) as error:
                self._leave()
                if self.scheduler is None:
                    raise
                if since is None:
                    since = time.monotonic()
                    self.say(f"{self.scheduler}: no scheduler there, waiting for it")
                if time.monotonic() - since > PATIENCE:
                    raise ConnectionError(f"{self.scheduler}: no scheduler ({error})") from error
                time.sleep(_RETRY)

    def _meet(self):
        """Connect to the scheduler, or start one with workers on this machine; once."""
        if self._client is None:
            with ExitStack() as opened:
                self._client = opened.enter_context(_client(self.n, self.scheduler))
                self._open = opened.pop_all()
            n = len(self._client.scheduler_info(n_workers=-1)["workers"])
            there = f"{n} workers" if n else "no workers yet, waiting for some"
            self.say(f"{there}; dashboard (needs bokeh there): {self._client.dashboard_link}")

    def _leave(self):
        self._client = None
        with suppress(OSError, TimeoutError):
            self._open.close()


@contextmanager
def _client(n, scheduler):
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": _DEATHS,
        "distributed.scheduler.worker-saturation": 1.0,  # a worker that dies has one task
        "distributed.comm.timeouts.connect": "10s",
        "distributed.worker.daemon": True,
    }
    with dask.config.set(settings), _quiet():
        if scheduler is not None:
            with Client(scheduler, timeout="10s") as client:
                yield client
            return
        with (
            LocalCluster(
                n_workers=n or os.cpu_count(),
                threads_per_worker=1,
                processes=True,
                memory_limit=0,
                dashboard_address=":0",
                preload=[_LEAVE_CTRL_C],
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


@contextmanager
def _quiet():
    """Keep Dask's own lines about workers that come and go out of the way; ours say it."""
    names = "distributed", "distributed.scheduler", "distributed.nanny", "distributed.worker"
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _ended(client, function, jobs):
    """Hand all jobs out, and yield the name and the error (or None) of each as it ends."""
    from distributed import CancelledError, KilledWorker, as_completed

    futures: dict[Any, str] = {
        client.submit(function, *job, pure=False, key=f"{function.__name__}-{key}"): key
        for key, job in jobs.items()
    }
    try:
        for future in as_completed(list(futures)):
            if future.status == "cancelled":
                raise CancelledError(futures[future])
            error = future.exception() if future.status == "error" else None
            if isinstance(error, KilledWorker):
                error = WorkerError(f"{_DEATHS + 1} workers died of it")
            yield futures[future], error
            future.release()
    finally:
        with suppress(Exception):  # of a scheduler that is gone
            client.cancel(list(futures), force=True)
