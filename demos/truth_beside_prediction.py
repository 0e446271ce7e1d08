"""The simulator and its learned World side by side, with the same actions: `python demos/truth_beside_prediction.py`.

Left: worldsim/BlocksSim-v0. Right: worldsim/Blocks-v0, which saw the first 16 frames and then only the actions.
"""

import sys

import gymnasium as gym
import numpy as np

import worldsim
from worldsim.agents.exploration import make_policy
from worldsim.clip import Clip

CONTEXT, STEPS, SEED = 16, 100, 9_000_001

simulator = gym.make("worldsim/BlocksSim-v0", size=(80, 128))
policy = make_policy("auto", simulator, np.random.default_rng(SEED))
frame, info = simulator.reset(seed=SEED)
policy.reset(frame, info)
truth, actions = [frame], []
for _ in range(CONTEXT + STEPS - 1):
    actions.append(policy.act(frame, info))
    frame, _, _, _, info = simulator.step(actions[-1])
    truth.append(frame)

learned = gym.make("worldsim/Blocks-v0")
start = {"context": np.stack(truth[:CONTEXT]), "actions": actions[: CONTEXT - 1]}
frame, info = learned.reset(seed=0, options=start)
predicted = list(truth[:CONTEXT])
for action in actions[CONTEXT - 1 :]:
    predicted.append(learned.step(action)[0])

path = sys.argv[1] if len(sys.argv) > 1 else "twins.mp4"
frames = np.concatenate([np.stack(truth), np.stack(predicted)], axis=2)
Clip(frames, fps=worldsim.load("blocks").spec.fps, world="blocks").save(path, scale=3)
print(f"{len(frames)} frames in {path}: truth on the left, prediction on the right")
