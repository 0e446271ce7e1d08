"""What a World makes of a recording, for its decoder to learn to draw.

The World is given the beginning of many stretches of the recording and their actions, and goes on alone. Every frame
that it makes is kept, as latents, beside the true frame of that moment. It is stepped by a `Simulation`, though that
stands behind training in the flow of data: what the decoder learns to draw must be what is stepped later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from worldsim.checkpoint import load_tensors, save_tensors
from worldsim.data.batches import Batch, frame_batches
from worldsim.data.store import FrameStore
from worldsim.files import clear_leftovers
from worldsim.model.shown import Shown
from worldsim.world import World

STEPS = 64
LANES = 16  # that are stepped together
ROUNDS = 16  # so often


@dataclass(frozen=True)
class Made:
    """Frames that a World made, in the order of their steps from the truth: (steps, count, ...).

    latents float16 (steps, count, h, w, C); rows int64 (steps, count): the true frames' rows in the store; travelled
    float32 (steps, count): how long a way the picture has moved since the World was last shown the truth, in heights;
    moved uint8 (steps, count, H, W, 4): the frame before, moved, in 255ths, and true_moved (steps, count, H, W, 3) the
    true frame before, moved likewise, if the tokenizer carries.
    """

    latents: Tensor
    rows: Tensor
    travelled: Tensor
    moved: Tensor | None = None
    true_moved: Tensor | None = None


def make_frames(world: World, store: FrameStore, path: Path, *, seed: int, show: bool) -> Made:
    """Let the World go on alone from moments of the recording, 64 steps or as many as most episodes have.

    Kept in `path`; if that is there already, it is only read. Some episode must be longer than the World's context.
    """
    clear_leftovers(path)
    if not path.exists():
        rng = np.random.default_rng(seed)
        context = world.spec.context_length + 1
        steps = int(min(STEPS, np.median(store.lengths[store.lengths > context]) - context))
        room = np.maximum(store.lengths - context - steps + 1, 0)
        parts = []
        with tqdm(total=ROUNDS * LANES * steps, unit=" frames", desc="stepping", disable=not show) as bar:
            for _ in range(ROUNDS):
                episodes = rng.choice(len(store), LANES, p=room / room.sum())
                first = store.starts[episodes] + rng.integers(0, room[episodes])
                parts.append(_go_on(world, store, first, steps, int(rng.integers(2**31)), bar))
        save_tensors(path, {key: torch.cat([part[key] for part in parts], 1) for key in parts[0]})
    return Made(**load_tensors(path)[0])


def _go_on(world: World, store: FrameStore, first: np.ndarray, steps: int, seed: int, bar: tqdm) -> dict[str, Tensor]:
    """`Made`'s tensors, of stretches that begin in rows `first`."""
    context = world.spec.context_length + 1
    rows = first + np.arange(context + steps)[:, None]
    actions = np.array(store.actions[rows[:-1]])
    shown = np.array(store.frames[rows[:context]])
    run = world.start(len(first), seed, context=shown.swapaxes(0, 1), actions=actions[: context - 1].swapaxes(0, 1))
    after = rows[context - 1 :]
    latents, moved, true_moved = [], [], []
    true = Shown.empty(run.frames, world.spec.field_of_view, world.overlay)  # as if it had shown the truth
    for taken, before in zip(actions[context - 1 :], after, strict=False):
        result = run.step(taken)
        latents.append(result.latents.half().cpu())
        if result.moved is not None and result.places is not None:
            moved.append(_in_255ths(result.moved))
            led = true.carried(result.places)
            truth = torch.from_numpy(np.array(store.frames[before + 1])).to(run.device)
            # What a painter has made up, and nobody had seen, is to be kept.
            true_moved.append(_in_255ths(torch.where(led[..., 3:] > 0, led[..., :3], truth / 255)))
            true.remember(truth, led)
        bar.update(len(first))
    path = store.flows.of(after.T)[:, 1:].norm(dim=-1).mean((2, 3)) / store.size[0]
    made = {"latents": torch.stack(latents), "rows": torch.from_numpy(after[1:]), "travelled": path.cumsum(1).T}
    return made | ({"moved": torch.stack(moved), "true_moved": torch.stack(true_moved)} if moved else {})


def _in_255ths(pictures: Tensor) -> Tensor:
    return (255 * pictures).round().to(torch.uint8).cpu()


def drawing_batches(
    store: FrameStore, made: Made, batch: int, device: torch.device, seed: int, painted: Iterator[Batch] | None = None
) -> Iterator[Batch]:
    """Endless batches for `Tokenizer.loss`: a quarter recorded frames, the rest what was made beside what is true.

    The logarithm of the steps from the truth is uniform: what is near is seen most, and what is far at all.
    painted: what a painter made of views, see `worldsim.training.painting.painted_views`, added to each batch.
    """
    rng = np.random.default_rng(seed)
    steps, count = made.rows.shape
    of_made = 3 * batch // 4
    for recorded in frame_batches(store, batch - of_made, device, seed):
        step = np.exp(rng.uniform(0, np.log(steps + 1), of_made)).astype(int).clip(1, steps) - 1
        picked = step, rng.integers(0, count, of_made)
        parts = {
            "made": made.latents[picked].float(),
            "truth": torch.from_numpy(np.array(store.frames[made.rows[picked].numpy()])),
            "travelled": made.travelled[picked],
        }
        for name, moved in (("moved", made.moved), ("true_moved", made.true_moved)):
            if moved is not None:  # nothing has moved to where the recorded frames are
                parts[name] = F.pad(moved[picked], (0, 0) * 3 + (batch - of_made, 0))
        parts = {name: part.to(device) for name, part in parts.items()}
        if painted is not None:
            more = next(painted)
            parts = {name: torch.cat([part, more[name]]) for name, part in parts.items()}
        yield recorded | parts
