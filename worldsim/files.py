"""Writing files so that a kill at any moment leaves the old one or the new one; checking that the disk suffices."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp"  # how the names of files end that are being written; those left behind by a kill mean nothing
# Who needs the space and what to do about it, for `free_space_or_error`.
RECORDING = "the recording", "record fewer frames, or choose a directory on another disk"
_RESERVE = 64 << 20  # bytes left free for everything else on the disk


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; the file there takes the place of `path` at once, unless an error is raised.

    Readers, and a later run after a kill, never see half of a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace the file's text as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def free_space_or_error(directory: Path, needed: int, what: str, advice: str) -> None:
    """OSError (ENOSPC) that says both amounts, if `needed` bytes do not fit on the disk of an existing directory.

    what: who needs them, as the message begins. advice: what to do about it.
    """
    free = shutil.disk_usage(directory).free - _RESERVE
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{what} needs {needed / 1e9:.1f} GB more in {directory}, but only {max(free, 0) / 1e9:.1f} GB can "
            f"be used there; {advice}",
        )
