"""`worldsim train`: recipes, and the whole chain from nothing to a World that is stepped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from pydantic import ValidationError

import worldsim
import worldsim.data.flows
from worldsim.data.lerobot import EpisodeDataset
from worldsim.data.record import record, record_store
from worldsim.data.store import FrameStore
from worldsim.model.forcing import ForcingConfig
from worldsim.model.tokenizer import ReconstructionConfig
from worldsim.recipes import available_recipes, load_recipe
from worldsim.recipes.recipe import DynamicsSizes, PainterRecipe, Recipe
from worldsim.spec import space_to_json
from worldsim.training.loop import Phase
from worldsim.training.run import _check_aims, train

STARTS, CONTEXT, STEPS = 64, 8, 16


@pytest.fixture(scope="module")
def quick() -> Recipe:
    """The recipe balls_quick with one ball in a small box, so that a minute is enough."""
    recipe = load_recipe("balls_quick")
    return recipe.model_copy(
        update={
            "env_kwargs": {"size": [32, 32], "balls": 1},
            "frames": 20_000,
            "tokenizer_phases": [Phase(minutes=0.1, batch=32, rate=2e-3, rate_end=1e-4)],
            "dynamics_phases": [Phase(minutes=0.9, batch=16, time=8, rate=3e-3, rate_end=1e-4)],
            "context_length": 7,
            "start_frames": 8,
            "forcing": recipe.forcing.model_copy(update={"pure_noise": 0.7, "weight_floor": 1.0}),
        }
    )


def psnr(made: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean PSNR over steps of each start; frames uint8 (starts, steps, H, W, 3)."""
    error = ((made.astype(np.float64) - truth) ** 2).mean((2, 3, 4))
    return (10 * np.log10(255**2 / np.maximum(error, 0.08))).mean(1)


def lead(ours: np.ndarray, theirs: np.ndarray) -> float:
    """By how much ours is better, at the lower end of the 95% interval over starts."""
    difference = ours - theirs
    return float(difference.mean() - 1.96 * difference.std() / len(difference) ** 0.5)


def test_a_world_from_nothing_beats_its_baselines(quick: Recipe, tmp_path: Path) -> None:
    """Record, train, step; on starts never recorded, against the last frame copied and against actions ignored."""
    world = worldsim.load(train(quick, tmp_path / "run", show=False), device="cpu", dtype="float32")
    length = CONTEXT + STEPS
    record_store(
        quick.env_id, STARTS * 2 * length, tmp_path / "held", env_kwargs=quick.env_kwargs, seed=9_000_000,
        episode_frames=2 * length, workers=1, progress=False,
    )  # fmt: skip
    held = FrameStore.open(tmp_path / "held")
    rows = held.starts[:STARTS, None] + held.lengths[:STARTS, None] - length + np.arange(length)
    frames, actions = np.asarray(held.frames)[rows], np.asarray(held.actions)[rows]

    def predict(actions: np.ndarray) -> np.ndarray:
        run = world.start(lanes=STARTS, seed=0, context=frames[:, :CONTEXT], actions=actions[:, : CONTEXT - 1], steps=1)
        return np.stack([run.step(actions[:, CONTEXT - 1 + i]).frames.numpy() for i in range(STEPS)], 1)

    without = actions.copy()
    without[:, CONTEXT - 1 :] = 0
    truth = frames[:, CONTEXT:]
    ours = psnr(predict(actions), truth)
    assert lead(ours, psnr(np.repeat(frames[:, CONTEXT - 1 : CONTEXT], STEPS, 1), truth)) > 0
    assert lead(ours, psnr(predict(without), truth)) > 0


