"""The package as a user meets it: what importing it costs, what it needs, what it brings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

import worldsim

IDS = ["worldsim/Blocks-v0", "worldsim/World-v0", "worldsim/BlocksSim-v0", "worldsim/BallsSim-v0"]
IDS += [
    "worldsim/Balls-v0",
    "worldsim/BallsGoal-v0",
    "worldsim/Table-v0",
    "worldsim/PushT-v0",
    "worldsim/Crafter-v0",
    "worldsim/BallsGoalSim-v0",
    "worldsim/BallsLabSim-v0",
    "worldsim/BlocksTowerSim-v0",
    "worldsim/BlocksWoodSim-v0",
    "worldsim/BlocksDrySim-v0",
    "worldsim/CrafterSim-v0",
]


def run(script: str, *arguments: str, cwd: Path | None = None) -> str:
    command = [sys.executable, "-c", script, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_registers_the_environments() -> None:
    assert set(IDS) <= set(gym.registry)


@pytest.mark.parametrize("env_id", IDS)
def test_entry_points_exist(env_id: str) -> None:
    spec = gym.spec(env_id)
    for entry_point in filter(None, (spec.entry_point, spec.vector_entry_point)):
        assert callable(gym.envs.registration.load_env_creator(entry_point))


def test_importing_loads_no_torch_window_or_video() -> None:
    heavy = "{'torch', 'pygame', 'av', 'pyarrow', 'numba', 'pymunk'}"
    assert run(f"import sys, worldsim, worldsim.envs; print(sorted({heavy} & set(sys.modules)))").strip() == "[]"


def test_a_world_trains_and_steps_where_only_torch_is(tiny_world_dir: Path) -> None:
    """A CUDA machine without a window needs neither av nor pygame, nor the libraries of the simulators."""
    script = """
import sys
for name in ("av", "pygame", "pyarrow", "numba", "pymunk"):
    sys.modules[name] = None  # importing it raises
import gymnasium, worldsim, worldsim.training.run, worldsim.data.store
env = gymnasium.make("worldsim/World-v0", world=sys.argv[1], device="cpu")
env.reset(seed=0)
print(env.step(env.action_space.sample())[0].shape)
"""
    assert run(script, str(tiny_world_dir)).strip() == "(32, 48, 3)"


def test_folders_of_the_same_names_do_not_shadow_ours(tmp_path: Path) -> None:
    for name in ("envs", "agents"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    script = (
        "import envs, agents, worldsim.envs, worldsim.agents\n"
        "print(envs.MINE, agents.MINE, hasattr(worldsim.envs, 'MINE'), worldsim.envs.WorldEnv.__name__)"
    )
    assert run(script, cwd=tmp_path).split() == ["True", "True", "False", "WorldEnv"]


def test_public_names_are_there() -> None:
    for name in worldsim.__all__:
        assert getattr(worldsim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'World2'"):
        worldsim.World2  # noqa: B018


def test_every_package_is_listed_for_the_wheel() -> None:
    import tomllib

    root = Path(__file__).parent.parent
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(("worldsim", *path.parent.relative_to(root).parts)).replace("worldsim.worldsim", "worldsim")
        for room in ("worldsim", "envs", "agents")
        for path in (root / room).rglob("__init__.py")
    }
    assert found == set(listed)
