"""The same done with each of many files, by threads, under progress bars."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.progress import Progress, TaskID

CHUNK = 256  # images between two steps of the progress bar


@dataclass(frozen=True)
class Job:
    """What is done with each of many things, by how many threads, under a title of its own."""

    title: str
    function: Callable[[Any], None]
    things: list[Any]
    threads: int = 1


def run_jobs(jobs: Iterable[Job], bars: Progress) -> None:
    """Do all `jobs` at once; the first error, Ctrl-C included, ends them all."""
    stop = threading.Event()

    def work(job: Job, chunk: list[Any], bar: TaskID) -> None:
        for thing in chunk:
            if stop.is_set():
                return
            job.function(thing)
        bars.advance(bar, len(chunk))

    pools, futures = [], []
    try:
        for job in jobs:
            pool = ThreadPoolExecutor(job.threads)
            pools.append(pool)
            bar = bars.add_task(escape(job.title), total=len(job.things))
            chunks = (job.things[i : i + CHUNK] for i in range(0, len(job.things), CHUNK))
            futures += [pool.submit(work, job, chunk, bar) for chunk in chunks]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
    finally:
        stop.set()
        for pool in pools:
            pool.shutdown(cancel_futures=True)