def test_a_killed_training_goes_on(tmp_path: Path) -> None:
    """kill -9 in the middle of the dynamics; until then nobody else trains there; the same command then finishes it."""
    out = tmp_path / "run"
    script = (
        "from pathlib import Path\n"
        "from worldsim.recipes import load_recipe\n"
        "from worldsim.training.run import train\n"
        "if __name__ == '__main__':\n"
        "    recipe = load_recipe('balls_quick')\n"
        "    brief = [recipe.tokenizer_phases[0].model_copy(update={'minutes': 0.03})]\n"
        "    dynamics = [recipe.dynamics_phases[0].model_copy(update={'minutes': MINUTES})]\n"
        "    phases = {'tokenizer_phases': brief, 'dynamics_phases': dynamics}\n"
        "    recipe = recipe.model_copy(update={'frames': 1000, 'starts': 2, **phases})\n"
        f"    train(recipe, Path({str(out)!r}), show=False)\n"
    )
    program = tmp_path / "program.py"
    program.write_text(script.replace("MINUTES", "30"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen([sys.executable, str(program)], env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not (out / "latents.npy").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)
        assert first.poll() is None, "it was still training"
        with pytest.raises(ValueError, match="another process is at work in"):
            train(load_recipe("balls_quick"), out, show=False)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    finished = (out / "tokenizer-final.safetensors").read_bytes()
    recorded = (out / "frames" / "frames.u8").read_bytes()
    program.write_text(script.replace("MINUTES", "0.05"))
    subprocess.run([sys.executable, str(program)], check=True, env=environment, timeout=120)
    assert (out / "tokenizer-final.safetensors").read_bytes() == finished
    assert (out / "frames" / "frames.u8").read_bytes() == recorded
    world = worldsim.load(out / "world", device="cpu")
    assert world.start().step(torch.zeros(1, 2)).frames.shape == (1, 48, 48, 3)


def test_a_training_can_begin_with_a_world(tmp_path: Path) -> None:
    """A moment of training with the learning rate at its smallest leaves the weights nearly as they were."""
    recipe = load_recipe("balls_quick")
    still = Phase(minutes=0.01, batch=2, time=4, rate=1e-9, rate_end=1e-9)
    recipe = recipe.model_copy(
        update={"frames": 200, "starts": 2, "tokenizer_phases": [still], "dynamics_phases": [still]}
    )
    carries = {"tokenizer": recipe.tokenizer.model_copy(update={"carries": True})}  # the second draws as the first does
    first = train(recipe.model_copy(update=carries), tmp_path / "first", show=False)
    second = train(recipe.model_copy(update={"seed": 7}), tmp_path / "second", init=str(first), show=False)
    one, two = (worldsim.load(path, device="cpu", dtype="float32") for path in (first, second))
    for part in ("tokenizer", "dynamics"):
        ours, theirs = getattr(one, part).state_dict(), getattr(two, part).state_dict()
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], atol=1e-2, rtol=1e-2)
    other = recipe.model_copy(update={"dynamics": recipe.dynamics.model_copy(update={"layers": 4})})
    with pytest.raises(ValueError, match="has other sizes than the recipe"):
        train(other, tmp_path / "third", init=str(first), show=False)


def test_start_contexts_are_of_the_midst_of_episodes(tmp_path: Path) -> None:
    still = Phase(minutes=0.01, batch=2, time=4, rate=1e-9, rate_end=1e-9)
    recipe = load_recipe("balls_quick").model_copy(
        update={
            "env_id": "worldsim/BallsGoalSim-v0", "env_kwargs": {"size": [32, 32]}, "policy": "scripted", "frames": 200,
            "starts": 3, "start_episode_frames": 50, "tokenizer_phases": [still], "dynamics_phases": [still],
        }
    )  # fmt: skip
    world = worldsim.load(train(recipe, tmp_path, show=False))
    held = FrameStore.open(tmp_path / "starts")
    lasts = held.starts + held.lengths - 1
    ended = np.asarray(held.terminated)[lasts]
    assert held.lengths.sum() == 3 * 50
    assert ended.any()  # the mark is reached, and another episode begins
    long_enough = held.lengths >= recipe.context_length
    assert ended[long_enough][:3].any()  # their order matters
    wanted = [held.frames[last] for last in (*lasts[long_enough & ~ended], *lasts[long_enough & ended])][:3]
    assert np.array_equal(world.starts.frames, np.stack(wanted))


