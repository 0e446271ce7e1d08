"""A probe of one's own: `worldsim probe balls --probe demos/write_a_probe.py --only symmetry`.

The question: is the laboratory as wide as it is high? A ball that is pushed to the right must go as far as one that is
pushed upwards. The World, its simulator and all baselines are asked alike, and the page shows the worst starts.
"""

import numpy as np

from worldsim.envs.balls_lab import Ball, Scene
from worldsim.probes.ball_reading import positions
from worldsim.probes.probe import Cases, FilmProbe, Lab, Trial


class Symmetry(FilmProbe):
    name = "symmetry"
    question = "Pushed upwards for 0.2 s, how far does a ball go, by how far it goes when pushed to the right?"
    unit = "way up / way right"
    better = "near 1"
    acts = True

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        right, up = lab.idle(8), lab.idle(8)
        right[:4], up[:4] = (0.8, 0), (0, 0.8)
        scene = Scene("table", (Ball((0.45, 0.45), radius=rng.uniform(0.08, 0.1)),))
        return Trial(lab.begin(seed, {"scene": scene}), np.stack([right, up]))

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        way = positions(frames[:, :, -1], [0])[:, :, 0] - positions(frames[:, :, 0], [0])[:, :, 0]
        return way[:, 1, 1] / way[:, 0, 0]

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1.1
