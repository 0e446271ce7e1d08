"""Recordings as the trainer reads them: raw arrays that are memory-mapped, so that any window of frames costs one read.

Files of a store: frames.u8 (N, H, W, 3), actions.f32 (N, A), rewards.f32 (N,), flags.u8 (N,), spec.json (settings and
facts), episodes.jsonl (one line for each finished slot: where its episodes lie, their seeds and captions). The last
file decides what exists: rows that it does not name are unfinished and are never shown.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.data import manifest
from worldsim.data.episodes import EnvFacts, Episode, RecordSettings
from worldsim.files import TEMPORARY, write_atomically

if TYPE_CHECKING:
    from worldsim.data.flows import Flows

KIND, NAME = "worldsim-frames", "frame store"
_TERMINATED, _TRUNCATED = 1, 2


def _arrays(facts: EnvFacts) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    height, width = facts.size
    return {
        "frames.u8": (np.dtype(np.uint8), (height, width, 3)),
        "actions.f32": (np.dtype(np.float32), (facts.action_dim,)),
        "rewards.f32": (np.dtype(np.float32), ()),
        "flags.u8": (np.dtype(np.uint8), ()),
    }


def _row_bytes(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    return dtype.itemsize * int(np.prod(shape, dtype=np.int64))


@dataclass(frozen=True)
class FrameStore:
    """A store opened for reading, E finished episodes long.

    frames uint8 (N, H, W, 3), actions float32 (N, A), rewards float32 (N,), terminated and truncated bool (N,): rows
    starts[e] ... starts[e] + lengths[e] - 1 are episode e (both int64 (E,)); rows outside all episodes mean nothing.
    rewards[t], terminated[t] and truncated[t] came from the step with actions[t], which led to frames[t + 1].
    policy: the name of who played; size (height, width); fps frames a second; action: the action space as
    `worldsim.spec.space_to_json` gives it.
    """

    directory: Path
    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    seeds: np.ndarray
    env_id: str
    env_kwargs: dict[str, Any]
    policy: str
    size: tuple[int, int]
    fps: int
    action: dict[str, Any]
    _texts: tuple[tuple[list[str], list[tuple[int, str]]], ...]

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def open(cls, directory: str | Path) -> FrameStore:
        """Open a store, also one that is still being recorded (its finished episodes are there).

        ValueError if the directory is no store, of another version, damaged, or has no finished episode yet.
        """
        directory = Path(directory)
        settings, facts = manifest.parse(manifest.load(directory / "spec.json", KIND, NAME))
        slots = _read_slots(directory)
        lines = [line for slot in sorted(slots) for line in slots[slot]]
        if not lines:
            raise ValueError(f"{directory} has no finished episode yet: record into it first")
        starts = np.array([line["start"] for line in lines], np.int64)
        lengths = np.array([line["length"] for line in lines], np.int64)
        rows = int((starts + lengths).max())
        arrays = {}
        for name, (dtype, shape) in _arrays(facts).items():
            path = directory / name
            have = path.stat().st_size // _row_bytes(dtype, shape) if path.exists() else 0
            if have < rows:
                raise ValueError(
                    f"{path} is damaged: it holds {have} rows of {rows}. Record with the same settings again: the lost "
                    "episodes are made anew, the others are kept"
                )
            arrays[name] = np.memmap(path, dtype, "r", shape=(have, *shape))
        flags = np.asarray(arrays["flags.u8"])
        return cls(
            directory=directory,
            frames=arrays["frames.u8"],
            actions=arrays["actions.f32"],
            rewards=arrays["rewards.f32"],
            terminated=(flags & _TERMINATED) > 0,
            truncated=(flags & _TRUNCATED) > 0,
            starts=starts,
            lengths=lengths,
            seeds=np.array([line["seed"] for line in lines], np.int64),
            env_id=settings.env_id,
            env_kwargs=settings.env_kwargs,
            policy=settings.policy,
            size=facts.size,
            fps=facts.fps,
            action=facts.action,
            _texts=tuple((line["captions"], [(row, text) for row, text in line["changes"]]) for line in lines),
        )

    @cached_property
    def flows(self) -> Flows:
        """The optical flow of the frames, see `worldsim.data.flows`."""
        from worldsim.data.flows import Flows  # here, because recorders should start fast, and it takes torch

        return Flows(self.frames)

    def captions(self, episode: int) -> list[str]:
        """Descriptions of the episode's start, in several wordings and languages where there are any; may be empty."""
        captions, changes = self._texts[episode]
        return list(captions) or [text for _, text in changes[:1]]

    def caption_changes(self, episode: int) -> list[tuple[int, str]]:
        """(row within the episode, caption from there on); empty if the environment gives no captions."""
        return list(self._texts[episode][1])

    def episode(self, episode: int) -> Episode:
        """One episode, copied into memory."""
        rows = slice(int(self.starts[episode]), int(self.starts[episode] + self.lengths[episode]))
        row_captions: list[str] = []
        for row, text in self.caption_changes(episode):
            row_captions += row_captions[-1:] * (row - len(row_captions)) + [text]
        row_captions += row_captions[-1:] * (int(self.lengths[episode]) - len(row_captions))
        return Episode(
            frames=np.array(self.frames[rows]),
            actions=np.array(self.actions[rows]),
            rewards=np.array(self.rewards[rows]),
            terminated=np.array(self.terminated[rows]),
            truncated=np.array(self.truncated[rows]),
            seed=int(self.seeds[episode]),
            captions=list(self._texts[episode][0]),
            row_captions=row_captions,
        )


