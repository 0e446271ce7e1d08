"""worldsim: a learned world that you can `gym.make`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym

__version__ = "0.1.0"

if TYPE_CHECKING:
    from worldsim.simulation import Simulation
    from worldsim.spec import WorldSpec
    from worldsim.world import World, load

_LAZY = {
    "World": "worldsim.world",
    "load": "worldsim.world",
    "Simulation": "worldsim.simulation",
    "WorldSpec": "worldsim.spec",
    "Clip": "worldsim.clip",
}

__all__ = ["Simulation", "World", "WorldSpec", "load"]


def __getattr__(name: str) -> Any:
    # Names are resolved on first use, so that `import worldsim` (and registering the environments) stays instant.
    import importlib

    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'worldsim' has no attribute {name!r}")


for _id, _world, _steps in (
    ("worldsim/World-v0", {}, 1200),
    ("worldsim/Blocks-v0", {"world": "blocks"}, 1200),
    ("worldsim/Balls-v0", {"world": "balls"}, 200),
    ("worldsim/BallsGoal-v0", {"world": "balls_goal"}, 60),
    ("worldsim/Table-v0", {"world": "table"}, 400),
    ("worldsim/PushT-v0", {"world": "pusht"}, 300),
    ("worldsim/Crafter-v0", {"world": "crafter"}, 500),
):
    gym.register(
        _id,
        entry_point="worldsim.envs:WorldEnv",
        vector_entry_point="worldsim.envs:WorldVectorEnv",
        max_episode_steps=_steps,
        kwargs=_world,
    )
gym.register("worldsim/BlocksSim-v0", entry_point="worldsim.envs:BlocksSimEnv", max_episode_steps=1200)
for _task in ("Tower", "Wood", "Dry"):
    _entry = f"worldsim.envs.blocks.tasks:Blocks{_task}SimEnv"
    gym.register(f"worldsim/Blocks{_task}Sim-v0", entry_point=_entry, max_episode_steps=600)
gym.register("worldsim/BallsSim-v0", entry_point="worldsim.envs:BallsSimEnv", max_episode_steps=200)
gym.register("worldsim/BallsLabSim-v0", entry_point="worldsim.envs:BallsLabSimEnv", max_episode_steps=200)
gym.register("worldsim/CrafterSim-v0", entry_point="worldsim.envs.crafter:CrafterSimEnv", max_episode_steps=10_000)
gym.register("worldsim/PushTSim-v0", entry_point="worldsim.envs.pusht:PushTSimEnv", max_episode_steps=300)
gym.register("worldsim/TableSim-v0", entry_point="worldsim.envs.table:TableSimEnv", max_episode_steps=400)
gym.register("worldsim/BallsGoalSim-v0", entry_point="worldsim.envs:BallsGoalSimEnv", max_episode_steps=60)