def test_a_world_whose_tokens_share_the_flow_of_the_picture_is_trained_and_stepped(tmp_path: Path) -> None:
    quick = load_recipe("balls_quick")
    changes = {
        "frames": 200,
        "starts": 2,
        "tokenizer": quick.tokenizer.model_copy(update={"carries": True}),
        "tokenizer_phases": [Phase(minutes=0.01, batch=2)],
        "dynamics": quick.dynamics.model_copy(update={"shares_motion": True}),
        "dynamics_phases": [
            Phase(minutes=0.02, batch=2, time=4, settings={"motion_weight": 0.1, "rare": 0.5, "rare_weight": 2.0})
        ],
    }
    world = worldsim.load(train(quick.model_copy(update=changes), tmp_path, show=False), device="cpu")
    assert world.dynamics.motion.shares is not None
    assert world.start().step(torch.zeros(1, world.spec.action_dim)).frames.shape == (1, *world.size, 3)


def test_a_world_that_moves_nothing_is_trained_without_optical_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(pair: np.ndarray) -> np.ndarray:
        raise AssertionError("optical flow of what is not moved")

    monkeypatch.setattr(worldsim.data.flows, "optical_flow", never)
    quick = load_recipe("balls_quick")
    changes = {
        "frames": 200,
        "starts": 2,
        "tokenizer_phases": [Phase(minutes=0.01, batch=2)],
        "dynamics_phases": [Phase(minutes=0.02, batch=2, time=4)],
        "dynamics": quick.dynamics.model_copy(update={"moves": False, "sees_motion": False}),
    }
    recipe = quick.model_copy(update=changes)
    world = worldsim.load(train(recipe, tmp_path, show=False), device="cpu")
    assert not any("motion" in name for name, _ in world.dynamics.named_parameters())
    result = world.start().step(torch.zeros(1, world.spec.action_dim))
    assert result.frames.shape == (1, *world.size, 3)
    assert result.places is None
    flow = {"dynamics_phases": [Phase(minutes=0.02, batch=2, time=4, settings={"motion_weight": 0.1})]}
    with pytest.raises(ValueError, match="has no flow to learn"):
        train(recipe.model_copy(update=flow), tmp_path / "other", show=False)
    carries = {"tokenizer": quick.tokenizer.model_dump() | {"carries": True}}
    with pytest.raises(ValidationError, match="leave out carries"):
        Recipe.model_validate(recipe.model_dump() | carries)
    with pytest.raises(ValidationError, match="leave out sees_motion and shares_motion"):
        Recipe.model_validate(recipe.model_dump() | {"dynamics": {"moves": False, "sees_motion": True}})
    with pytest.raises(ValidationError, match="not from frames before and actions"):
        Recipe.model_validate(recipe.model_dump() | {"dynamics": {"moves": False, "aims": True}, "film": {}})
    with pytest.raises(ValidationError, match="a painter knows no actions: leave out aims"):
        PainterRecipe(frames=64, sizes=DynamicsSizes(aims=True))


def test_every_phase_of_the_recipes_that_ship_has_settings_that_there_are() -> None:
    for name in available_recipes():
        recipe = load_recipe(name)
        for phase in recipe.tokenizer_phases + recipe.decoder_phases:
            ReconstructionConfig.model_validate(phase.settings)
        for phase in recipe.dynamics_phases:
            ForcingConfig.model_validate(recipe.forcing.model_dump() | phase.settings)


@pytest.mark.parametrize("part", ["tokenizer_phases", "dynamics_phases", "decoder_phases"])
def test_a_slip_in_the_last_phase_shows_at_once(tmp_path: Path, part: str) -> None:
    recipe = load_recipe("balls_quick")
    phases = [*getattr(recipe, part), Phase(minutes=1, batch=2, settings={"blurr": 1.0})]
    with pytest.raises(ValidationError, match="blurr"):
        train(recipe.model_copy(update={part: phases}), tmp_path, show=False)
    assert not list(tmp_path.iterdir()), "nothing was recorded yet"


