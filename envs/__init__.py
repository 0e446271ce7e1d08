"""Everything that is a `gymnasium.Env`: learned Worlds and the ground-truth simulators they are trained on."""

from __future__ import annotations

from typing import Any

_LAZY = {
    "WorldEnv": "worldsim.envs.world_env",
    "WorldVectorEnv": "worldsim.envs.world_vector_env",
    "BlocksSimEnv": "worldsim.envs.blocks.env",
    "CrafterSimEnv": "worldsim.envs.crafter",
    "BallsSimEnv": "worldsim.envs.balls",
    "BallsGoalSimEnv": "worldsim.envs.balls_goal",
    "BallsLabSimEnv": "worldsim.envs.balls_lab",
    "PushTSimEnv": "worldsim.envs.pusht",
    "TableSimEnv": "worldsim.envs.table",
    "DiscreteActions": "worldsim.envs.wrappers",
    "MultiDiscreteActions": "worldsim.envs.wrappers",
    "VectorDiscreteActions": "worldsim.envs.vector_wrappers",
    "VectorMultiDiscreteActions": "worldsim.envs.vector_wrappers",
    "check_vector_env": "worldsim.envs.vector_checker",
    "SB3VecEnv": "worldsim.envs.sb3",
}

# Without those that need an extra.
__all__ = [
    "BallsGoalSimEnv",
    "BallsLabSimEnv",
    "BallsSimEnv",
    "BlocksSimEnv",
    "DiscreteActions",
    "MultiDiscreteActions",
    "VectorDiscreteActions",
    "VectorMultiDiscreteActions",
    "WorldEnv",
    "WorldVectorEnv",
    "check_vector_env",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that a learned World can be stepped where numba and pymunk are not installed.
    import importlib

    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'worldsim.envs' has no attribute {name!r}")
