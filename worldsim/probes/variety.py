"""Do starts from text show what the text says? For Worlds of the block world.

A linear readout learns biome, time and weather from the first frames of the simulator, and reads them off the frames
that a World makes of captions. How often it is right on the simulator's own frames of these captions is its ceiling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.envs.blocks.blocks import BIOMES, TIMES, WEATHERS
from worldsim.probes.walking import colours
from worldsim.world import World

ATTRIBUTES = {"biome": BIOMES, "time": TIMES, "weather": WEATHERS}
THINGS = ("trees", "water", "structure", "animals")  # that a caption names, or says that there are none
STARTS = 64  # captions, a lane each
_LEARNED = 1000  # first frames that the readout learns from
_COARSE = 16  # latent channels that it sees: those that explain most
_DECAY = 0.01


def variety(world: World, env: gym.Env, seed: int, tick: Callable[[int], Any]) -> dict[str, Any]:
    """Start the World from the captions of STARTS held-out places; returns for each of ATTRIBUTES shares read right.

    "world": of the World's frames, "ceiling": of the simulator's, "chance": of saying always the same; and "ratio", how
    far the first is above chance by how far the second is. tick: told of frames as they are made.
    """
    frames, labels, _ = first_frames(env, range(seed, seed + _LEARNED), tick)
    true, asked, captions = first_frames(env, range(seed + _LEARNED, seed + _LEARNED + STARTS), tick)
    shown = _started(world, seed, captions)
    tick(STARTS)
    learned, seen, started = (_features(world, part) for part in (frames, true, shown))
    mean, deviation = learned.mean(0), learned.std(0).clamp_min(1e-6)
    learned, seen, started = ((part - mean) / deviation for part in (learned, seen, started))
    report: dict[str, Any] = {"captions": captions}
    for column, (name, values) in enumerate(ATTRIBUTES.items()):
        read = readout(learned, labels[:, column], len(values))
        wanted = asked[:, column]
        ceiling, right = (float((read(part) == wanted).double().mean()) for part in (seen, started))
        chance = float(wanted.bincount().max() / len(wanted))
        ratio = (right - chance) / (ceiling - chance) if ceiling > chance else float("nan")
        report[name] = {"world": right, "ceiling": ceiling, "chance": chance, "ratio": ratio}
    return report


def _started(world: World, seed: int, captions: list[str]) -> np.ndarray:
    return world.start(len(captions), seed, prompt=captions).frames.cpu().numpy()


def first_frames(env: gym.Env, seeds: range, tick: Callable[[int], Any]) -> tuple[np.ndarray, Tensor, list[str]]:
    """First frames uint8 (n, H, W, 3); int64 (n, 7), their attributes, as places in ATTRIBUTES, and whether each of
    THINGS is in view; and their captions."""
    simulator: Any = env.unwrapped
    frames, labels, captions = [], [], []
    for seed in seeds:
        frame, info = env.reset(seed=seed)
        frames.append(np.array(frame))
        labels.append([values.index(info[name]) for name, values in ATTRIBUTES.items()] + [*things(env).values()])
        captions.append(simulator.caption(np.random.default_rng(seed), "long"))  # leaves nothing out
        tick(1)
    return np.stack(frames), torch.tensor(labels, dtype=torch.int64), captions


def things(env: gym.Env) -> dict[str, bool]:
    """Whether each of THINGS is in view in the simulator now."""
    there = env.unwrapped.attributes()  # type: ignore[attr-defined]
    return {name: bool(there[name]) for name in THINGS}


@torch.no_grad()
def _features(world: World, frames: np.ndarray) -> Tensor:
    """What the readout sees of frames: colours, and latents by rows of tokens, their means and how they vary."""
    latents = world.tokenizer.encode(torch.from_numpy(frames).to(world.device))[..., :_COARSE].double().cpu()
    rows = torch.cat([latents.mean(2), latents.std(2)], -1)
    return torch.cat([rows.flatten(1), torch.from_numpy(colours(frames)).sqrt()], 1)


def readout(features: Tensor, labels: Tensor, classes: int) -> Callable[[Tensor], Tensor]:
    """Multinomial logistic regression with a squared penalty; features (n, C), labels (n,)."""
    weight = torch.zeros(classes, features.shape[1] + 1, dtype=features.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def score(x: Tensor) -> Tensor:
        return F.linear(x, weight[:, :-1], weight[:, -1])

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(score(features), labels) + _DECAY * (weight[:, :-1] ** 2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return lambda x: score(x).argmax(1)


def frames_made() -> int:
    """How many frames `variety` makes, those of the simulator among them."""
    return _LEARNED + 2 * STARTS
