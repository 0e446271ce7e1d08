"""Recording an environment in several processes, resumable at any kill.

`record` writes a LeRobotDataset v3 directory (parquet and lossless video: to keep, to share), `record_store` a
`FrameStore` (raw arrays: what training reads). The same settings give the same episodes in both.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from worldsim.data import manifest
from worldsim.data.episodes import Episode, Recorder, RecordSettings, env_facts
from worldsim.data.store import KIND, NAME, FrameStore, StoreWriter
from worldsim.data.workers import Work, default_workers, run_units
from worldsim.files import alone
from worldsim.model import PATCH

if TYPE_CHECKING:
    from worldsim.data.lerobot import EpisodeDataset
    from worldsim.data.lerobot_writer import DatasetWriter

_SUMMARY_SECONDS = 30.0  # how often the facts about the whole recording are written while it goes on


def record(
    env_id: str,
    frames: int,
    out: str | Path,
    *,
    env_kwargs: dict[str, Any] | None = None,
    policy: str = "auto",
    seed: int = 0,
    episode_frames: int = 256,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Record at least `frames` frames as a LeRobotDataset v3 at `out`, or continue such a recording.

    What is recorded depends on the arguments but not on `workers` (None: one a core). After a kill, the same call
    goes on where it was, and mends files that are missing or cut off; a larger `frames` extends a finished recording.

    ValueError: unknown environment or policy, no image observations, or `out` holds something else or a recording
    with other settings, or another process is recording there. OSError: the disk is too small. SystemExit(130):
    Ctrl-C, with all finished files kept.
    """
    from worldsim.data.lerobot_writer import DatasetWriter

    settings = RecordSettings(env_id, env_kwargs or {}, policy, seed, episode_frames)
    slots = settings.slots(frames)
    facts = env_facts(env_id, settings.env_kwargs)
    if any(side % PATCH for side in facts.size):
        print(
            f"note: frames of {facts.size[0]}x{facts.size[1]} can be recorded, but no World can be trained on them: "
            f"that takes sides that are multiples of {PATCH} (gymnasium.wrappers.ResizeObservation makes them so)",
            file=sys.stderr,
        )
    writer = DatasetWriter(Path(out), settings, facts)
    with alone(Path(out)):
        todo = writer.prepare(slots)
        missing = sum(len(writer.slots(number, slots)) for number in todo)
        work = partial(_dataset_work, writer, slots)
        with _Progress(out, slots * episode_frames, (slots - missing) * episode_frames, progress) as bar:
            try:
                written = time.monotonic()
                with closing(run_units(work, todo, _workers(workers))) as results:
                    for number, _ in results:
                        bar.advance(len(writer.slots(number, slots)) * episode_frames)
                        if time.monotonic() - written > _SUMMARY_SECONDS:
                            writer.finish()
                            written = time.monotonic()
            finally:
                writer.finish()


