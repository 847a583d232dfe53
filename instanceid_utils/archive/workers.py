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
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

PATIENCE = 600  # seconds without the scheduler before it is given up
_RETRY = 1.0  # seconds between two looks for it
_DEATHS = 3  # workers that a task may take with it before it is given up


class WorkerError(RuntimeError):
    """A task whose workers died, again and again."""


def run_tasks(
    function: Callable,
    jobs: Mapping[str, tuple],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    done: Callable = lambda key, error: None,
    say: Callable = print,
) -> dict[str, Exception]:
    """Run a function once for each job.

    Parameters
    ----------
    function : callable
        Of a module that the workers have, too. It may be run more than once for a job. What it
        returns is dropped.
    jobs : mapping of str to tuple
        Arguments by name.
    workers : int, optional
        Processes on this machine: one for each core by default, 0 for none but this one, which
        needs no Dask.
    scheduler : str, optional
        Address of a Dask scheduler, to use its workers instead.
    done : callable
        Called with name and error (or None) of each job as it ends.
    say : callable
        Called with a line for the user.

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
    ValueError
        If the number of workers is below 0, or given with a scheduler.
    """
    if workers is not None and (scheduler is not None or workers < 0):
        raise ValueError(f"workers: expected 0 or more, and no scheduler beside them: {workers}")
    if not jobs:
        return {}
    if workers == 0:
        return _one_by_one(function, jobs, done)
    return _on_dask(function, jobs, workers, scheduler, done, say)


def _one_by_one(function, jobs, done):
    errors = {}
    for key, job in jobs.items():
        try:
            function(*job)
        except Exception as error:
            errors[key] = error
        done(key, errors.get(key))
    return errors


def _on_dask(function, jobs, workers, scheduler, done, say):
    from distributed import CancelledError
    from distributed.comm import CommClosedError

    lost = (CancelledError, CommClosedError, ConnectionError, TimeoutError, OSError)
    errors: dict[str, Exception] = {}
    left, since = dict(jobs), None
    while left:
        try:
            with _client(workers, scheduler, say) as client:
                since = None
                for key, error in _ended(client, function, left):
                    left.pop(key)
                    if error is not None:
                        errors[key] = error
                    done(key, error)
        except lost as error:
            if scheduler is None:
                raise
            if since is None:
                since = time.monotonic()
                say(f"{scheduler}: the scheduler is gone, waiting for it to come back")
            if time.monotonic() - since > PATIENCE:
                raise ConnectionError(f"{scheduler}: no scheduler there ({error})") from error
            time.sleep(_RETRY)
    return errors


@contextmanager
def _client(workers, scheduler, say):
    """Connect to a scheduler, or start one with workers on this machine."""
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
                _tell(client, say)
                yield client
            return
        with (
            LocalCluster(
                n_workers=workers or os.cpu_count(),
                threads_per_worker=1,
                processes=True,
                memory_limit=0,
                dashboard_address=":0",
            ) as cluster,
            Client(cluster) as client,
        ):
            _tell(client, say)
            yield client


def _tell(client, say):
    n = len(client.scheduler_info(n_workers=-1)["workers"])
    where = f"{n} workers" if n else "no workers yet, waiting for some"
    say(f"{where}; dashboard (needs bokeh): {client.dashboard_link}")


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
        client.cancel(list(futures), force=True)
