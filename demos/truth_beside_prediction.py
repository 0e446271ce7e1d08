"""The simulator and its learned World side by side, with the same actions: `python demos/truth_beside_prediction.py`.

Left: worldsim/BlocksSim-v0. Right: worldsim/Blocks-v0, which sees 16 frames of it (framed in white) and then only the
actions. The picture at the top of the README was made by `python demos/truth_beside_prediction.py docs/blocks.webp`.
"""

import sys

import gymnasium as gym
import numpy as np

from worldsim.agents import make_policy
from worldsim.clip import Clip

CONTEXT, STEPS, SEEDS = 16, 60, range(8_000_001, 8_000_009, 2)

simulator = gym.make("worldsim/BlocksSim-v0", size=(80, 128)).unwrapped
learned = gym.make("worldsim/Blocks-v0")
pairs = []
for seed in SEEDS:
    policy = make_policy("auto", simulator, np.random.default_rng(seed))
    frame, info = simulator.reset(seed=seed)
    policy.reset(frame, info)
    truth, actions = [frame], []
    for _ in range(CONTEXT + STEPS - 1):
        actions.append(policy.act(frame, info))
        frame, _, _, _, info = simulator.step(actions[-1])
        truth.append(frame)

    start = {"context": np.stack(truth[:CONTEXT]), "actions": actions[: CONTEXT - 1]}
    learned.reset(seed=0, options=start)
    predicted = [frame.copy() for frame in truth[:CONTEXT]]
    for frame in predicted:
        frame[[0, -1]] = frame[:, [0, -1]] = 255
    predicted += [learned.step(action)[0] for action in actions[CONTEXT - 1 :]]
    pairs.append(np.concatenate([np.stack(truth), np.stack(predicted)], axis=2))

path = sys.argv[1] if len(sys.argv) > 1 else "twins.mp4"
frames = np.concatenate(pairs)
Clip(frames, fps=20, world="blocks").save(path, scale=2)
print(f"{len(frames)} frames in {path}: truth on the left, prediction on the right")
