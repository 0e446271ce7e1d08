"""Stable-Baselines3 learns in lanes of a World: `python demos/learn_with_sb3.py` (needs worldsim[rl])."""

import gymnasium as gym
from stable_baselines3 import PPO

import worldsim  # noqa: F401 - registers the environments
from worldsim.envs import SB3VecEnv, VectorDiscreteActions

envs = gym.make_vec("worldsim/Blocks-v0", num_envs=4, autoreset_mode="SameStep", max_episode_steps=64)
# The block World gives no rewards: put a wrapper of yours between the two that computes one from the frames.
model = PPO("CnnPolicy", SB3VecEnv(VectorDiscreteActions(envs)), n_steps=32, verbose=1)
model.learn(512)
