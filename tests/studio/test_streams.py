"""The studio: Clips of the length that was asked for, that begin as they should, and can be made again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import worldsim
from worldsim import studio
from worldsim.cli import main
from worldsim.clip import Clip
from worldsim.world import World


@pytest.fixture(scope="module")
def world(tiny_world_dir: Path) -> World:
    return worldsim.load(tiny_world_dir, device="cpu", dtype="float32")


def noise(frames: int, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3)).astype(np.uint8)


def same(one: Clip, other: Clip) -> bool:
    return np.array_equal(one.frames, other.frames)


def test_a_clip_has_the_length_and_origin_that_was_asked_for(world: World) -> None:
    (clip,) = studio.generate(world, "snow", seconds=0.5, seed=4)
    assert clip.frames.shape == (10, 32, 48, 3)
    assert clip.actions.shape == (9, world.spec.action_dim)
    assert (clip.fps, clip.prompt, clip.seed, clip.world) == (20, "snow", 4, "tiny")
    (larger,) = studio.generate(world, seconds=0.1, size=(48, 32))
    assert larger.size == (48, 32)


def test_variations_differ_and_each_is_that_of_its_seed(world: World) -> None:
    clips = studio.generate(world, seconds=0.4, variations=3, seed=10)
    assert [clip.seed for clip in clips] == [10, 11, 12]
    assert not same(clips[0], clips[1])
    assert same(clips[2], studio.generate(world, seconds=0.4, seed=12)[0])


def test_a_picture_is_the_first_frame(world: World, tmp_path: Path) -> None:
    picture = noise(1)[0]
    (clip,) = studio.generate(world, image=picture, seconds=0.2)
    assert np.array_equal(clip.frames[0], picture)
    Image.fromarray(noise(1, 100, 90)[0]).save(tmp_path / "large.png")
    (cropped,) = studio.generate(world, image=tmp_path / "large.png", seconds=0.2, size=(32, 32))
    assert cropped.size == (32, 32)
    assert clip.provenance is None, "the picture is in no file"
    assert cropped.provenance is not None


def test_actions_can_be_given(world: World) -> None:
    space = world.spec.action_space
    space.seed(1)
    actions = np.stack([world.spec.flatten(space.sample()) for _ in range(5)])
    (clip,) = studio.generate(world, seconds=0.3, actions=actions)
    assert np.array_equal(clip.actions, actions)
    run = world.start(seed=0)
    for action, frame in zip(actions, clip.frames[1:], strict=True):
        assert np.array_equal(run.step(action[None]).frames[0].numpy(), frame)
    with pytest.raises(ValueError, match=r"5 steps need actions of shape \(5, 4\)"):
        studio.generate(world, seconds=0.3, actions=actions[:3])


def test_each_frame_is_announced(world: World) -> None:
    seen = []
    (clip,) = studio.generate(
        world, seconds=0.2, callback_on_step_end=lambda number, frames: seen.append((number, frames))
    )
    assert [number for number, _ in seen] == [1, 2, 3]
    assert np.array_equal(seen[-1][1][0], clip.frames[3])


def test_ctrl_c_keeps_what_is_done(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(number: int, frames: np.ndarray) -> None:
        if number == 3:
            raise KeyboardInterrupt

    (clip,) = studio.generate(world, seconds=1, callback_on_step_end=stop)
    assert (len(clip), len(clip.actions)) == (4, 3)
    assert "4 of 20 frames are kept" in capsys.readouterr().err


def test_a_clip_that_goes_on_keeps_its_own_frames(world: World) -> None:
    (begun,) = studio.generate(world, "snow", seconds=0.6, seed=3)
    longer = studio.extend(world, begun, after=0.25, variations=2, seed=8)
    for clip in longer:
        assert len(clip) == 17
        assert np.array_equal(clip.frames[:12], begun.frames)
        assert np.array_equal(clip.actions[:11], begun.actions)
        assert clip.prompt == "snow"
    assert not same(*longer)
    # It goes on from the frames and actions before, not from the last frame alone.
    run = world.start(seed=8, context=begun.frames, actions=begun.actions)
    assert np.array_equal(run.step(longer[0].actions[11:12]).frames[0].numpy(), longer[0].frames[12])


def test_a_clip_of_unknown_actions_goes_on_too(world: World) -> None:
    frames = noise(6)
    unknown = Clip(frames, fps=20)
    (clip,) = studio.extend(world, unknown, after=0.2)
    assert np.array_equal(clip.frames[:6], frames)
    assert np.isnan(clip.actions[:5]).all()
    assert np.isfinite(clip.actions[5:]).all()
    zero = Clip(frames, np.zeros((5, world.spec.action_dim), np.float32), fps=20)
    assert not np.array_equal(studio.extend(world, zero, after=0.2)[0].frames[6:], clip.frames[6:])


def test_a_clip_is_made_again_by_what_is_written_beside_it(world: World, tmp_path: Path) -> None:
    Image.fromarray(noise(1)[0]).save(tmp_path / "start.png")
    (clip,) = studio.generate(world, image=tmp_path / "start.png", seconds=0.4, seed=5, num_inference_steps=2)
    clip.save(tmp_path / "clip.webp", quality=None)
    assert same(studio.replay(tmp_path / "clip.webp.json"), clip)
    loaded = Clip.load(tmp_path / "clip.webp")
    assert np.array_equal(loaded.actions, clip.actions)
    (longer,) = studio.extend(world, loaded, after=0.2, seed=1)
    longer.save(tmp_path / "longer")
    assert same(studio.replay(tmp_path / "longer.json", world), longer)
    # Its source gone, or of unknown actions, as a clip of others is.
    (unknown,) = studio.extend(world, Clip(noise(4), fps=20), after=0.2)
    assert unknown.provenance is None


def test_a_picture_of_a_stepped_world_is_made_again(world: World, tmp_path: Path) -> None:
    (picture,) = studio.generate(world, frames=1, seed=2)
    picture.save(tmp_path / "picture.png")
    assert same(studio.replay(tmp_path / "picture.png.json", world), picture)


def test_a_clip_that_was_stopped_is_made_again_as_far_as_it_came(world: World, tmp_path: Path) -> None:
    def stop(number: int, frames: np.ndarray) -> None:
        if number == 4:
            raise KeyboardInterrupt

    (clip,) = studio.generate(world, "snow", seconds=2, callback_on_step_end=stop)
    clip.save(tmp_path / "clip.webp", quality=None)
    assert same(studio.replay(tmp_path / "clip.webp.json", world), clip)


def test_what_stands_beside_a_clip_goes_when_another_takes_its_name(world: World, tmp_path: Path) -> None:
    studio.generate(world, seconds=0.1)[0].save(tmp_path / "clip.webp")
    beside = tmp_path / "clip.webp.json"
    assert beside.exists()
    Clip(noise(2)).save(tmp_path / "clip.webp")
    assert not beside.exists()
    beside.write_text('{"mine": true}')
    Clip(noise(2)).save(tmp_path / "clip.webp")
    assert beside.read_text() == '{"mine": true}'
    assert Clip.load(tmp_path / "clip.webp").provenance is None


def test_what_cannot_be_made_again_is_said(world: World, carrying_world_dir: Path, tmp_path: Path) -> None:
    studio.generate(world, seconds=0.1)[0].save(tmp_path / "clip.webp")
    good = json.loads((tmp_path / "clip.webp.json").read_text())
    mark = next(iter(good))
    for broken in (
        {"fps": 20},
        [],
        {mark: {"operation": "melt"}, "actions": [[0.0]]},
        {mark: good[mark] | {"more": 1}, "actions": []},
    ):
        (tmp_path / "other.json").write_text(json.dumps(broken))
        with pytest.raises(ValueError, match="does not say how a clip was made"):
            studio.replay(tmp_path / "other.json")
    (tmp_path / "other.json").write_text(json.dumps(good | {"actions": None}))
    with pytest.raises(ValueError, match="by which actions"):
        studio.replay(tmp_path / "other.json")
    with pytest.raises(ValueError, match="another one now"):
        studio.replay(tmp_path / "clip.webp.json", worldsim.load(carrying_world_dir, device="cpu"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"prompt": "snow", "image": noise(1)[0]}, "not from both"),
        ({"seconds": 0.01}, "at least one frame"),
        ({"seconds": float("nan")}, "at most 86400 s"),
        ({"seconds": 1e7}, "at most 86400 s"),
        ({"variations": 0}, "variations must be at least 1"),
        ({"size": (30, 48)}, "multiples of 16"),
        ({"image": noise(1)[0].astype(float)}, "uint8 array"),
    ],
)
def test_what_cannot_be_generated_is_said(world: World, asked: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        studio.generate(world, **asked)


def test_what_cannot_go_on_is_said(world: World) -> None:
    with pytest.raises(ValueError, match="30 frames a second and the World 20"):
        studio.extend(world, Clip(noise(3), fps=30), after=1)
    with pytest.raises(ValueError, match="multiples of 16"):
        studio.extend(world, Clip(noise(3, 33, 48), fps=20), after=1)


def test_the_commands(tiny_world_dir: Path, tmp_path: Path) -> None:
    clip, longer, again = (tmp_path / name for name in ("clip.webp", "longer.mp4", "again"))
    common = ["--world", str(tiny_world_dir)]
    assert main(["generate", "snow", "--seconds", "0.3", "-n", "2", "--out", str(clip), *common]) == 0
    first = Clip.load(tmp_path / "clip-1.webp")
    assert (first.frames.shape, first.prompt, first.seed) == ((6, 32, 48, 3), "snow", 0)
    assert Clip.load(tmp_path / "clip-2.webp").seed == 1
    assert Clip.load(tmp_path / "clip-2.webp").provenance["seed"] == 1
    assert main(["extend", str(tmp_path / "clip-1.webp"), "--after", "0.2", "--out", str(longer), *common]) == 0
    assert len(Clip.load(longer)) == 10
    assert main(["replay", str(tmp_path / "longer.mp4.json"), "--out", str(again)]) == 0
    assert len(Clip.load(again)) == 10
    (tmp_path / "list.txt").write_text("a desert\n\na forest at night\n")
    listed = [
        "generate",
        "--prompts",
        str(tmp_path / "list.txt"),
        "--seconds",
        "0.1",
        "--out",
        str(tmp_path / "p.webp"),
    ]
    assert main([*listed, *common]) == 0
    assert [Clip.load(tmp_path / f"p-{n}.webp").prompt for n in (1, 2)] == ["a desert", "a forest at night"]


def test_the_commands_say_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "text.png").write_text("no picture")
    Clip(noise(2)).save(tmp_path / "full-2")
    for arguments, said in (
        (["generate", "--out", "clip.avi"], "unknown suffix '.avi'"),
        (["generate", "-n", "2", "--out", str(tmp_path / "full.png")], "already holds the PNG files"),
        (["extend", "walk.mp4", "--after", "1", "--out", "walk.mp4"], "give another --out"),
        (["generate", "--prompts", str(tmp_path / "empty.txt")], "holds no prompts"),
        (["generate", "--image", str(tmp_path / "text.png")], "no picture"),
        (["generate", "--image", str(tmp_path / "missing.png")], "missing.png"),
        (["extend", str(tmp_path / "missing.mp4"), "--after", "1"], "there is no clip"),
        (["replay", str(tmp_path / "missing.json")], "missing.json"),
    ):
        assert main(arguments) == 2
        assert said in capsys.readouterr().err
