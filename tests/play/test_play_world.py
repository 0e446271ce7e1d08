"""A learned World is played like a simulator: stepped, rewound exactly also across changes of K, and by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import worldsim
from worldsim.clip import Clip
from worldsim.play.app import play
from worldsim.play.keymap import Keymap
from worldsim.play.player import Player, nbytes
from worldsim.play.session import WorldSession


@pytest.fixture
def session(tiny_world_dir: Path) -> WorldSession:
    return WorldSession(worldsim.load(tiny_world_dir), seed=1, steps=1)


def test_frames_follow_the_actions_of_the_keys(session: WorldSession, tiny_world_dir: Path) -> None:
    keymap = Keymap(session.space)
    start = session.frame
    assert start.shape == (32, 48, 3)
    walked = session.step(keymap.action({"w"}))
    other = WorldSession(worldsim.load(tiny_world_dir), seed=1, steps=1)
    np.testing.assert_array_equal(other.frame, start)
    assert (other.step(keymap.action(())) != walked).any()


def test_rewind_is_exact_across_changes_of_k(session: WorldSession) -> None:
    player, keymap = Player(session), Keymap(session.space)
    frames = [player.frame]
    for tick in range(16):
        if tick == 7:
            assert player.change_steps(1) == 2
        frames.append(player.tick(keymap.action({"w"} if tick % 2 else ())))
    for _ in range(12):
        player.back()
    player.resume()
    np.testing.assert_array_equal(session.frame, frames[4])
    assert session.steps == 2  # what the player has chosen holds
    player.change_steps(-1)
    for tick in range(4, 16):
        if tick == 7:
            player.change_steps(1)
        np.testing.assert_array_equal(player.tick(keymap.action({"w"} if tick % 2 else ())), frames[tick + 1])


def test_k_stays_within_its_bounds(session: WorldSession) -> None:
    player = Player(session)
    assert player.change_steps(-1) == 1
    assert [player.change_steps(1) for _ in range(9)][-1] == 8


def test_snapshots_are_weighed_with_all_their_tensors(session: WorldSession) -> None:
    state = session.snapshot()
    assert nbytes(state) > 2 * session.frame.nbytes  # the frame stands in it twice; beside it, the memory
    assert nbytes({"a": [np.zeros(10, np.uint8)], "b": (1, "x")}) == 10


def test_restart_is_the_start_of_that_seed(session: WorldSession) -> None:
    first = session.frame
    session.step(session.policy_action())
    session.restart(2)
    np.testing.assert_array_equal(session.restart(1), first)


def test_its_own_policy_gives_actions_of_the_space_and_one_seed_one_film(tiny_world_dir: Path, tmp_path: Path) -> None:
    films = []
    for name in ("a", "b"):
        assert play(str(tiny_world_dir), headless=True, frames=6, seed=4, out=tmp_path / name) == 0
        films.append(Clip.load(tmp_path / name).frames)
    assert films[0].shape == (6, 32, 48, 3)
    np.testing.assert_array_equal(films[0], films[1])


def test_size_steps_and_prompt_reach_the_world(tiny_world_dir: Path, tmp_path: Path) -> None:
    play(str(tiny_world_dir), headless=True, frames=2, size=(48, 48), steps=1, prompt="a hill", out=tmp_path / "film")
    assert Clip.load(tmp_path / "film").size == (48, 48)
    with pytest.raises(ValueError, match="multiples of 16"):
        play(str(tiny_world_dir), headless=True, frames=2, size=(50, 48), out=tmp_path / "other")


def test_an_end_predicted_by_the_world_starts_it_anew(ending_world_dir: Path) -> None:
    player = Player(WorldSession(worldsim.load(ending_world_dir), seed=1))
    for _ in range(3):
        player.tick(player.session.policy_action())
    assert (player.session.seed, player.ticks) == (2, 1)


def test_an_unknown_world_is_refused_with_and_without_a_window(tmp_path: Path) -> None:
    for headless in (True, False):
        with pytest.raises(ValueError, match="there is no World 'atlantis'"):
            play("atlantis", headless=headless, out=tmp_path / "clip.mp4")


def test_the_window_shows_and_changes_k(tiny_world_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    from worldsim.play import window

    figures: list[str] = []
    tick = window.Window.tick

    def tick_with_plus(self: window.Window) -> None:
        tick(self)
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_PLUS))
        figures.append(self.figures()[-1])
        self.open = len(figures) < 3

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(window.Window, "tick", tick_with_plus)
    assert play(str(tiny_world_dir), steps=1) == 0
    assert [line.split("K ")[1] for line in figures] == ["1", "2", "3"]
