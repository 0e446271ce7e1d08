"""Doing numbered pieces of work in several processes, in a way that survives any of them being killed.

Each worker has a pipe of its own to the parent: whichever side dies, the other one notices at once, so that no worker
is left behind and the parent never waits for a dead one.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

# One process per core does the work, so libraries must not start threads of their own.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

Work = Callable[[int], Any]


class WorkerError(RuntimeError):
    """A process that worked for this one failed or died; the message says where and why."""


def default_workers() -> int:
    """One worker for each core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_units(make_work: Callable[[], Work], units: Iterable[int], workers: int) -> Generator[tuple[int, Any]]:
    """Yield (unit, make_work()(unit)) for all units, in the order in which they are finished.

    `make_work` is called once in each worker (with one worker: in this process) and must be picklable, as must the
    results. An error in a worker is raised here as WorkerError, or as the OSError or ValueError that it was.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    todo = list(units)
    if not todo:
        return
    if workers == 1:
        work = make_work()
        for unit in todo:
            yield unit, work(unit)
        return
    pipes: dict[Any, Any] = {}
    try:
        for connection, process in _start(make_work, min(workers, len(todo))):
            pipes[connection] = process
        waiting = iter(todo)
        for connection in list(pipes):
            connection.send(next(waiting))
        busy = set(pipes)
        while busy:
            reports: list[Any] = multiprocessing.connection.wait(list(busy))
            for ready in reports:
                try:
                    unit, result, error = ready.recv()
                except (EOFError, ConnectionResetError):
                    pipes[ready].join()
                    raise WorkerError(
                        f"a worker process ended unexpectedly (exit code {pipes[ready].exitcode}); if it was killed "
                        "for lack of memory, use fewer workers. `worldsim record` goes on where it was"
                    ) from None
                if error is not None:
                    raise error
                following = next(waiting, None)
                if following is None:
                    busy.discard(ready)
                else:
                    ready.send(following)
                yield unit, result
    finally:
        for connection, process in pipes.items():
            connection.close()
            process.terminate()
        for process in pipes.values():
            process.join()


def _start(make_work: Callable[[], Work], count: int) -> Iterator[tuple[Any, Any]]:
    context = multiprocessing.get_context("spawn")  # fork is unsafe once numba, torch or a window have threads
    with _quiet_start():
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, make_work), daemon=True)
            process.start()
            theirs.close()
            yield ours, process


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Children inherit: one thread each, and Ctrl-C left to the parent, which then ends them."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    handler: Any = None
    if threading.current_thread() is threading.main_thread():
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(connection: Any, make_work: Callable[[], Work]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    work: Work | None = None
    while True:
        try:
            unit = connection.recv()
        except (EOFError, OSError):
            return  # the parent has no more work, or is gone
        try:
            work = work or make_work()
            answer: tuple[int, Any, Exception | None] = (unit, work(unit), None)
        except OSError as error:  # libraries have kinds of their own, which might not travel between processes
            answer = (unit, None, OSError(error.errno, error.strerror or str(error)))
        except ValueError as error:
            answer = (unit, None, ValueError(str(error)))
        except Exception as error:
            answer = (unit, None, WorkerError(f"a worker process failed: {type(error).__name__}: {error}"))
        try:
            connection.send(answer)
        except OSError:
            return
        except Exception as error:  # a result that does not travel between processes
            connection.send((unit, None, WorkerError(f"a result cannot be sent: {type(error).__name__}: {error}")))
