"""A game goes on, back and on again exactly; recordings are whole; the clock is steady."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.clip import Clip
from worldsim.play.player import Clock, Player, Rewind
from worldsim.play.session import EnvSession


@pytest.fixture
def session() -> EnvSession:
    return EnvSession("worldsim/BallsSim-v0", seed=3)


def actions(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, 2)).astype(np.float32)


def test_going_back_and_on_again_repeats_every_frame(session: EnvSession) -> None:
    player = Player(session)
    frames = [player.frame]
    pushes = actions(23)
    for push in pushes:
        frames.append(player.tick(push))
    for back in range(1, 12):
        np.testing.assert_array_equal(player.back(), frames[23 - back])
    assert player.rewinding
    assert player.ticks == 12
    for tick in range(12, 23):
        np.testing.assert_array_equal(player.tick(pushes[tick]), frames[tick + 1])
    assert player.ticks == 23


def test_rewind_reaches_ten_seconds_and_stops_there(session: EnvSession) -> None:
    player = Player(session)
    frames = [player.frame]
    pushes = actions(230)
    for push in pushes:
        frames.append(player.tick(push))
    for _ in range(300):
        player.back()
    np.testing.assert_array_equal(player.frame, frames[30])
    np.testing.assert_array_equal(player.tick(pushes[30]), frames[31])


def test_where_nothing_can_be_rewound_the_picture_stands_still(session: EnvSession) -> None:
    session.can_rewind = False
    player = Player(session)
    for push in actions(5):
        shown = player.tick(push)
    np.testing.assert_array_equal(player.back(), shown)
    assert not player.rewinding
    assert player.ticks == 5


def test_large_snapshots_are_taken_less_often_but_rewind_stays_exact(session: EnvSession) -> None:
    taken = 0
    original = session.snapshot

    def counting() -> object:
        nonlocal taken
        taken += 1
        return original()

    session.snapshot = counting  # type: ignore[method-assign]
    state = original()
    from worldsim.play.player import nbytes

    size = nbytes(state)
    assert size >= session.frame.nbytes
    rewind = Rewind(session, 40, limit=2 * size)  # room for two: one every twenty ticks
    frames = [session.frame]
    for push in actions(40):
        frames.append(session.step(push))
        rewind.push(push)
    assert taken == 3
    rewind.go(23)
    np.testing.assert_array_equal(session.frame, frames[17])
    assert len(rewind) == 17


def test_restart_forgets_the_past_and_is_the_same_start_for_the_same_seed(session: EnvSession) -> None:
    player = Player(session)
    first = player.frame
    player.tick(actions(1)[0])
    assert not np.array_equal(player.restart(4), first)
    np.testing.assert_array_equal(player.back(), player.frame)
    assert not player.rewinding
    np.testing.assert_array_equal(player.restart(3), first)


def test_the_game_starts_anew_after_an_end(session: EnvSession) -> None:
    player = Player(session)
    player.tick(actions(1)[0])
    session.ended = True
    player.tick(actions(1)[0])
    assert (session.seed, player.ticks, session.ended) == (4, 0, False)


def test_video_holds_what_was_shown_and_picture_is_exact(session: EnvSession, tmp_path: Path) -> None:
    player = Player(session, folder=tmp_path)
    assert player.stop_video() is None
    path = player.start_video()
    shown = [player.frame] + [player.tick(push) for push in actions(9)] + [player.back()]
    assert not path.exists()
    assert player.recording_seconds == pytest.approx(11 / 20)
    assert player.stop_video() == path
    clip = Clip.load(path)
    assert len(clip) == 11
    assert clip.size == (48 * 6, 48 * 6)
    small = clip.frames[:, 3::6, 3::6].astype(float)
    assert np.abs(small - np.stack(shown)).mean() < 6
    np.testing.assert_array_equal(Clip.load(player.save_picture()).frames[0], player.frame)
    assert player.save_picture() != player.save_picture()


def test_steps_change_only_where_frames_are_denoised(session: EnvSession) -> None:
    assert Player(session).change_steps(1) is None


def test_clock_does_not_drift_and_skips_what_is_hopelessly_late() -> None:
    now = 0.0
    clock = Clock(20, lambda: now)
    ticks = []
    for _ in range(100):
        now += clock.remaining() + 0.003  # every wake-up is three milliseconds late
        clock.tick()
        ticks.append(now)
        now += 0.01
    assert ticks[-1] - ticks[0] == pytest.approx(99 / 20)
    now += 1.0
    clock.tick()
    burst = 0
    while clock.remaining() == 0:
        clock.tick()
        burst += 1
    assert burst <= 2
