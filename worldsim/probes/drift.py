"""How far from true frames a World is after minutes of exploration, by three distances between sets of frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from worldsim.probes.heldout import CONTEXT, Stretch, wander
from worldsim.probes.walking import colours, luma
from worldsim.world import World

LANES = 8
MARKS = (1200, 6000)  # steps after which frames are looked at: one minute and five, at 20 frames a second
_WINDOW, _EVERY = 100, 5  # of so many steps up to each mark, every fifth
_COARSE = 16  # latent channels that the distance of latents looks at: those that explain most
_DRAWS = 20  # of as many true lanes as the World has, out of twice as many


@dataclass(frozen=True)
class Explored:
    """Lanes of exploration: their contexts, the actions from there on, and the frames up to each mark."""

    start: Stretch
    actions: np.ndarray  # float32 (lanes, MARKS[-1], A), from the context on
    marked: np.ndarray  # uint8 (MARKS, lanes, frames, H, W, 3)


def drift(world: World, env: gym.Env, seed: int, tick: Callable[[int], Any]) -> dict[str, Any]:
    """Let a World follow the actions of minutes of exploration and compare what it shows then with true frames.

    Returns for each of MARKS and DISTANCES: "world", the distance of the World's lanes from as many true lanes of other
    seeds; "truth", that of the true lanes which the World follows from the same others, both the mean of _DRAWS draws;
    and "ratio", the first divided by the second, which of a perfect World is 1.
    tick: told of frames as they are made.
    """
    followed = _explore(env, list(range(seed, seed + LANES)), tick)
    others = _explore(env, list(range(seed + LANES, seed + 3 * LANES)), tick)
    shown = _follow(world, followed, tick)
    rng = np.random.default_rng(0)
    draws = [rng.permutation(2 * LANES)[:LANES] for _ in range(_DRAWS)]
    marks = []
    for place, mark in enumerate(MARKS):
        learned, true, other = (
            _lane_features(world, frames[place]) for frames in (shown, followed.marked, others.marked)
        )
        entry: dict[str, Any] = {"steps": mark}
        for name, distance in DISTANCES.items():
            apart = float(np.mean([distance(learned[name], other[name][some]) for some in draws]))
            usual = float(np.mean([distance(true[name], other[name][some]) for some in draws]))
            entry[name] = {"world": apart, "truth": usual, "ratio": apart / max(usual, 1e-9)}
        marks.append(entry)
    return {"marks": marks, "seeds": followed.start.seeds, "other_seeds": others.start.seeds}


def _marked() -> set[int]:
    """The steps at which frames are looked at."""
    return {mark - back for mark in MARKS for back in range(0, _WINDOW, _EVERY)}


def _explore(env: gym.Env, seeds: list[int], tick: Callable[[int], Any]) -> Explored:
    contexts, actions, marked = [], [], []
    wanted = _marked()
    for seed in seeds:
        frames: list[np.ndarray] = []
        taken: list[np.ndarray] = []
        for number, (frame, action, _) in enumerate(wander(env, seed)):
            if number < CONTEXT or number - CONTEXT + 1 in wanted:
                frames.append(frame)
            tick(1)
            if number - CONTEXT + 1 == MARKS[-1]:
                break
            taken.append(np.asarray(spaces.flatten(env.action_space, action), np.float32))
        contexts.append(np.stack(frames[:CONTEXT]))
        actions.append(np.stack(taken))
        marked.append(np.stack(frames[CONTEXT:]).reshape(len(MARKS), -1, *frame.shape))
    flat = np.stack(actions)
    start = Stretch(np.stack(contexts), flat[:, : CONTEXT - 1], seeds)
    return Explored(start, flat[:, CONTEXT - 1 :], np.stack(marked, 1))


def _follow(world: World, truth: Explored, tick: Callable[[int], Any]) -> np.ndarray:
    """What the World shows by the marks, shaped like `truth.marked`."""
    run = truth.start.start(world)
    wanted = _marked()
    frames = []
    for step in range(1, MARKS[-1] + 1):
        run.step(truth.actions[:, step - 1])
        tick(run.lanes)
        if step in wanted:
            frames.append(run.frames.cpu().numpy())
    marked = np.stack(frames, 1)
    return np.stack(np.split(marked, len(MARKS), axis=1))


def frames_made() -> int:
    """How many frames `drift` makes, those of the simulator among them."""
    return LANES * (3 * (CONTEXT + MARKS[-1]) + MARKS[-1])


def _lane_features(world: World, frames: np.ndarray) -> dict[str, np.ndarray]:
    """What the distances compare, of frames uint8 (lanes, frames, H, W, 3): arrays with the lanes first."""
    grey = luma(frames)
    with torch.inference_mode():
        pictures = torch.from_numpy(frames.reshape(-1, *frames.shape[2:])).to(world.device)
        latents = world.tokenizer.encode(pictures)[..., :_COARSE].double().cpu()
    corners = (latents[:, :-1, :-1], latents[:, 1:, :-1], latents[:, :-1, 1:], latents[:, 1:, 1:])
    return {
        "detail": np.array([sum((np.diff(lane, axis=axis) ** 2).mean() for axis in (1, 2)) for lane in grey]),
        "colour": colours(frames),
        "latents": torch.cat(corners, -1).numpy().reshape(len(frames), -1, 4 * _COARSE),
    }


def _detail(one: np.ndarray, other: np.ndarray) -> float:
    """How many times as much gradient energy, as the absolute logarithm."""
    return abs(float(np.log(max(one.mean(), 1e-9) / max(other.mean(), 1e-9))))


def _colour(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the pixels that lie in other bins, four to a channel: half the L1 distance of the histograms."""
    return float(np.abs(one.mean(0) - other.mean(0)).sum() / 2)


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Frechet distance of the vectors (lanes, n, C) as if they were normal: the root of an FID (Heusel et al. 2017).

    The vectors are 2 x 2 neighbouring tokens: what is near what counts, and not only what there is.
    """
    one, other = one.reshape(-1, one.shape[-1]), other.reshape(-1, other.shape[-1])
    covariances = np.cov(one.T), np.cov(other.T)
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    squared = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1]) - 2 * root
    return float(np.sqrt(max(squared, 0)))


DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "detail": _detail, "colour": _colour, "latents": frechet
}  # fmt: skip
