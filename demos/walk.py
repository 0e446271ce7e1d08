"""Walk through the learned block world and save it: `python demos/walk.py walk.webp` (or .mp4, .gif, a folder).

The place holds for one to three seconds, then dissolves: see the README.
"""

import sys

import gymnasium as gym
import numpy as np

import worldsim
from worldsim.clip import Clip

env = gym.make("worldsim/Blocks-v0")
frame, info = env.reset(seed=3)
frames = [frame]

action = env.action_space.sample()
action.update(dict.fromkeys(("forward", "back", "left", "right", "jump", "sneak", "break", "place"), 0), hotbar=0)
for tick in range(120):
    action["forward"] = int(tick >= 20)  # first look around, then walk
    turn = 4.0 * np.sin(tick / 10)  # degrees to the right
    action["camera"] = np.array([turn, 0.0], np.float32)
    frame, reward, terminated, truncated, info = env.step(action)
    frames.append(frame)

path = sys.argv[1] if len(sys.argv) > 1 else "walk.webp"
Clip(np.stack(frames), fps=worldsim.load("blocks").spec.fps, world="blocks", seed=3).save(path, scale=3)
print(f"{len(frames)} frames in {path}")
