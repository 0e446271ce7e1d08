"""Can policies be ranked inside a World? For Worlds of BallsGoalSim, whose rewards and ends are learned too.

As SIMPLER asks of simulators (arXiv 2405.05941): the returns of policies inside against those outside, their Pearson
and Spearman correlation, and the mean maximum rank violation. The policies were chosen before any result was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from worldsim.envs.balls import FPS
from worldsim.envs.balls_goal import MARK
from worldsim.probes import ball_reading as reading
from worldsim.probes.intervals import with_draws
from worldsim.probes.plots import Plot
from worldsim.probes.probe import Lab, Outcome, Probe
from worldsim.probes.twin import Start, begin
from worldsim.world import World

# How hard it pushes towards the mark, how hard against its own speed, share of random pushes: a policy each. Some are
# as good as others, some go too fast, some hardly move, the last knows no mark.
POLICIES = (
    (6.0, 1.5, 0.0), (6.0, 1.5, 0.2), (6.0, 1.5, 0.5), (6.0, 1.5, 0.8), (20.0, 0.0, 0.0), (20.0, 0.0, 0.4),
    (1.5, 0.5, 0.0), (1.5, 0.5, 0.4), (0.5, 0.5, 0.0), (3.0, 3.0, 0.0), (3.0, 3.0, 0.6), (0.0, 0.0, 1.0),
)  # fmt: skip
_STEPS = 60
_STARTS = 50


class Ranking(Probe):
    name = "ranking"
    question = (
        "Twelve policies push the ball to the mark by what they see, hard or gently, and by chance in a share of the "
        "ticks: the correlation (Pearson) of their mean returns in World and simulator, from the same starts."
    )
    unit = "r"
    chance = 0.0
    simulators = ("worldsim/BallsGoalSim-v0",)

    def run(self, lab: Lab) -> Outcome:
        starts = [lab.begin(seed, frames=2) for seed in range(lab.seed, lab.seed + min(lab.starts, _STARTS))]
        makers = [partial(_seeker, policy) for policy in POLICIES]
        true = np.stack([returns_outside(lab, starts, make) for make in makers])  # (policies, starts)
        returns = {
            name: np.stack([returns_inside(lab, world, starts, make) for make in makers])
            for name, world in (("World", lab.world), ("untrained", lab.players.untrained))
        }
        draws = with_draws(len(starts))
        values = {
            name: np.array([correlation(shown[:, some].mean(1), true[:, some].mean(1)) for some in draws])
            for name, shown in returns.items()
        }
        means = returns["World"].mean(1), true.mean(1)
        note = (
            f"{len(POLICIES)} policies, {len(starts)} starts; Spearman {correlation(*map(_ranks, means)):.2f}; mean "
            f"maximum rank violation (World, simulator) {rank_violation(*means):.3f}; mean return "
            f"{means[0].mean():.2f} in the World, {means[1].mean():.2f} in the simulator"
        )
        dots = {"a policy each": (means[1].tolist(), means[0].tolist())}
        plot = Plot("mean return in the simulator", "mean return in the World", dots=dots)
        return Outcome(values, plot=plot, note=note, drawn=len(starts))

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1


class Actor(Protocol):
    """A policy in one episode, which sees frames only."""

    def act(self, frame: np.ndarray) -> Any:
        """An element of the action space at a frame uint8 (H, W, 3)."""
        ...


class Seeker:
    """Pushes the white ball to the mark by what it sees, and by chance in a share of the ticks: one of POLICIES."""

    def __init__(self, policy: tuple[float, float, float], seed: int) -> None:
        (self._gain, self._damping, self._mistakes) = policy
        self._rng = np.random.default_rng([seed, 0x5EEC])
        self._before: np.ndarray | None = None

    def act(self, frame: np.ndarray) -> np.ndarray:
        """A push float32 (2,) at a frame uint8 (H, W, 3)."""
        random = self._rng.uniform(-1, 1, 2)
        errs = self._rng.random() < self._mistakes
        ball, mark = reading.positions(frame, [0])[0], np.array(reading.centre(frame, MARK))
        velocity = np.zeros(2) if self._before is None else (ball - self._before) * FPS
        self._before = ball
        push = np.clip(self._gain * (mark - ball) - self._damping * velocity, -1, 1)
        return (random if errs or np.isnan(push).any() else push).astype(np.float32)


def _seeker(policy: tuple[float, float, float], start: Start) -> Seeker:
    return Seeker(policy, start.seed)


def returns_outside(lab: Lab, starts: list[Start], make: Callable[[Start], Actor]) -> np.ndarray:
    """Returns in the simulator, float64 (starts,), of the policy that `make` gives for a start; 60 steps at most."""
    simulator: Any = lab.env.unwrapped
    gained = np.zeros(len(starts))
    for number, start in enumerate(starts):
        simulator.restore(start.snapshot)
        actor, frame = make(start), start.frames[-1]
        for _ in range(_STEPS):
            frame, reward, ended, _, _ = lab.env.step(actor.act(frame))
            gained[number] += float(reward)
            if ended:
                break
    return gained


def returns_inside(lab: Lab, world: World, starts: list[Start], make: Callable[[Start], Actor]) -> np.ndarray:
    """The same in a World, by its own rewards and ends."""
    run = begin(world, starts)
    actors = [make(start) for start in starts]
    gained, going = np.zeros(len(starts)), np.ones(len(starts), bool)
    for _ in range(_STEPS):
        frames = run.frames.cpu().numpy()
        taken = [lab.spec.flatten(actor.act(frame)) for actor, frame in zip(actors, frames, strict=True)]
        result = run.step(np.stack(taken))
        gained += going * result.rewards.cpu().numpy()
        going &= ~result.ends.cpu().numpy()
        lab.tick(len(starts))
    return gained


def rank_violation(shown: np.ndarray, true: np.ndarray) -> float:
    """Mean maximum rank violation: of each policy the most that it truly differs from one that is ranked the other way.

    shown, true: mean returns (policies,) in the World and in the simulator; in units of the true return.
    """
    apart = np.abs(true[:, None] - true)
    swapped = (shown[:, None] < shown) != (true[:, None] < true)
    return float((apart * swapped).max(1).mean())


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, of two vectors; 0 where one of them does not vary."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    return values.argsort().argsort().astype(float)


PROBES = (Ranking,)