class StoreWriter:
    """A store opened for writing slots into it, in any order and from several processes."""

    def __init__(self, directory: Path, settings: RecordSettings, facts: EnvFacts) -> None:
        self.directory = directory
        self.settings = settings
        self.facts = facts

    def prepare(self, slots: int) -> set[int]:
        """Make or check the store's files, with room for `slots` slots; returns the slots that are finished already.

        ValueError if the directory holds something else or a recording with other settings; OSError if the disk is
        too small. Finished slots whose rows are gone (a cut-off file) count as unfinished.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        spec = manifest.describe(KIND, self.settings, self.facts)
        if (self.directory / "spec.json").exists():
            manifest.check_same(self.directory, manifest.load(self.directory / "spec.json", KIND, NAME), spec)
        elif not all(path.match(f".*{TEMPORARY}") for path in self.directory.iterdir()):
            raise ValueError(f"{self.directory} is not empty and no recording; choose another directory")
        finished = _read_slots(self.directory)
        slot_rows = self.settings.episode_frames
        sizes: dict[Path, tuple[int, int]] = {}
        for name, (dtype, shape) in _arrays(self.facts).items():
            path = self.directory / name
            slot_bytes = _row_bytes(dtype, shape) * slot_rows
            have = path.stat().st_size if path.exists() else 0
            finished = {slot: lines for slot, lines in finished.items() if (slot + 1) * slot_bytes <= have}
            sizes[path] = have, max(have, slots * slot_bytes)
        manifest.room_or_error(self.directory, sum(new - old for old, new in sizes.values()))
        for leftover in self.directory.glob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)
        # Before the arrays grow: a kill while they do then leaves a store that is known as one, and whose slots that
        # lost their rows do not seem finished because the rows are there again, empty.
        write_atomically(self.directory / "spec.json", json.dumps(spec, indent=1))
        # Written anew: without the half line that a kill may have left, and without slots whose rows are gone.
        text = "".join(_slot_line(slot, finished[slot]) for slot in sorted(finished))
        write_atomically(self.directory / "episodes.jsonl", text)
        for path, (_, new) in sizes.items():
            _reserve(path, new)
        return set(finished)

    def write(self, slot: int, episodes: list[Episode]) -> list[dict[str, Any]]:
        """Put the episodes into their slot's rows, safely on disk; what `commit` must be told about them."""
        first = slot * self.settings.episode_frames
        flags = [episode.terminated * _TERMINATED + episode.truncated * _TRUNCATED for episode in episodes]
        columns = {
            "frames.u8": [episode.frames for episode in episodes],
            "actions.f32": [episode.actions for episode in episodes],
            "rewards.f32": [episode.rewards for episode in episodes],
            "flags.u8": flags,
        }
        # Plain writes, not a memory map: a full disk is then an OSError instead of a crash of the process.
        for name, (dtype, shape) in _arrays(self.facts).items():
            with (self.directory / name).open("r+b") as file:
                file.seek(first * _row_bytes(dtype, shape))
                for part in columns[name]:
                    file.write(np.ascontiguousarray(part, dtype).data)
                file.flush()
                os.fsync(file.fileno())
        lines = []
        for episode in episodes:
            entry = {"start": first, "length": len(episode), "seed": episode.seed, "captions": episode.captions}
            lines.append({**entry, "changes": episode.caption_changes()})
            first += len(episode)
        return lines

    def commit(self, slot: int, lines: list[dict[str, Any]]) -> None:
        """Declare a written slot finished. Only one process may do this."""
        with (self.directory / "episodes.jsonl").open("a", encoding="utf-8") as file:
            file.write(_slot_line(slot, lines))
            file.flush()
            os.fsync(file.fileno())


def _slot_line(slot: int, lines: list[dict[str, Any]]) -> str:
    return json.dumps({"slot": slot, "episodes": lines}, ensure_ascii=False) + "\n"


def _reserve(path: Path, size: int) -> None:
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):  # takes the space for good, so that a full disk shows now and not in an hour
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def _read_slots(directory: Path) -> dict[int, list[dict[str, Any]]]:
    """Finished slots with their episodes. A line that cannot be read (a kill cut it off) is a slot not finished."""
    path = directory / "episodes.jsonl"
    slots: dict[int, list[dict[str, Any]]] = {}
    if not path.exists():
        return slots
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError, KeyError, TypeError):
            entry = json.loads(line)
            slots[entry["slot"]] = entry["episodes"]
    return slots
