"""Imitation of a recording: an agent learns to do what was done there, and what came of it.

Behavioural cloning, as in VPT (arXiv 2206.11795), with a value that is learned beside it. What it gives is an agent to
compare others with, and one to begin with: `worldsim agent train --init`.
"""

from __future__ import annotations

import copy
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from worldsim.agents.actor_critic import MIN_SIDE, ActorCritic, ActorCriticConfig, halved
from worldsim.agents.ppo_config import ImitationConfig
from worldsim.data.store import FrameStore
from worldsim.files import alone
from worldsim.machine import pick_device

_HELD_OUT = 20  # one episode of so many shows when it begins to learn by heart
_FAR = 0.05  # a reward this little counts for nothing: so far from a cut-off end a value is known


def imitate(
    recording: Path,
    out: Path,
    *,
    config: ImitationConfig | None = None,
    device: str = "auto",
    show: bool = True,
) -> Path:
    """Train an `ActorCritic` on a frame store, as `worldsim train` leaves one; the path of its agent.safetensors.

    Of all passes the agent is kept whose actions are nearest to those of episodes that it did not learn from. Where an
    episode was cut off, its last steps teach no value. Takes minutes, and begins anew after a stop. ValueError if the
    frames are too small, if there are fewer than two episodes, or while another process trains in `out`;
    FloatingPointError if the loss is no number any more.
    """
    config, on = config or ImitationConfig(), pick_device(device)
    store = FrameStore.open(recording)
    if min(store.size) < MIN_SIDE:
        raise ValueError(
            f"the agent sees frames with sides of {MIN_SIDE} pixels or more, and {recording} has {store.size}"
        )
    if len(store) < 2:
        raise ValueError(f"{recording} holds one episode: it takes a second one to see what is learned; record more")
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    sizes = {"stack": config.stack, "channels": config.channels, "hidden": config.hidden}
    agent = ActorCritic(ActorCriticConfig(size=store.size, action=store.action, **sizes)).to(on)
    learns, shows = _rows(store)
    first, returns, known = value_targets(store, config.discount)
    batches = -(-len(learns) // config.batch)
    optimizer = torch.optim.Adam(agent.parameters(), lr=config.learning_rate, eps=1e-5, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, config.passes * batches)

    def losses(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Of the actions of some rows, and of their values, (rows,) each."""
        seen = np.maximum(rows[:, None] + np.arange(1 - config.stack, 1), first[rows, None])
        frames = halved(torch.from_numpy(store.frames[seen])).permute(0, 2, 3, 1, 4)
        logits, values = agent(frames.to(on))
        actions = agent.layout.scale(torch.from_numpy(np.array(store.actions[rows])).to(on))
        value = F.mse_loss(values, torch.from_numpy(returns[rows]).to(on), reduction="none")
        return agent.layout.loss(logits, actions), value * torch.from_numpy(known[rows]).to(on)

    with alone(out), tqdm(total=config.passes * batches, unit=" batches", disable=not show) as bar:
        best, kept = float("inf"), {}
        for _ in range(config.passes):
            for rows in np.array_split(rng.permutation(learns), batches):
                action, value = losses(np.sort(rows))
                optimizer.zero_grad(set_to_none=True)
                (action.mean() + config.value_weight * value.mean()).backward()
                torch.nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
                schedule.step()
                bar.update()
            with torch.no_grad():
                parts = [losses(rows)[0] for rows in np.array_split(shows, -(-len(shows) // config.batch))]
            off = float(torch.cat(parts).mean())
            if not math.isfinite(off):
                raise FloatingPointError("the loss of the agent is no number any more: lower its learning rate")
            bar.set_postfix(held_out=f"{off:.3f}")
            if off < best:
                best, kept = off, copy.deepcopy(agent.state_dict())
        agent.load_state_dict(kept)
        told = {"recording": str(recording), "held_out": round(best, 4), **config.model_dump()}
        agent.save(out / "agent.safetensors", {"learned": json.dumps(told)})
    print(f"The agent is in {out / 'agent.safetensors'}", file=sys.stderr)
    return out / "agent.safetensors"


def _rows(store: FrameStore) -> tuple[np.ndarray, np.ndarray]:
    """The rows to learn from, and those of held-out episodes."""
    held = np.arange(len(store)) % _HELD_OUT == 0
    rows = [np.arange(start, start + length) for start, length in zip(store.starts, store.lengths, strict=True)]
    learns = np.concatenate([part for part, out in zip(rows, held, strict=True) if not out])
    return learns, np.concatenate([part for part, out in zip(rows, held, strict=True) if out])


def value_targets(store: FrameStore, discount: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row the first one of its episode, what was still gained from there on, and whether that is known.

    int64, float32 and float32 (0 or 1), (N,) each.
    """
    rewards, ended = np.asarray(store.rewards), np.asarray(store.terminated)
    returns, known = np.zeros((2, len(rewards)), np.float32)
    first = np.zeros(len(rewards), np.int64)
    for start, length in zip(store.starts, store.lengths, strict=True):
        coming, beyond = 0.0, 0.0 if ended[start + length - 1] else 1.0  # and what counts of it that came after all
        for row in range(start + length - 1, start - 1, -1):
            coming, beyond = rewards[row] + discount * coming, discount * beyond
            first[row], returns[row], known[row] = start, coming, beyond < _FAR
    return first, returns, known
