"""Stable-Baselines3 learns in lanes of a World: `python demos/learn_with_sb3.py` (needs worldsim[rl])."""

import gymnasium as gym
from stable_baselines3 import PPO

import worldsim  # noqa: F401 - registers the environments
from worldsim.envs import SB3VecEnv

envs = gym.make_vec("worldsim/BallsGoal-v0", num_envs=8, autoreset_mode="SameStep")
model = PPO("CnnPolicy", SB3VecEnv(envs), n_steps=32, verbose=1)  # one lane: PPO("CnnPolicy", gym.make(...))
model.learn(512)
