"""CleanRL's PPO, its own file unmodified, learns in a World: `python demos/learn_with_cleanrl.py`.

Needs worldsim[rl], tensorboard, setuptools and `pip install --no-deps --ignore-requires-python cleanrl==1.2.0`, which
asks for old packages that nothing here uses.
"""

import runpy
import sys
from functools import partial

import gymnasium as gym

# That release was written when this wrapper of Gymnasium did without an observation_space.
gym.wrappers.TransformObservation = partial(gym.wrappers.TransformObservation, observation_space=None)
options = {"--env-id": "worldsim:worldsim/BallsGoal-v0", "--num-envs": 4, "--num-steps": 64, "--total-timesteps": 1024}
sys.argv[1:] = [str(part) for option in options.items() for part in option] + sys.argv[1:]  # the last one counts
runpy.run_module("cleanrl.ppo_continuous_action", run_name="__main__", alter_sys=True)
