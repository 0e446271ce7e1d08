"""The state of one game, tick by tick: session, rewind, recording. The window and the headless run both drive it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.clip import Clip
from worldsim.play.session import Session
from worldsim.video import MARK, VideoWriter

REWIND_SECONDS = 10
KEYFRAME_TICKS = 5  # a snapshot every so many ticks; what lies between is played again from the actions
REWIND_BYTES = 512 * 2**20  # for all snapshots together; with large ones they are taken less often
MOST_STEPS = 8


@dataclass(frozen=True)
class _Tick:
    number: int
    action: Any  # that led here; None at the start
    steps: int | None  # denoising steps it was made with
    frame: np.ndarray


class Rewind:
    """The last ticks of a session, any of which it can go back to exactly.

    Frames are kept for every tick, so looking back is free; going back restores the snapshot before the tick and
    repeats the actions since. `ticks` is how far back it reaches.
    """

    def __init__(self, session: Session, ticks: int, *, every: int = KEYFRAME_TICKS, limit: int = REWIND_BYTES) -> None:
        self._session = session
        self._length = ticks
        self._least_every, self._limit = every, limit
        self.clear()

    def clear(self) -> None:
        """Forget everything and begin at the session's present state."""
        self._ticks = deque([_Tick(0, None, self._session.steps, self._session.frame)])
        self._snapshots: deque[tuple[int, Any]] = deque()
        self._every = self._least_every
        if self._session.can_rewind:
            snapshot = self._session.snapshot()
            self._snapshots.append((0, snapshot))
            self._every = max(self._least_every, -(-self._length * nbytes(snapshot) // self._limit))

    def __len__(self) -> int:
        """How many ticks it can go back."""
        return len(self._ticks) - 1

    def push(self, action: Any) -> None:
        """Remember the tick that `session.step(action)` has just made."""
        number = self._ticks[-1].number + 1
        self._ticks.append(_Tick(number, action, self._session.steps, self._session.frame))
        if not self._session.can_rewind:
            self._ticks.popleft()  # the present is all there is
            return
        if number - self._snapshots[-1][0] >= self._every:
            self._snapshots.append((number, self._session.snapshot()))
        while len(self._ticks) > self._length + 1:
            self._ticks.popleft()
        while len(self._snapshots) > 1 and self._snapshots[1][0] <= self._ticks[0].number:
            self._snapshots.popleft()

    def renew(self) -> None:
        """The session's present has been changed, by no action: go on from it as it is now."""
        last = self._ticks.pop()
        self._ticks.append(replace(last, frame=self._session.frame))
        if self._session.can_rewind:
            if self._snapshots[-1][0] == last.number:
                self._snapshots.pop()
            self._snapshots.append((last.number, self._session.snapshot()))

    def frame(self, back: int) -> np.ndarray:
        """The frame `back` ticks ago."""
        return self._ticks[-1 - back].frame

    def go(self, back: int) -> None:
        """Put the session `back` ticks back and forget what came after."""
        target = self._ticks[-1 - back].number
        while self._snapshots[-1][0] > target:
            self._snapshots.pop()
        number, snapshot = self._snapshots[-1]
        steps = self._session.steps
        self._session.restore(snapshot)
        for tick in self._ticks:
            if number < tick.number <= target:
                self._session.set_steps(tick.steps)
                self._session.step(tick.action)
        self._session.set_steps(steps)  # what the player has chosen holds from here on
        for _ in range(back):
            self._ticks.pop()


class Player:
    """Plays one session: `tick` with an action, or `back` while rewinding; records what is shown when asked to.

    folder: where pictures and videos go that are not given a name. frame: the picture to show now.
    """

    def __init__(self, session: Session, *, folder: Path | None = None) -> None:
        self.session = session
        self.folder = folder or Path()
        self.frame = session.frame
        self.ticks = 0  # from the start to the frame that is shown
        self._rewind = Rewind(session, REWIND_SECONDS * session.fps)
        self._back = 0
        self._video: VideoWriter | None = None

    @property
    def recording_seconds(self) -> float | None:
        """Length of the video being recorded, None if none is."""
        return self._video.frames / self._video.fps if self._video else None

    @property
    def rewinding(self) -> bool:
        """Whether the frame shown lies in the past."""
        return self._back > 0

    def tick(self, action: Any) -> np.ndarray:
        """Do `action`, an element of the session's space, and return the frame it leads to.

        After a rewind the game goes on from the frame that is shown; after an end it starts anew with the next seed.
        """
        self.resume()
        if self.session.ended:
            return self.restart(self.session.seed + 1)
        self.session.step(action)
        self.ticks += 1
        self._rewind.push(action)
        return self._show(self.session.frame)

    def back(self) -> np.ndarray:
        """Show the frame of one tick earlier; where nothing (more) is remembered the picture stands still."""
        if self._back < len(self._rewind):
            self._back += 1
            self.ticks -= 1
        return self._show(self._rewind.frame(self._back))

    def resume(self) -> None:
        """Bring the session to the frame that a rewind has arrived at."""
        if self._back:
            self._rewind.go(self._back)
            self._back = 0

    def restart(self, seed: int) -> np.ndarray:
        """Begin anew from the start that `seed` chooses."""
        self._back = self.ticks = 0
        self.session.restart(seed)
        self._rewind.clear()
        return self._show(self.session.frame)

    def set_prompt(self, prompt: str) -> bool:
        """Let what the text says happen, from the frame that is shown on; whether anything can come of it."""
        self.resume()
        heard = self.session.set_prompt(prompt)
        if heard:
            self._rewind.renew()
            self._show(self.session.frame)
        return heard

    def change_steps(self, by: int) -> int | None:
        """Take more or fewer denoising steps a frame from now on; the new number, None where there are none."""
        if self.session.steps is not None:
            self.session.set_steps(min(max(self.session.steps + by, 1), MOST_STEPS))
        return self.session.steps

    def save_picture(self) -> Path:
        """Save the frame that is shown as a PNG of its own size; where it is."""
        return Clip(self.frame[None], fps=self.session.fps, world=self.session.name, seed=self.session.seed).save(
            self._new_path(".png")
        )

    def start_video(self, path: Path | None = None) -> Path:
        """Record everything that is shown from now on, the present frame included; where it will be."""
        self.stop_video()
        path = path or self._new_path(".mp4")
        size = self.frame.shape[0], self.frame.shape[1]
        comment = f"{MARK}: {self.session.name}"
        # A fast preset: encoding shares the processor with the game.
        self._video = VideoWriter(
            path, self.session.fps, size, scale=video_scale(size), comment=comment, preset="veryfast"
        )
        self._video.write(self.frame)
        return path

    def stop_video(self) -> Path | None:
        """Finish the video; where it is, None if none was being recorded."""
        video, self._video = self._video, None
        if video is None:
            return None
        video.close()
        return video.path

    def close(self) -> None:
        """Finish the video and let go of the session."""
        self.stop_video()
        self.session.close()

    def _show(self, frame: np.ndarray) -> np.ndarray:
        self.frame = frame
        if self._video:
            self._video.write(frame)
        return frame

    def _new_path(self, suffix: str) -> Path:
        stem = f"worldsim-{time.strftime('%Y%m%d-%H%M%S')}"
        path, count = self.folder / f"{stem}{suffix}", 1
        while path.exists():
            count += 1
            path = self.folder / f"{stem}-{count}{suffix}"
        return path


class Clock:
    """Deadlines `1 / fps` seconds apart that do not drift; one that was missed by more than a tick starts them anew."""

    def __init__(self, fps: int, now: Callable[[], float] = time.perf_counter) -> None:
        self._period = 1 / fps
        self._now = now
        self._deadline = now()

    def remaining(self) -> float:
        """Seconds until the next tick is due, 0 if it is."""
        return max(0.0, self._deadline - self._now())

    def tick(self) -> None:
        """A tick is being made now: set the next deadline."""
        self._deadline += self._period
        if self._deadline < self._now() - self._period:
            self._deadline = self._now()  # hopelessly late: a burst of ticks to catch up would feel like a jump


def video_scale(size: tuple[int, int]) -> int:
    """How many times to enlarge frames of this (height, width) so that a video player shows them at a useful size."""
    return max(1, 320 // size[0])


def nbytes(value: Any) -> int:
    """Bytes of the arrays and tensors inside a snapshot."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, dict):
        return sum(map(nbytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(nbytes, value))
    if is_dataclass(value):
        return sum(nbytes(getattr(value, part.name)) for part in fields(value))
    return 0
