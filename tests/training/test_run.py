"""`worldsim train`: recipes, and the whole chain from nothing to a World that is stepped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import worldsim
from worldsim.data.lerobot import EpisodeDataset
from worldsim.data.record import record, record_store
from worldsim.data.store import FrameStore
from worldsim.recipes import available_recipes, load_recipe
from worldsim.recipes.recipe import Recipe
from worldsim.training.loop import Phase
from worldsim.training.run import train

STARTS, CONTEXT, STEPS = 64, 8, 16


@pytest.fixture(scope="module")
def quick() -> Recipe:
    """The balls recipe with one ball in a small box, so that a minute is enough."""
    recipe = load_recipe("balls")
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
    """kill -9 in the middle of the dynamics; the same command finishes with what was there."""
    out = tmp_path / "run"
    script = (
        "from pathlib import Path\n"
        "from worldsim.recipes import load_recipe\n"
        "from worldsim.training.run import train\n"
        "if __name__ == '__main__':\n"
        "    recipe = load_recipe('balls').model_copy(update={'frames': 1000, 'starts': 2})\n"
        f"    train(recipe, Path({str(out)!r}), minutes=MINUTES, show=False)\n"
    )
    program = tmp_path / "program.py"
    program.write_text(script.replace("MINUTES", "30"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen([sys.executable, str(program)], env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not (out / "tokenizer-fitted.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1)
        assert first.poll() is None, "it was still training"
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    fitted = (out / "tokenizer-fitted.safetensors").read_bytes()
    recorded = (out / "frames" / "frames.u8").read_bytes()
    program.write_text(script.replace("MINUTES", "0.1"))
    subprocess.run([sys.executable, str(program)], check=True, env=environment, timeout=120)
    assert (out / "tokenizer-fitted.safetensors").read_bytes() == fitted
    assert (out / "frames" / "frames.u8").read_bytes() == recorded
    world = worldsim.load(out / "world", device="cpu")
    assert world.start().step(torch.zeros(1, 2)).frames.shape == (1, 48, 48, 3)


def test_a_training_can_begin_with_a_world(tmp_path: Path) -> None:
    """A moment of training with the learning rate at its smallest leaves the weights nearly as they were."""
    recipe = load_recipe("balls")
    still = Phase(minutes=0.01, batch=2, time=4, rate=1e-9, rate_end=1e-9)
    recipe = recipe.model_copy(
        update={"frames": 200, "starts": 2, "tokenizer_phases": [still], "dynamics_phases": [still]}
    )
    first = train(recipe, tmp_path / "first", show=False)
    second = train(recipe.model_copy(update={"seed": 7}), tmp_path / "second", init=str(first), show=False)
    one, two = (worldsim.load(path, device="cpu", dtype="float32") for path in (first, second))
    for part in ("tokenizer", "dynamics"):
        ours, theirs = getattr(one, part).state_dict(), getattr(two, part).state_dict()
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], atol=1e-2, rtol=1e-2)
    other = recipe.model_copy(update={"dynamics": recipe.dynamics.model_copy(update={"layers": 4})})
    with pytest.raises(ValueError, match="has other sizes than the recipe"):
        train(other, tmp_path / "third", init=str(first), show=False)


def test_a_training_on_a_recording(tmp_path: Path) -> None:
    """`--data`: a LeRobotDataset that was recorded before is what is trained on, not a new recording."""
    recipe = load_recipe("balls")
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


def test_recipes_are_listed_and_unknown_ones_refused() -> None:
    assert {"balls", "blocks"} <= set(available_recipes())
    for name in available_recipes():
        assert load_recipe(name).name == name
    with pytest.raises(ValueError, match=r"unknown recipe 'cake': give one of .*balls, blocks"):
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


def test_training_needs_no_video_library_and_no_window() -> None:
    """A machine that only trains has neither av nor pygame nor pyarrow."""
    code = (
        "import sys\n"
        "for name in ('av', 'pygame', 'pyarrow', 'pymunk', 'numba', 'PIL'): sys.modules[name] = None\n"
        "import worldsim.training.run, worldsim.cli\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
