"""Writing files so that a kill at any moment leaves the old one or the new one; room on the disk; what is the same."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has other locks
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".tmp"  # how the names of files end that are being written; those left behind by a kill mean nothing
_RESERVE = 64 << 20  # bytes left free for everything else on the disk


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; the file there takes the place of `path` at once, unless an error is raised.

    Readers, and a later run after a kill, never see half of a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep a directory, which is made if need be, to this call: two trainings that write one checkpoint spoil both.

    ValueError if another process, or another call, is at work in it. The lock ends with the process, however it ends.
    Where there are none (Windows, some disks of networks) nobody is kept out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process is at work in {directory}: stop it, wait until it ends, or use another --out"
            ) from None
        except OSError:
            pass  # a disk without locks
        yield
    finally:
        os.close(handle)


def clear_leftovers(path: Path) -> None:
    """Remove what a kill left behind of earlier attempts to write `path`; nobody may be writing it now."""
    for leftover in path.parent.glob(f".{path.name}.*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace the file's text as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def digest(*paths: Path) -> str:
    """What the contents of files are known by, 16 hexadecimal digits of their SHA-256."""
    sums = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            sums.update(hashlib.file_digest(file, "sha256").digest())
    return sums.hexdigest()[:16]


def differences(have: dict[str, Any], want: dict[str, Any]) -> str:
    """What two settings, plain JSON values, differ in, for a message; empty if they are the same."""
    keys = sorted(key for key in want.keys() | have.keys() if want.get(key) != have.get(key))
    return ", ".join(f"{key}: {have.get(key)!r} there, {want.get(key)!r} now" for key in keys)


def free_space_or_error(directory: Path, needed: int, what: str, advice: str) -> None:
    """OSError (ENOSPC) that says both amounts, if `needed` bytes do not fit on the disk of an existing directory.

    what: who needs them, as the message begins. advice: what to do about it.
    """
    free = max(shutil.disk_usage(directory).free - _RESERVE, 0)
    if needed > free:
        unit, size = ("GB", 1e9) if needed >= 1e9 else ("MB", 1e6)
        raise OSError(
            errno.ENOSPC,
            f"{what} needs {needed / size:.1f} {unit} more in {directory}, but only {free / size:.1f} {unit} can be "
            f"used there; {advice}",
        )
