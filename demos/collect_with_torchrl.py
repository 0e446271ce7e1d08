"""TorchRL collects from a learned World: `python demos/collect_with_torchrl.py` (needs worldsim[rl])."""

import gymnasium as gym
from torchrl.envs import GymWrapper

import worldsim  # noqa: F401 - registers the environments
from worldsim.envs import DiscreteActions

env = GymWrapper(DiscreteActions(gym.make("worldsim/Blocks-v0")))
rollout = env.rollout(20)
print(rollout)
