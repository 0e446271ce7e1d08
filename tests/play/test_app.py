"""`worldsim play` as a user meets it: without a display, without a window, and with wrong arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldsim.clip import Clip
from worldsim.play.app import play

BALLS = "worldsim/BallsSim-v0"


def test_headless_writes_a_video_of_the_right_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clip.mp4"
    assert play(BALLS, simulator=True, headless=True, frames=23, out=out) == 0
    clip = Clip.load(out)
    assert (len(clip), clip.fps) == (23, 20)
    assert (clip.frames[0] != clip.frames[-1]).any()  # the policy is at the controls
    printed = capsys.readouterr().out
    assert "23 frames" in printed
    assert "frames/s" in printed
    assert str(out) in printed


def test_headless_runs_are_the_same_for_the_same_seed_and_write_other_formats(tmp_path: Path) -> None:
    films = []
    for name in ("a", "b"):
        play(BALLS, simulator=True, headless=True, frames=9, out=tmp_path / name, seed=2)
        films.append(Clip.load(tmp_path / name).frames)
    assert films[0].shape == (9, 48, 48, 3)
    np.testing.assert_array_equal(films[0], films[1])
    play(BALLS, simulator=True, headless=True, frames=9, out=tmp_path / "c.gif")
    assert len(Clip.load(tmp_path / "c.gif")) == 9


def test_a_folder_that_is_used_is_refused_before_anything_runs(tmp_path: Path) -> None:
    play(BALLS, simulator=True, headless=True, frames=2, out=tmp_path / "film")
    with pytest.raises(ValueError, match="film already holds the PNG files of a clip"):
        play("no such world", headless=True, out=tmp_path / "film")


def test_headless_imports_no_pygame(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pygame'] = None\n"
        "from worldsim.play.app import play\n"
        f"sys.exit(play({BALLS!r}, simulator=True, headless=True, frames=3, out='clip.mp4'))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert len(Clip.load(tmp_path / "clip.mp4")) == 3


@pytest.mark.parametrize("driver", [None, "x11"])
def test_without_a_display_it_offers_the_headless_run(
    driver: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    if driver:
        monkeypatch.setenv("SDL_VIDEODRIVER", driver)  # SDL itself finds that there is no display
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems always have a display")
    assert play(BALLS, simulator=True) == 2
    message = capsys.readouterr().err
    assert "no display" in message
    assert f"worldsim play {BALLS} --simulator --headless --frames 200 --out clip.mp4" in message


@pytest.mark.parametrize("headless", [True, False])
def test_an_unknown_suffix_is_refused_before_anything_runs(tmp_path: Path, headless: bool) -> None:
    with pytest.raises(ValueError, match=r"unknown suffix '\.avi'"):
        play("no-such-world", headless=headless, out=tmp_path / "clip.avi")


def test_a_window_records_only_mp4(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="other formats need --headless"):
        play(BALLS, simulator=True, out=tmp_path / "clip.gif")


def test_wrong_arguments_are_answered_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frames must be at least 1"):
        play(BALLS, simulator=True, headless=True, frames=0)
    with pytest.raises(ValueError, match="no World and no environment 'nowhere'"):
        play("nowhere", simulator=True, headless=True)
    with pytest.raises(ValueError, match=r"not uint8 \(H, W, 3\) pictures"):
        play("CartPole-v1", simulator=True, headless=True)
    (tmp_path / "spec.json").write_text(json.dumps({"spec": {"name": "orphan", "simulator": None}}))
    with pytest.raises(ValueError, match="names no simulator"):
        play(str(tmp_path), simulator=True, headless=True)


def test_the_simulator_of_a_world_gets_the_kwargs_of_its_spec(tmp_path: Path) -> None:
    spec = {"simulator": BALLS, "simulator_kwargs": {"balls": 3, "size": [32, 48]}}
    (tmp_path / "spec.json").write_text(json.dumps({"spec": spec}))
    play(str(tmp_path), simulator=True, headless=True, frames=2, out=tmp_path / "film")
    assert Clip.load(tmp_path / "film").size == (32, 48)


def test_with_a_window_the_whole_game_is_recorded_and_errors_close_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pygame

    from worldsim.play import window

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    tick = window.Window.tick

    def tick_then_close(self: window.Window) -> None:
        tick(self)
        self.open = self.player.ticks < 5

    monkeypatch.setattr(window.Window, "tick", tick_then_close)
    assert play(BALLS, simulator=True, out=tmp_path / "game.mp4") == 0
    assert len(Clip.load(tmp_path / "game.mp4")) == 6
    with pytest.raises(ValueError, match="nowhere"):
        play("nowhere", simulator=True)
    assert not pygame.display.get_init()