def record_store(
    env_id: str,
    frames: int,
    out: str | Path,
    *,
    env_kwargs: dict[str, Any] | None = None,
    policy: str = "auto",
    seed: int = 0,
    episode_frames: int = 256,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Record at least `frames` frames into a FrameStore at `out`, or continue such a recording.

    What is recorded depends on the arguments but not on `workers` (None: one a core). After a kill, the same call
    goes on where it was; a larger `frames` extends a finished recording.

    ValueError: unknown environment or policy, no image observations, or `out` holds something else or a recording
    with other settings, or another process is recording there. OSError: the disk is too small. SystemExit(130):
    Ctrl-C, with all finished episodes kept.
    """
    settings = RecordSettings(env_id, env_kwargs or {}, policy, seed, episode_frames)
    slots = settings.slots(frames)
    writer = StoreWriter(Path(out), settings, env_facts(env_id, settings.env_kwargs))
    with alone(Path(out)):
        finished = writer.prepare(slots)
        todo = [slot for slot in range(slots) if slot not in finished]
        work = partial(_store_work, writer)
        with (
            _Progress(out, slots * episode_frames, (slots - len(todo)) * episode_frames, progress) as bar,
            closing(run_units(work, todo, _workers(workers))) as results,
        ):
            for slot, lines in results:
                writer.commit(slot, lines)
                bar.advance(episode_frames)


def store_from_dataset(dataset: str | Path, out: str | Path, *, progress: bool = True) -> None:
    """Make a FrameStore at `out` of a recording that `record` made; continues where a kill interrupted it.

    ValueError: `dataset` is no such recording or damaged, or `out` holds something else.
    OSError: the disk is too small.
    """
    from worldsim.data.lerobot import EpisodeDataset

    episodes = EpisodeDataset(dataset)
    slots = _slots(episodes)
    writer = StoreWriter(Path(out), episodes.settings, episodes.facts)
    finished = writer.prepare(1 + max(slots, default=-1))
    for slot, indices in tqdm(slots.items(), "decoding", unit=" episodes", disable=not progress):
        if slot not in finished:
            writer.commit(slot, writer.write(slot, [episodes[index] for index in indices]))


def join_stores(parts: Sequence[str | Path], out: str | Path) -> None:
    """Make a FrameStore at `out` of all episodes of others of one environment; continues where a kill interrupted it.

    It says of itself what the first of them does. ValueError if they are of different environments or episode lengths,
    or `out` holds something else. OSError: the disk is too small.
    """
    specs = [manifest.load(Path(part) / "spec.json", KIND, NAME) for part in parts]
    for part, spec in zip(parts, specs, strict=True):
        manifest.check_same(Path(part), spec | {key: specs[0][key] for key in ("policy", "seed")}, specs[0])
    stores = [FrameStore.open(part) for part in parts]
    settings, facts = manifest.parse(specs[0])
    filled = [store.starts // settings.episode_frames for store in stores]  # the slot of each episode
    first = np.cumsum([0] + [int(slots.max()) + 1 for slots in filled])
    writer = StoreWriter(Path(out), settings, facts)
    finished = writer.prepare(int(first[-1]))
    for store, slots, offset in zip(stores, filled, first[:-1].tolist(), strict=True):
        for slot in sorted(set(slots.tolist()) - {number - offset for number in finished}):
            episodes = [store.episode(int(number)) for number in np.flatnonzero(slots == slot)]
            writer.commit(offset + slot, writer.write(offset + slot, episodes))


def _slots(episodes: EpisodeDataset) -> dict[int, list[int]]:
    """The slots of a recording, each with the episodes that fill it."""
    slots: dict[int, list[int]] = {}
    left = slot = 0
    for index, (length, seed) in enumerate(zip(episodes.lengths, episodes.seeds, strict=True)):
        if not left:  # the first episode of a slot tells by its seed which one it is
            slot = seed - episodes.settings.seed
            slots[slot] = []
            left = episodes.settings.episode_frames
        slots[slot].append(index)
        left -= length
    return slots


def _workers(workers: int | None) -> int:
    return default_workers() if workers is None else workers


def _store_work(writer: StoreWriter) -> Work:
    recorder = Recorder(writer.settings)
    return lambda slot: writer.write(slot, recorder.slot(slot))


def _dataset_work(writer: DatasetWriter, slots: int) -> Work:
    recorder = Recorder(writer.settings)

    def work(number: int) -> None:
        episodes: Iterator[Episode] = (e for slot in writer.slots(number, slots) for e in recorder.slot(slot))
        writer.write(number, episodes)

    return work


class _Progress:
    """The progress bar, and the message when Ctrl-C or a full disk ends a recording early."""

    def __init__(self, out: str | Path, frames: int, done: int, show: bool) -> None:
        self._out, self._frames, self._done = out, frames, done
        self._bar = tqdm(total=frames, initial=done, unit=" frames", disable=not show, smoothing=0.05)

    def advance(self, frames: int) -> None:
        self._done += frames
        self._bar.update(frames)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._bar.close()
        so_far = f"{self._done:,} of {self._frames:,} frames are recorded in {self._out}. "
        if kind is KeyboardInterrupt:
            print(f"\nStopped: {so_far}Run the same command again to continue.", file=sys.stderr)
            raise SystemExit(130) from None
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            message = f"the disk is full: {so_far}Make room and run the same command again to continue"
            raise OSError(errno.ENOSPC, message) from error
