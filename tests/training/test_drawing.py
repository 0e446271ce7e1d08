"""What a World makes of a recording, and its decoder trained on that."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import worldsim
from worldsim.data.store import FrameStore
from worldsim.model.motion import carried
from worldsim.recipes import load_recipe
from worldsim.recipes.recipe import Recipe
from worldsim.training import drawing
from worldsim.training.drawing import LANES, STEPS, drawing_batches, make_frames
from worldsim.training.loop import Phase, trained_rival
from worldsim.training.run import train


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are as good as many, but for how much is learned."""
    monkeypatch.setattr(drawing, "ROUNDS", 2)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    still = Phase(minutes=0.01, batch=2, time=4)
    balls = load_recipe("balls_quick")
    return balls.model_copy(
        update={
            "frames": 300, "starts": 2, "tokenizer_phases": [still], "dynamics_phases": [still],
            "tokenizer": balls.tokenizer.model_copy(update={"carries": True}), "field_of_view": 70.0,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a training that ended at once."""
    out = tmp_path_factory.mktemp("drawing") / "run"
    train(recipe, out, show=False)
    return out


def test_made_frames_lie_beside_the_true_ones(run: Path, tmp_path: Path) -> None:
    world, store = copy.copy(worldsim.load(run / "world", device="cpu")), FrameStore.open(run / "frames")
    world.spec = world.spec.model_copy(update={"temperature": 0.0, "context_noise": 0.0})  # no seed matters
    world.overlay = None  # what of balls stays where it is has nothing to do with a camera
    made = make_frames(world, store, tmp_path / "made.safetensors", seed=3, show=False)
    steps, count = made.rows.shape
    context = world.spec.context_length + 1
    assert (steps, count) == (min(STEPS, 100 - context), LANES * drawing.ROUNDS)
    assert made.latents.shape == (steps, count, 3, 3, 32)
    assert (made.rows[1:] == made.rows[:-1] + 1).all(), "a stretch is of one piece"
    assert made.travelled[0].min() >= 0
    assert (made.travelled.diff(dim=0) >= 0).all()
    # The first step, taken by hand, of the first stretches.
    first = made.rows[0, :LANES, None].numpy() + np.arange(-context, 0)
    start = world.start(LANES, context=np.array(store.frames[first]), actions=np.array(store.actions[first[:, :-1]]))
    result = start.step(np.array(store.actions[first[:, -1]]))
    torch.testing.assert_close(result.latents.half(), made.latents[0, :LANES])
    assert made.moved.shape == (steps, count, 48, 48, 4)
    # Before the first step what is shown is the truth, so that what has moved is the same.
    true = torch.from_numpy(np.array(store.frames[first[:, -1]]))
    moved = carried(true, result.places)
    moved = torch.where(moved[..., 3:] > 0, moved, result.moved)
    torch.testing.assert_close(255 * moved, made.moved[0, :LANES].float(), atol=0.51, rtol=0)
    assert torch.equal(made.true_moved[0], made.moved[0, ..., :3])
    assert not torch.equal(made.true_moved[-1], made.moved[-1, ..., :3])

    again = make_frames(world, store, tmp_path / "made.safetensors", seed=4, show=False)
    assert torch.equal(again.latents, made.latents), "what is there is kept"
    batch = next(drawing_batches(store, made, 9, torch.device("cpu"), seed=0))
    assert batch["frames"].shape == (3, 48, 48, 3)
    assert batch["truth"].shape == (6, 48, 48, 3)
    assert batch["made"].shape == (6, 3, 3, 32)
    assert batch["travelled"].shape == (6,)
    assert batch["moved"].shape == (9, 48, 48, 4)
    assert not batch["moved"][:3].any()
    assert batch["moved"][3:, ..., 3].any()
    assert batch["true_moved"].shape == (9, 48, 48, 3)


@pytest.mark.parametrize("settings", [{"patches": 0.2}, {"adversarial": 1e-2}])
def test_the_decoder_learns_from_what_the_dynamics_makes_and_the_rest_stays(
    recipe: Recipe, run: Path, tmp_path: Path, settings: dict[str, float]
) -> None:
    before = worldsim.load(run / "world", device="cpu", dtype="float32")
    out = shutil.copytree(run, tmp_path / "run")
    more = Phase(minutes=0.02, batch=4, rate=1e-3, settings=settings)
    twice = recipe.model_copy(update={"decoder_phases": [more, more]})
    after = worldsim.load(train(twice, out, show=False), device="cpu", dtype="float32")
    assert not list(out.glob("*made*")), "what was made is of no use any more, and large"
    again = worldsim.load(train(twice, out, show=False), device="cpu", dtype="float32")
    assert all(torch.equal(x, again.tokenizer.state_dict()[name]) for name, x in after.tokenizer.state_dict().items())
    for name, weights in after.dynamics.state_dict().items():
        assert torch.equal(weights, before.dynamics.state_dict()[name])
    ours, theirs = after.tokenizer.state_dict(), before.tokenizer.state_dict()
    changed = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert {"to_pixels.1.weight", "from_moved.weight", "to_fit.weight"} <= changed
    assert not changed & {"mean", "analysis", "synthesis"}, "what is encoded stays as it was"


def test_what_a_decoder_cannot_learn_from_shows_before_any_training(recipe: Recipe, tmp_path: Path) -> None:
    phase = Phase(minutes=1, batch=4)
    short = recipe.model_copy(update={"decoder_phases": [phase], "frames": 60, "episode_frames": 12})
    with pytest.raises(ValueError, match="context of 12 frames, and the longest episode has 12: record longer ones"):
        train(short, tmp_path / "short", show=False)


def test_the_discriminator_goes_on_with_what_it_learned(recipe: Recipe, run: Path, tmp_path: Path) -> None:
    out = shutil.copytree(run, tmp_path / "run")
    assert not trained_rival(out / "tokenizer.safetensors"), "it had none"
    first, second = (Phase(minutes=m, batch=4, rate=1e-5, settings={"adversarial": 1e-2}) for m in (0.03, 0.0001))
    train(recipe.model_copy(update={"decoder_phases": [first, second]}), out, show=False)
    learned, later = (trained_rival(path) for path in sorted(out.glob("decoder-*.safetensors")))
    assert learned.keys() == later.keys() != set()
    for name, weights in learned.items():
        assert (later[name] - weights).abs().max() < 1e-4, "a new one would be elsewhere"
