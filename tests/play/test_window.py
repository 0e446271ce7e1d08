"""The window's loop under SDL's dummy driver: posted events do what the keys promise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from gymnasium import spaces

from worldsim.clip import Clip
from worldsim.play.keymap import Keymap
from worldsim.play.player import Player
from worldsim.play.session import EnvSession
from worldsim.play.window import Window


class Game:
    """A window on a simulator in which the test presses keys and makes ticks by hand; actions are noted."""

    def __init__(self, env_id: str, folder: Path) -> None:
        self.session = EnvSession(env_id, seed=5)
        self.actions: list[Any] = []
        step = self.session.step

        def noting_step(action: Any) -> np.ndarray:
            self.actions.append(action)
            return step(action)

        self.session.step = noting_step  # type: ignore[method-assign]
        self.player = Player(self.session, folder=folder)
        self.window = Window()
        self.window.attach(self.player, Keymap(self.session.space))

    def key(self, key: int, down: bool = True) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, key=key))

    def tap(self, key: int) -> None:
        self.key(key)
        self.key(key, down=False)

    def tick(self, count: int = 1) -> np.ndarray:
        for _ in range(count):
            self.window.poll()
            self.window.tick()
        return self.player.frame


@pytest.fixture
def make_game(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    games: list[Game] = []

    def make(env_id: str = "worldsim/BallsSim-v0") -> Game:
        games.append(Game(env_id, tmp_path))
        return games[-1]

    yield make
    for game in games:
        game.player.close()
        game.window.close()


def test_held_keys_act_every_tick_and_a_short_tap_acts_once(make_game: Any) -> None:
    game = make_game()
    game.key(pygame.K_RIGHT)
    game.tick(2)
    game.key(pygame.K_RIGHT, down=False)
    game.tick()
    game.tap(pygame.K_UP)  # down and up again between two ticks
    game.tick(2)
    np.testing.assert_array_equal(game.actions, [(1, 0), (1, 0), (0, 0), (0, 1), (0, 0)])


def test_the_block_world_is_walked_with_keys_and_mouse(make_game: Any) -> None:
    game = make_game("worldsim/BlocksSim-v0")
    game.tick()
    game.key(pygame.K_w)
    pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1))
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(40, 0), pos=(0, 0), buttons=(0, 0, 0)))
    pygame.event.post(pygame.event.Event(pygame.MOUSEWHEEL, y=-2, x=0))
    game.tick()
    still, walk = game.actions
    assert (still["forward"], still["break"], still["hotbar"]) == (0, 0, 0)
    assert (walk["forward"], walk["break"], walk["hotbar"]) == (1, 1, 2)
    assert walk["camera"][0] == pytest.approx(6.0)


def test_the_mouse_points_where_the_picture_is(make_game: Any) -> None:
    game = make_game()
    space = spaces.Box(0.0, 512.0, (2,), np.float32)  # as if it were PushT, whose package need not be installed
    game.window.keymap = Keymap(space, "worldsim/PushTSim-v0")
    pygame.display.set_mode((1000, 600))
    game.window.draw()
    height, width = game.player.frame.shape[:2]
    side = min(1000 // width, 600 // height) * width
    left, top = (1000 - side) // 2, (600 - side) // 2
    place = left + side // 4, top + side // 2
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(1, 1), pos=place, buttons=(0, 0, 0)))
    game.window.poll()
    np.testing.assert_allclose(game.window.keymap.action(()), [128, 256], atol=1)
    assert not game.window.grabbed


def test_escape_frees_the_mouse_then_a_click_takes_it_back_without_a_blow_then_escape_twice_quits(
    make_game: Any,
) -> None:
    game = make_game("worldsim/BlocksSim-v0")
    assert game.window.grabbed
    game.tap(pygame.K_ESCAPE)
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(40, 0), pos=(0, 0), buttons=(0, 0, 0)))
    game.tick()
    assert game.window.open
    assert game.actions[-1]["camera"][0] == 0  # a free mouse does not turn the head
    pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1))
    game.tick()
    assert game.window.grabbed
    assert game.actions[-1]["break"] == 0
    game.tap(pygame.K_ESCAPE)
    game.tap(pygame.K_ESCAPE)
    game.tick()
    assert not game.window.open


def test_backspace_rewinds_bit_for_bit_and_the_game_goes_on_from_there(make_game: Any) -> None:
    game = make_game()
    game.key(pygame.K_RIGHT)
    frames = [game.player.frame, *(game.tick().copy() for _ in range(12))]
    game.key(pygame.K_BACKSPACE)
    for back in range(1, 8):
        np.testing.assert_array_equal(game.tick(), frames[12 - back])
    game.key(pygame.K_BACKSPACE, down=False)
    np.testing.assert_array_equal(game.tick(), frames[6])  # the right arrow is still held


def test_pause_stands_still_and_a_dot_makes_one_step(make_game: Any) -> None:
    game = make_game()
    game.tick(2)
    game.tap(pygame.K_o)
    game.tick(3)
    assert game.player.ticks == 2
    game.key(pygame.K_PERIOD)
    game.tick(3)
    assert game.player.ticks == 3  # one step, however long the key is held
    game.tap(pygame.K_o)
    game.tick()
    assert game.player.ticks == 4


def test_restart_takes_the_next_seed(make_game: Any) -> None:
    game = make_game()
    before = game.tick(3)
    game.tap(pygame.K_r)
    after = game.tick()
    assert (game.session.seed, game.player.ticks) == (6, 1)
    assert not np.array_equal(before, after)


def test_p_saves_the_frame_that_is_shown(make_game: Any, tmp_path: Path) -> None:
    game = make_game()
    shown = game.tick(3)
    game.tap(pygame.K_p)
    game.window.poll()
    (picture,) = tmp_path.glob("*.png")
    np.testing.assert_array_equal(Clip.load(picture).frames[0], shown)


def test_v_records_a_playable_video(make_game: Any, tmp_path: Path) -> None:
    game = make_game()
    game.tap(pygame.K_v)
    game.tick(7)
    game.tap(pygame.K_v)
    game.tick(2)
    (video,) = tmp_path.glob("*.mp4")
    assert len(Clip.load(video)) == 8  # the frame at the first V and seven ticks


@pytest.mark.parametrize("key", [pygame.K_p, pygame.K_v])
def test_a_place_that_cannot_be_written_does_not_end_the_game(make_game: Any, tmp_path: Path, key: int) -> None:
    game = make_game()
    game.tick()
    before = pygame.surfarray.array3d(pygame.display.get_surface())
    (tmp_path / "file").write_text("not a folder")
    game.player.folder = tmp_path / "file" / "within"
    game.tap(key)
    game.tick()
    assert game.window.open
    assert game.player.recording_seconds is None
    assert not np.array_equal(before[:, -60:], pygame.surfarray.array3d(pygame.display.get_surface())[:, -60:])


def test_a_window_closed_while_loading_stays_closed(make_game: Any) -> None:
    game = make_game()
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    game.window.play(game.player, Keymap(game.session.space))
    assert game.player.ticks == 0


def test_f3_shows_figures(make_game: Any) -> None:
    game = make_game()
    game.tick(2)
    corner = pygame.surfarray.array3d(pygame.display.get_surface())[10:200, 10:100]
    game.tap(pygame.K_F3)
    game.tick()
    assert game.window.show_figures
    assert not np.array_equal(corner, pygame.surfarray.array3d(pygame.display.get_surface())[10:200, 10:100])
    text = "\n".join(game.window.figures())
    assert "frames/s of 20" in text
    assert "key to frame" in text
    assert "ms (median)" in text
    assert "step 3   seed 5" in text
    game.tap(pygame.K_F3)
    game.tick()
    assert not game.window.show_figures


def test_frames_are_enlarged_a_whole_number_of_times_in_the_middle(make_game: Any) -> None:
    game = make_game()
    assert pygame.display.get_surface().get_size() == (48 * 13, 48 * 13)
    pygame.display.set_mode((700, 500), pygame.RESIZABLE)
    frame = game.tick()
    pixels = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    left, top, edge = (700 - 480) // 2, (500 - 480) // 2, 480
    shown = pixels[top : top + edge, left : left + edge][: edge * 3 // 4]  # below lies the hint
    np.testing.assert_array_equal(shown, frame.repeat(10, 0).repeat(10, 1)[: edge * 3 // 4])
    assert not pixels[:top].any()
    assert not pixels[:, :left].any()


def test_help_and_full_screen(make_game: Any) -> None:
    game = make_game()
    for key in (pygame.K_h, pygame.K_F11, pygame.K_PLUS):
        game.tap(key)
        game.tick()
    assert game.window.show_help
    assert game.window.fullscreen
    assert game.session.steps is None
    game.tap(pygame.K_F11)
    game.tick()
    assert not game.window.fullscreen


def test_when_the_focus_is_lost_keys_are_released_and_the_mouse_comes_back_with_it(make_game: Any) -> None:
    game = make_game("worldsim/BlocksSim-v0")
    game.key(pygame.K_w)
    game.tick()
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    game.tick()
    assert [action["forward"] for action in game.actions] == [1, 0]
    assert not game.window.grabbed
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSGAINED))
    game.tick()
    assert game.window.grabbed


def test_the_loop_keeps_the_rate_and_ends_when_the_window_is_closed(make_game: Any) -> None:
    game = make_game()
    tick = game.window.tick

    def tick_then_close() -> None:
        tick()
        if game.player.ticks == 10:
            pygame.event.post(pygame.event.Event(pygame.QUIT))

    game.window.tick = tick_then_close
    began = time.perf_counter()
    game.window.play(game.player, Keymap(game.session.space))
    assert game.player.ticks == 10
    assert 9 / 20 - 0.02 < time.perf_counter() - began < 5  # not faster than 20 a second; a busy machine is slower


def test_it_plays_by_itself_until_a_key_takes_over(make_game: Any) -> None:
    game = make_game()
    game.tap(pygame.K_g)
    game.tick(30)
    assert np.abs(np.array(game.actions)).max() > 0, "its own policy pushes"
    game.tap(pygame.K_F3)
    game.tick()
    assert game.window.autoplay, "figures may be looked at"
    game.key(pygame.K_RIGHT)
    game.tick(2)
    assert not game.window.autoplay
    np.testing.assert_array_equal(game.actions[-2:], [(1, 0), (1, 0)])


def type_line(game: Game, text: str) -> None:
    game.tap(pygame.K_t)
    for letter in text:
        game.tap(pygame.key.key_code(letter))
        pygame.event.post(pygame.event.Event(pygame.TEXTINPUT, text=letter))


def test_a_line_is_typed_and_said(make_game: Any) -> None:
    game, heard = make_game(), []
    game.session.set_prompt = lambda prompt: bool(heard.append(prompt)) or True
    type_line(game, "arw")
    game.tick(3)
    assert not game.actions, "the game waits"
    game.tap(pygame.K_BACKSPACE)
    game.tap(pygame.K_RETURN)
    game.tick(2)
    assert heard == ["ar"]
    np.testing.assert_array_equal(game.actions, [(0, 0), (0, 0)])  # letters that were typed move nothing
    type_line(game, "at")
    game.tap(pygame.K_RETURN)
    game.key(pygame.K_t, down=False)  # released after Enter: not a new line
    game.tick()
    assert heard == ["ar", "at"]
    assert len(game.actions) == 3
    type_line(game, "no")
    game.tap(pygame.K_ESCAPE)
    game.tick()
    assert heard == ["ar", "at"]
    assert game.window.open
