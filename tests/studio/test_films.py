"""The studio with a World that makes films: what is given stays bit for bit, lengths and prompts are as asked for."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import worldsim
from worldsim import studio
from worldsim.cli import main
from worldsim.clip import Clip
from worldsim.reel import _tile
from worldsim.studio import Card
from worldsim.video import MARK
from worldsim.world import World


def noise(frames: int, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3)).astype(np.uint8)


def clip(frames: int, seed: int = 0, **facts: object) -> Clip:
    return Clip(noise(frames, seed=seed), fps=20, **facts)  # type: ignore[arg-type]


def differ(one: np.ndarray, other: np.ndarray) -> bool:
    return not np.array_equal(one, other)


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 26, 61])
def test_a_film_has_any_length_and_size(film_world: World, frames: int) -> None:
    made = studio.generate(film_world, "snow", frames=frames, size=(48, 32), variations=2, seed=3)
    assert [part.frames.shape for part in made] == [(frames, 48, 32, 3)] * 2
    assert [(part.seed, part.prompt, part.actions) for part in made] == [(3, "snow", None), (4, "snow", None)]
    assert differ(made[0].frames, made[1].frames)
    (again,) = studio.generate(film_world, "snow", frames=frames, size=(48, 32), seed=4)
    assert np.abs(again.frames.astype(int) - made[1].frames).max() <= 1  # a batch of two rounds otherwise


@pytest.mark.parametrize("size", [(32, 160), (64, 96), (112, 48), (80, 80), (48, 16)])
def test_large_films_are_made_small_first_and_keep_what_is_given(film_world: World, size: tuple[int, int]) -> None:
    heights = []

    def seen(number: int, latents: Tensor) -> None:
        heights.append(latents.shape[2])

    image = noise(1, *size)[0]
    (made,) = studio.generate(
        film_world, "snow", image=image, frames=5, size=size, seed=3, num_inference_steps=2, callback_on_step_end=seen
    )
    assert made.size == size
    assert np.array_equal(made.frames[0], image)
    assert heights == [size[0] // 16] * 2  # steps of the full size alone are told
    (again,) = studio.generate(film_world, "snow", image=image, frames=5, size=size, seed=3, num_inference_steps=2)
    assert np.array_equal(made.frames, again.frames)
    (other,) = studio.generate(film_world, "snow", image=image, frames=5, size=size, seed=4, num_inference_steps=2)
    assert not np.array_equal(made.frames, other.frames)


def test_only_the_side_that_is_too_long_is_cut(film_world: World) -> None:
    assert [_tile(film_world, *size) for size in ((2, 3), (2, 9), (5, 3), (4, 6), (1, 2))] == [
        (2, 3), (2, 3), (2, 3), (2, 3), (1, 2),
    ]  # fmt: skip
    world = worldsim.load("blocks_film")
    assert [_tile(world, *size) for size in ((6, 16), (10, 9), (5, 8))] == [(6, 8), (5, 9), (5, 8)]


def test_each_shape_is_made_like_the_size_it_was_learned_at(film_world: World) -> None:
    world = copy.copy(film_world)
    world.spec = film_world.spec.model_copy(update={"sizes": [(64, 32)]})
    assert _tile(film_world, 4, 2) == (2, 2), "a World that knows 32x48 alone makes what is tall in parts"
    assert _tile(world, 4, 2) == (4, 2)
    assert _tile(world, 8, 4) == (4, 2)
    assert _tile(world, 2, 3) == (2, 3)
    assert studio.generate(world, "a hill", frames=4, size=(64, 32))[0].size == (64, 32)
    world.spec = film_world.spec.model_copy(update={"sizes": [(64, 96)]})
    assert _tile(world, 4, 6) == (4, 6)
    assert _tile(world, 2, 3) == (2, 3)


@pytest.mark.parametrize("strength", [0.4, 0.8])
def test_large_clips_are_made_anew_too(film_world: World, strength: float) -> None:
    large = Clip(noise(12, 64, 96), fps=20)
    (made,) = studio.remix(film_world, large, "snow", strength=strength, num_inference_steps=2)
    assert made.frames.shape == large.frames.shape
    assert differ(made.frames, large.frames)
    blended = studio.blend(film_world, large, made, num_inference_steps=2)[0]
    assert blended.size == (64, 96)


def test_a_large_picture_is_the_small_one_with_more_detail() -> None:
    """Made at the World's own size first, it shows the same place; with a World that has learned."""
    world = worldsim.load("blocks_film", dtype="float32")

    def picture(size: tuple[int, int], seed: int) -> np.ndarray:
        (made,) = studio.generate(world, "a meadow by day", frames=1, size=size, seed=seed, num_inference_steps=8)
        return made.frames[0].astype(float)

    small, large, other = picture((80, 128), 3), picture((160, 256), 3), picture((80, 128), 4)
    halved = large.reshape(80, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(halved - small).mean() < 0.5 * np.abs(halved - other).mean()


def test_words_guidance_and_what_is_not_wanted_matter(film_world: World) -> None:
    def made(prompt: str | None, **options: object) -> np.ndarray:
        return studio.generate(film_world, prompt, frames=4, **options)[0].frames  # type: ignore[arg-type]

    seen = [
        made("snow"),
        made("rain"),
        made("snow", guidance_scale=1.0),
        made("snow", negative_prompt="rain"),
        made(None),
        made("snow", num_inference_steps=5),
    ]
    assert len({frames.tobytes() for frames in seen}) == len(seen)


def test_a_picture_is_the_first_frame(film_world: World) -> None:
    picture = noise(1)[0]
    (made,) = studio.generate(film_world, "snow", image=picture, frames=10)
    assert len(made) == 10
    assert np.array_equal(made.frames[0], picture)
    assert differ(made.frames[1], picture)


@pytest.mark.parametrize("frames", [1, 3, 8, 50])
def test_a_clip_goes_on_at_either_end(film_world: World, frames: int) -> None:
    begun = clip(frames, prompt="snow")
    longer = studio.extend(film_world, begun, after=0.35, before=0.25, variations=2)
    for made in longer:
        assert len(made) == frames + 12
        assert np.array_equal(made.frames[5 : 5 + frames], begun.frames)
        assert made.prompt == "snow"
    assert differ(longer[0].frames[:5], longer[1].frames[:5])
    assert differ(longer[0].frames[-7:], longer[1].frames[-7:])


def test_what_is_before_depends_on_what_follows(film_world: World) -> None:
    one, other = (studio.extend(film_world, clip(8, seed=seed), before=0.2)[0].frames[:4] for seed in (0, 1))
    assert differ(one, other)


def test_a_loop_is_the_clip_and_the_way_back(film_world: World) -> None:
    begun = clip(30)
    (made,) = studio.loop(film_world, begun, seconds=0.5)
    assert len(made) == 40
    assert np.array_equal(made.frames[:30], begun.frames)
    changed = Clip(begun.frames.copy(), fps=20)
    changed.frames[0] //= 2
    assert differ(studio.loop(film_world, changed, seconds=0.5)[0].frames[30:], made.frames[30:]), (
        "it knows the beginning"
    )


def test_two_clips_are_connected(film_world: World) -> None:
    one, other = clip(9, prompt="snow"), clip(14, seed=1, prompt="rain")
    (made,) = studio.connect(film_world, one, other, seconds=0.5)
    assert len(made) == 33
    assert np.array_equal(made.frames[:9], one.frames)
    assert np.array_equal(made.frames[-14:], other.frames)
    (said,) = studio.connect(film_world, one, other, seconds=0.5, prompt="fog")
    assert differ(said.frames[9:-14], made.frames[9:-14])


def test_one_clip_turns_into_another(film_world: World) -> None:
    one, other = clip(30), clip(26, seed=1)
    (made,) = studio.blend(film_world, one, other)
    assert len(made) == 24, "as many whole latents as the shorter has"
    assert np.array_equal(made.frames[:4], one.frames[:4])
    assert np.array_equal(made.frames[-4:], other.frames[20:24])
    assert all(differ(made.frames[4:20], part.frames[4:20]) for part in (one, other))


def test_a_remix_keeps_the_more_the_weaker_it_is(film_world: World) -> None:
    world = copy.deepcopy(film_world)
    dynamics = world.dynamics
    with torch.no_grad():  # it takes for clean what it is shown, so that the noise is what is new
        for parameter in (*dynamics.to_latent.parameters(), *dynamics.keep_noisy.parameters()):
            parameter.zero_()
        dynamics.keep_noisy.bias.fill_(1)
    begun = clip(10)

    def away(strength: float) -> float:
        (made,) = studio.remix(world, begun, "night", strength=strength)
        assert made.frames.shape == begun.frames.shape
        return float(np.abs(made.frames.astype(int) - begun.frames).mean())

    assert away(0.05) < away(0.4) < away(1.0)


def test_a_recut_keeps_what_it_should(film_world: World) -> None:
    begun = clip(40)
    (made,) = studio.recut(film_world, begun, keep=(0.5, 1.25), prompt="rain")
    assert len(made) == 40
    assert np.array_equal(made.frames[10:25], begun.frames[10:25])
    assert differ(made.frames[:10], begun.frames[:10])
    assert differ(made.frames[25:], begun.frames[25:])


def test_each_card_takes_effect_at_its_time(film_world: World) -> None:
    picture = noise(1)[0]
    cards = [Card(0, "snow"), Card(0.6, "rain", cut=True), Card(1.0, image=picture)]
    (made,) = studio.storyboard(film_world, cards, seconds=1.5)
    assert len(made) == 30
    assert np.array_equal(made.frames[20], picture)
    (other,) = studio.storyboard(film_world, [Card(0, "snow"), Card(0.6, "fog", cut=True)], seconds=1.5)
    assert np.array_equal(made.frames[:12], other.frames[:12]), "nothing is seen beyond a cut"
    assert differ(made.frames[12:16], other.frames[12:16])
    (uncut,) = studio.storyboard(film_world, [Card(0, "snow"), Card(0.6, "fog")], seconds=1.5)
    assert differ(uncut.frames[8:12], other.frames[8:12]), "without a cut it is"


def test_each_step_is_announced_and_ctrl_c_keeps_what_there_is(
    film_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    studio.generate(
        film_world, frames=8, callback_on_step_end=lambda number, latents: seen.append((number, latents.shape))
    )
    assert seen == [(number, (1, 2, 2, 3, 8)) for number in (1, 2, 3)]

    def stop(number: int, latents: object) -> None:
        if number == 2:
            raise KeyboardInterrupt

    (made,) = studio.generate(film_world, frames=8, callback_on_step_end=stop)
    assert len(made) == 8
    assert made.provenance is None, "it would become another film"
    assert "as far as it has come out of the noise" in capsys.readouterr().err
    (made,) = studio.extend(film_world, clip(8), after=0.2, before=0.2, callback_on_step_end=stop)
    assert len(made) == 12, "what would have come before is not begun"


def test_all_of_it_is_made_again_by_what_stands_beside(film_world: World, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("other", 1)):
        clip(16, seed=seed).save(tmp_path / name)
    Image.fromarray(noise(1)[0]).save(tmp_path / "picture.png")
    one, other = (Clip.load(tmp_path / name) for name in ("one", "other"))
    made = {
        "generate": studio.generate(
            film_world, "snow", image=tmp_path / "picture.png", frames=9, negative_prompt="fog"
        ),
        "extend": studio.extend(film_world, one, before=0.2, after=0.1, guidance_scale=3.0),
        "loop": studio.loop(film_world, one),
        "connect": studio.connect(film_world, one, other, seconds=0.3),
        "blend": studio.blend(film_world, one, other, strength=0.5),
        "remix": studio.remix(film_world, one, "night", seed=4),
        "recut": studio.recut(film_world, one, keep=(0.2, 0.5)),
        "storyboard": studio.storyboard(
            film_world, [Card(0, "snow"), Card(0.4, image=tmp_path / "picture.png")], seconds=1
        ),
    }
    for name, (film,) in made.items():
        film.save(tmp_path / f"{name}.webp", quality=None)
        assert json.loads((tmp_path / f"{name}.webp.json").read_text())[MARK]["operation"] == name
        again = studio.replay(tmp_path / f"{name}.webp.json", film_world)
        assert np.array_equal(again.frames, film.frames), name
    assert studio.loop(film_world, clip(8))[0].provenance is None, "the clip is in no file"


def test_what_cannot_be_made_is_said(film_world: World, tiny_world_dir: Path) -> None:
    import worldsim

    stepped = worldsim.load(tiny_world_dir, device="cpu", dtype="float32")
    begun = clip(16)
    for message, wrong in (
        ("takes no actions", lambda: studio.generate(film_world, frames=4, actions=np.zeros((3, 1), np.float32))),
        ("at least one frame", lambda: studio.generate(film_world, frames=0)),
        ("multiples of 16", lambda: studio.generate(film_world, frames=4, size=(30, 48))),
        ("num_inference_steps", lambda: studio.generate(film_world, frames=4, num_inference_steps=-1)),
        ("Give after or before", lambda: studio.extend(film_world, begun)),
        ("30 frames a second", lambda: studio.loop(film_world, Clip(noise(8), fps=30))),
        ("multiples of 16", lambda: studio.loop(film_world, Clip(noise(8, 33), fps=20))),
        ("differ in size", lambda: studio.connect(film_world, begun, Clip(noise(8, 48), fps=20))),
        ("strength", lambda: studio.remix(film_world, begun, "x", strength=0.0)),
        ("strength", lambda: studio.blend(film_world, begun, begun, strength=1.5)),
        ("need 12 frames", lambda: studio.blend(film_world, clip(11), begun)),
        ("must lie within", lambda: studio.recut(film_world, begun, keep=(0.2, float("inf")))),
        ("seconds from 0 on", lambda: Card(float("nan"))),
        ("image, text or both", lambda: Card(0, use="txt")),  # type: ignore[arg-type]
        ("text is a string", lambda: Card(0, 3)),  # type: ignore[arg-type]
        ("guidance_scale must be", lambda: studio.generate(film_world, frames=4, guidance_scale=float("nan"))),
        ("leads away from", lambda: studio.generate(film_world, frames=4, guidance_scale=1.0, negative_prompt="x")),
        ("at most 86400 s", lambda: studio.generate(film_world, frames=10**9)),
        ("must lie within", lambda: studio.recut(film_world, begun, keep=(0.5, 2.0))),
        ("nothing is left", lambda: studio.recut(film_world, begun, keep=(0.0, 0.8))),
        ("different times", lambda: studio.storyboard(film_world, [], seconds=1)),
        ("different times", lambda: studio.storyboard(film_world, [Card(0), Card(0.01)], seconds=1)),
        ("different times", lambda: studio.storyboard(film_world, [Card(2)], seconds=1)),
        ("is stepped", lambda: studio.loop(stepped, begun)),
        ("cannot say what was before", lambda: studio.extend(stepped, begun, before=1.0)),
        ("a new prompt is for films", lambda: studio.extend(stepped, begun, after=1.0, prompt="x")),
        ("guidance_scale is for Worlds that make films", lambda: studio.generate(stepped, guidance_scale=2.0)),
        ("negative_prompt is for", lambda: studio.generate(stepped, negative_prompt="x")),
        ("cannot be stepped or played", lambda: film_world.start()),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_a_world_of_films_is_no_environment(film_world_dir: Path) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(ValueError, match="makes films"):
            make("worldsim/World-v0", world=str(film_world_dir))


def test_the_commands(film_world_dir: Path, tmp_path: Path) -> None:
    common = ["--world", str(film_world_dir), "--out"]

    def run(*arguments: str, out: str) -> Clip:
        assert main([*arguments, *common, str(tmp_path / out)]) == 0
        return Clip.load(tmp_path / out)

    day = run("generate", "snow by day", "--seconds", "1", "--guidance", "1.5", out="day.webp")
    night = run("generate", "night", "--seconds", "1", "--seed", "1", "--negative-prompt", "day", out="night.webp")
    assert (len(day), len(night)) == (20, 20)
    picture = run("generate", "snow", "--image-only", "--size", "48", "64", out="picture.png")
    assert picture.frames.shape == (1, 48, 64, 3)
    tall = run("generate", "snow", "--seconds", "0.2", "--aspect", "9:16", out="tall.webp")
    assert tall.size == (48, 32)
    first = str(tmp_path / "day.webp")
    assert len(run("extend", first, "--before", "0.2", "--after", "0.3", out="longer.webp")) == 30
    assert len(run("loop", first, "--seconds", "0.5", out="round.gif")) == 30
    assert len(run("blend", first, str(tmp_path / "night.webp"), out="dusk.webp")) == 20
    assert len(run("blend", first, str(tmp_path / "night.webp"), "--between", "0.5", out="both.webp")) == 50
    assert run("remix", first, "in rain", "--strength", "0.5", out="rain.webp").prompt == "in rain"
    assert len(run("recut", first, "--keep", "0.2", "0.6", out="cut.webp")) == 20
    board = [{"at": 0, "text": "snow"}, {"at": 0.4, "image": "picture48.png"}, {"at": 0.8, "cut": True}]
    (tmp_path / "boards").mkdir()
    Image.fromarray(noise(1)[0]).save(tmp_path / "boards" / "picture48.png")
    (tmp_path / "boards" / "board.json").write_text(json.dumps(board))
    told = run("storyboard", str(tmp_path / "boards" / "board.json"), "--seconds", "1", out="told.webp")
    assert len(told) == 20


@pytest.mark.parametrize("board", ["{", "[3]", '[{"when": 0}]', '[{"at": "soon"}]', '{"at": 0}'])
def test_a_storyboard_that_is_none_is_named(board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "board.json"
    path.write_text(board)
    assert main(["storyboard", str(path), "--seconds", "1", "--out", str(tmp_path / "x.webp")]) == 2
    assert "board.json is no storyboard" in capsys.readouterr().err


def test_aspects(film_world_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from worldsim.cli_studio import _of_aspect

    assert _of_aspect("16:9", (80, 128)) == (80, 128)
    assert _of_aspect("1:1", (80, 128)) == (96, 96)
    assert _of_aspect("1:100", (80, 128)) == (1008, 16)
    common = ["generate", "--world", str(film_world_dir), "--out", str(tmp_path / "x.webp"), "--aspect"]
    for wrong in ("16", "a:b", "0:1", "-1:1", "nan:1"):
        assert main([*common, wrong]) == 2
        assert "an aspect is width:height" in capsys.readouterr().err
    assert main([*common, "1:1", "--size", "32", "32"]) == 2


def test_options_that_there_are_not_are_named(film_world: World) -> None:
    with pytest.raises(TypeError, match=r"no option guidance, num_inference_step; there are variations, seed"):
        studio.generate(film_world, frames=4, guidance=9, num_inference_step=50)  # type: ignore[call-arg]


def test_numbers_of_numpy_and_large_seeds_are_numbers(film_world: World) -> None:
    size = (np.int64(32), np.int64(48))
    (made,) = studio.generate(film_world, frames=np.int64(4), size=size, seed=np.int64(3), guidance_scale=np.float32(2))
    assert json.dumps(made.provenance)
    assert studio.generate(film_world, frames=4, seed=2**70)[0].seed == 2**70


def test_frames_between_are_spread_and_end_next_to_what_follows(film_world: World) -> None:
    """Of a last latent that is not whole frames are left out all over: at the end it would be a jump."""
    begun = clip(16)
    (whole,) = studio.connect(film_world, begun, begun, seconds=0.4)
    (fewer,) = studio.connect(film_world, begun, begun, seconds=0.25)
    np.testing.assert_array_equal(fewer.frames[-17], whole.frames[-17])
    np.testing.assert_array_equal(fewer.frames[16], whole.frames[16])
    assert len(fewer) == 37


def test_what_is_made_keeps_its_prompt(film_world: World) -> None:
    one, other = clip(16, prompt="snow"), clip(16, prompt="snow")
    assert studio.recut(film_world, one, keep=(0.2, 0.6))[0].prompt == "snow"
    assert studio.connect(film_world, one, other)[0].prompt == "snow"
    assert studio.blend(film_world, one, clip(16, prompt="rain"))[0].prompt is None
    assert studio.extend(film_world, one, after=0.2, prompt="")[0].prompt == ""