def test_a_missing_compiler_shows_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler \(.*apt install g\+\+"):
        train("blocks", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_view_that_nothing_would_use_shows_before_anything_else(quick: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="field_of_view is of use only where the tokenizer carries"):
        train(quick.model_copy(update={"field_of_view": 70.0}), tmp_path / "run", show=False)
    with pytest.raises(ValidationError, match="field_of_view"):
        Recipe.model_validate(quick.model_dump() | {"field_of_view": 180.0})


def test_a_batch_that_does_not_fit_its_settings_shows_before_anything_else(tmp_path: Path) -> None:
    recipe = load_recipe("balls_quick")
    recipe = recipe.model_copy(update={"dynamics_phases": [Phase(minutes=1, batch=3, time=4, settings={"energy": 1})]})
    with pytest.raises(ValueError, match="a batch cannot be of 3: make it even"):
        train(recipe, tmp_path, show=False)
    phases = [Phase(minutes=1, batch=4, time=4, settings={"own": 0.1})]
    with pytest.raises(ValueError, match=r"own 0\.1 of a batch of 4 is no clip"):
        train(recipe.model_copy(update={"dynamics_phases": phases}), tmp_path, show=False)
    assert not list(tmp_path.iterdir()), "nothing was recorded yet"


def test_episodes_that_are_too_short_for_a_later_phase_show_before_any_training(tmp_path: Path) -> None:
    recipe = load_recipe("balls_quick")
    phases = [Phase(minutes=1, batch=2, time=4), Phase(minutes=1, batch=2, time=8, settings={"own": 0.5})]
    recipe = recipe.model_copy(update={"frames": 64, "episode_frames": 16, "dynamics_phases": phases})
    with pytest.raises(ValueError, match=r"phase 2 .* needs episodes of 31 frames, .* longest has 16: .* own_depth"):
        train(recipe, tmp_path, show=False)
    assert not list(tmp_path.glob("tokenizer*"))


def test_a_training_with_a_discriminator_and_then_on_what_was_made(tmp_path: Path) -> None:
    """A moment of what the recipe of the block world does, stopped and gone on with."""
    recipe = load_recipe("balls_quick")
    sharp = Phase(minutes=0.01, batch=4, settings={"blur": 1.0, "adversarial": 1e-3})
    own = Phase(minutes=0.02, batch=4, time=4, settings={"own": 0.5, "own_depth": 3, "own_floor": 0.25, "energy": 0.5})
    recipe = recipe.model_copy(
        update={
            "frames": 200, "starts": 2, "tokenizer_phases": [sharp], "dynamics_phases": [own],
            "dynamics": recipe.dynamics.model_copy(update={"sees_motion": True}),
            "tokenizer": recipe.tokenizer.model_copy(update={"carries": True}),
        }
    )  # fmt: skip
    world = worldsim.load(train(recipe, tmp_path, show=False), device="cpu")
    frames = world.start().step(torch.zeros(1, world.spec.action_dim)).frames
    assert frames.float().std() > 0
    more = own.model_copy(update={"minutes": 0.04})
    train(recipe.model_copy(update={"dynamics_phases": [more]}), tmp_path, show=False)
    other = recipe.model_copy(update={"dynamics": recipe.dynamics.model_copy(update={"sees_motion": False})})
    with pytest.raises(ValueError, match="is of another recipe"):
        train(other, tmp_path, show=False)


def test_a_training_on_a_recording(tmp_path: Path) -> None:
    """`--data`: a LeRobotDataset that was recorded before is what is trained on, not a new recording."""
    recipe = load_recipe("balls_quick")
    brief = Phase(minutes=0.01, batch=2, time=4)
    recipe = recipe.model_copy(update={"starts": 2, "tokenizer_phases": [brief], "dynamics_phases": [brief]})
    record(
        recipe.env_id, 128, tmp_path / "data", env_kwargs={"size": [32, 48], "balls": 2}, seed=77, episode_frames=64,
        workers=1, progress=False,
    )  # fmt: skip
    world = worldsim.load(train(recipe, tmp_path / "run", data=tmp_path / "data", show=False), device="cpu")
    assert world.size == (32, 48), "of the recording, not of the recipe"
    dataset, store = EpisodeDataset(tmp_path / "data"), FrameStore.open(tmp_path / "run" / "frames")
    assert store.seeds.tolist() == dataset.seeds == [77, 78]
    for index in range(2):
        np.testing.assert_array_equal(store.episode(index).frames, dataset[index].frames)
    assert world.start(seed=0).step(torch.zeros(1, 2)).frames.shape == (1, 32, 48, 3)


def test_recordings_that_do_not_fit_are_told_before_any_training(tmp_path: Path) -> None:
    recipe = load_recipe("balls_quick")
    brief = Phase(minutes=0.005, batch=2, time=4)
    recipe = recipe.model_copy(update={"starts": 2, "tokenizer_phases": [brief], "dynamics_phases": [brief]})
    gym.register("Odd-v0", OddSize)
    with pytest.raises(ValueError, match=r"multiples of 16, got \(20, 30\)"):
        train(recipe.model_copy(update={"env_id": "Odd-v0", "env_kwargs": {}}), tmp_path / "odd", show=False)
    assert not list((tmp_path / "odd").iterdir()), "nothing was recorded"
    aiming = recipe.dynamics.model_copy(update={"aims": True})
    blocks = {"env_id": "worldsim/BlocksSim-v0", "env_kwargs": {"size": [32, 32]}, "frames": 64}
    no_place = "aims is for actions that name a place in the picture"
    with pytest.raises(ValueError, match=no_place):
        train(recipe.model_copy(update=blocks | {"dynamics": aiming}), tmp_path / "aiming", show=False)
    assert not list((tmp_path / "aiming").iterdir()), "nothing was recorded"
    for space in (gym.spaces.Discrete(2), gym.spaces.Box(-1, 1, (3,)), gym.spaces.Box(-np.inf, np.inf, (2,))):
        with pytest.raises(ValueError, match=no_place):
            _check_aims(recipe.model_copy(update={"dynamics": aiming}), space_to_json(space))
    for seed in (1, 2):
        record_store(
            recipe.env_id, 64, tmp_path / f"{seed}", env_kwargs={"size": [32, 32]}, seed=seed, episode_frames=32,
            workers=1, progress=False,
        )  # fmt: skip
    # The start contexts are recorded as the recording was: the recipe's own policy is for another environment.
    recipe = recipe.model_copy(update={"env_id": "worldsim/BlocksSim-v0", "policy": "resting"})
    train(recipe, tmp_path / "run", data=tmp_path / "1", show=False)
    with pytest.raises(ValueError, match=r"run holds a training on another recording than .*2: use another --out"):
        train(recipe, tmp_path / "run", data=tmp_path / "2", show=False)
    wider = recipe.tokenizer.model_copy(update={"channels": 64})
    with pytest.raises(ValueError, match=r"tokenizer-final\.safetensors is of another recipe; use another --out"):
        train(recipe.model_copy(update={"tokenizer": wider}), tmp_path / "run", data=tmp_path / "1", show=False)


class OddSize(gym.Env[np.ndarray, int]):
    """Pictures that no World can be made of."""

    observation_space = gym.spaces.Box(0, 255, (20, 30, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)


def test_recipes_are_listed_and_unknown_ones_refused() -> None:
    assert {"balls", "balls_quick", "blocks"} <= set(available_recipes())
    for name in available_recipes():
        assert load_recipe(name).name == name
    with pytest.raises(ValueError, match=r"unknown recipe 'cake': give one of balls, balls_goal, balls_quick, blocks"):
        load_recipe("cake")


def test_a_recipe_from_a_file(tmp_path: Path, quick: Recipe) -> None:
    path = tmp_path / "mine.json"
    path.write_text(quick.model_dump_json())
    assert load_recipe(str(path)) == quick
    path.write_text(quick.model_dump_json().replace('"frames"', '"flames"'))
    with pytest.raises(ValueError, match="flames"):
        load_recipe(str(path))


def test_sizes_that_cannot_work_are_told_at_once(quick: Recipe) -> None:
    with pytest.raises(ValueError, match="no block would attend through time"):
        Recipe.model_validate(quick.model_dump() | {"dynamics": {"layers": 2, "time_every": 3}})
    with pytest.raises(ValueError, match="a multiple of 4 times the heads"):
        Recipe.model_validate(quick.model_dump() | {"dynamics": {"channels": 100, "heads": 4}})
    with pytest.raises(ValueError, match=r"text_channels .100. must be a multiple of 64"):
        Recipe.model_validate(quick.model_dump() | {"dynamics": {"text_channels": 100}})


def test_training_needs_no_video_library_and_no_window() -> None:
    """A machine that only trains has neither av nor pygame nor pyarrow."""
    code = (
        "import sys\n"
        "for name in ('av', 'pygame', 'pyarrow', 'pymunk', 'numba', 'PIL'): sys.modules[name] = None\n"
        "import worldsim.training.run, worldsim.cli\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
