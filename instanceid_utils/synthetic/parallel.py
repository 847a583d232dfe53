"""Spread independent pieces of drawing over processes, in order, with a progress bar."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from tqdm.auto import tqdm


def in_processes(function, jobs, workers, description, progress=True):
    """Yield ``function(job)`` for each job, in the order of the jobs."""
    bar = {"total": len(jobs), "desc": description, "disable": not progress}
    if workers <= 1:
        yield from tqdm(map(function, jobs), **bar)
        return
    # Started afresh: a forked copy of a process that runs TensorFlow can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from tqdm(pool.map(function, jobs), **bar)
