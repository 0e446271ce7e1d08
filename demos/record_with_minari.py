"""Minari records a World: `python demos/record_with_minari.py` (needs worldsim[rl]); lands in ~/.minari."""

import gymnasium as gym
from minari import DataCollector

import worldsim  # noqa: F401 - registers the environments
from worldsim.envs import DiscreteActions

env = DataCollector(DiscreteActions(gym.make("worldsim/Blocks-v0", max_episode_steps=40)))
for seed in range(2):
    env.reset(seed=seed)
    over = False
    while not over:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
print(env.create_dataset(dataset_id="worldsim/blocks-random-v0", algorithm_name="random"))
