"""Run with the Python that has the wheel, from a directory with folders `envs` and `agents` of its own."""

import sys
from pathlib import Path

import gymnasium
import numpy
import torch

import agents
import envs
import worldsim
import worldsim.agents
import worldsim.envs

here = Path.cwd().resolve()
for own in (envs, agents):
    assert here in Path(str(own.__file__)).resolve().parents, f"{own.__name__} is not the project's own folder"
for ours in (worldsim, worldsim.envs, worldsim.agents):
    assert Path(sys.prefix).resolve() in Path(str(ours.__file__)).resolve().parents, f"{ours.__file__} is no wheel"

simulators = ("worldsim/BlocksSim-v0", "worldsim/BallsSim-v0", "worldsim/BallsGoalSim-v0", "worldsim/BallsLabSim-v0")
for env_id in (*simulators, "worldsim/Blocks-v0", "worldsim/Balls-v0", "worldsim/BallsGoal-v0"):
    env = gymnasium.make(env_id)
    env.reset(seed=0)
    observation, *_ = env.step(env.action_space.sample())
    print(f"{env_id}: one step, observation {observation.shape} {observation.dtype}")
    env.close()

print(f"worldsim {worldsim.__version__}, torch {torch.__version__}, gymnasium {gymnasium.__version__}", end=", ")
print(f"numpy {numpy.__version__}, python {sys.version.split()[0]}")
