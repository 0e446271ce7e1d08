"""Batches for training: random frames for the tokenizer, random clips of latents for the dynamics.

frames or latents in, endless iterators of dictionaries of tensors out. On a CUDA device the arrays are kept in its
memory when they fit, since a GPU trains faster than a disk reads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.data.store import FrameStore
from worldsim.model.motion import carried, places_before
from worldsim.model.text import encode_bytes, encode_words
from worldsim.model.tokenizer import Tokenizer

Batch = dict[str, Tensor]
_SELDOM = 0.1  # of all frames
_FAR = 4  # deviations of a reward from the mean


def to_device(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """The array as a tensor; copied to a CUDA device if it takes at most half of the memory that is free there."""
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(_readable(array))
    if device.type == "cuda" and tensor.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return tensor.to(device)
    return tensor


def rows_of(store: FrameStore, frames: int = 1) -> np.ndarray:
    """The rows of a store from which on so many belong to the same episode, int64 (rows,)."""
    return np.concatenate([np.arange(s, s + n - frames + 1) for s, n in zip(store.starts, store.lengths, strict=True)])


def frame_batches(store: FrameStore, batch: int, device: torch.device, seed: int, stride: int = 1) -> Iterator[Batch]:
    """Endless batches {"frames": uint8 (batch * stride, H, W, 3)} of random frames, each followed by what follows it.

    ValueError if no episode has `stride` frames.
    """
    rng = np.random.default_rng(seed)
    frames = to_device(store.frames, device)
    rows = rows_of(store, stride)
    if not len(rows):
        raise ValueError(f"no episode has {stride} frames: record longer ones, or lower the tokenizer's stride")
    while True:
        picked = torch.from_numpy(np.sort(rng.choice(rows, batch))[:, None] + np.arange(stride)).flatten()
        yield {"frames": frames[picked.to(frames.device)].to(device)}


def moved_batches(store: FrameStore, batch: int, device: torch.device, seed: int) -> Iterator[Batch]:
    """The same with "moved", uint8 (batch, H, W, 4) in 255ths: half of the frames with the one before, moved.

    By its optical flow; as `worldsim.model.motion.carried`, and 0 for the other half.
    """
    rng = np.random.default_rng([seed, 1])  # another than that of the frames without one before
    later = np.setdiff1d(rows_of(store), store.starts)
    if not len(later):
        raise ValueError("no episode has 2 frames, which a tokenizer that carries learns from: record longer ones")
    for still in frame_batches(store, batch - batch // 2, device, seed):
        rows = np.sort(rng.choice(later, batch // 2))[:, None] + np.array([-1, 0])
        pairs = torch.from_numpy(np.array(store.frames[rows]))
        moved = carried(pairs[:, 0], places_before(store.flows.of(rows)[:, 1]))
        moved = F.pad((255 * moved).round().to(torch.uint8), (0, 0) * 3 + (batch - batch // 2, 0))
        yield {"frames": torch.cat([still["frames"], pairs[:, 1].to(device)]), "moved": moved.to(device)}


def _readable(array: np.ndarray) -> np.ndarray:
    # PyTorch warns about tensors over read-only memory maps; copy-on-write maps are as cheap and nobody writes.
    if isinstance(array, np.memmap) and not array.flags.writeable:
        return np.memmap(array.filename, array.dtype, "c", array.offset, array.shape)  # type: ignore[call-overload]
    return array


@torch.no_grad()
def encode_store(
    tokenizer: Tokenizer, store: FrameStore, device: torch.device, batch: int = 64
) -> Iterator[tuple[slice, np.ndarray]]:
    """The latents of all frames of a store, as (rows, float16 (rows, h, w, C)), in order.

    Row n is of the frames n * stride and those that follow; what is left over at the end has none.
    """
    frames, stride = _readable(store.frames), tokenizer.config.stride
    dtype = next(tokenizer.parameters()).dtype
    for first in range(0, len(frames) // stride, batch):
        rows = slice(first, min(first + batch, len(frames) // stride))
        pictures = np.asarray(frames[rows.start * stride : rows.stop * stride])
        latents = tokenizer.encode(torch.from_numpy(pictures).to(device).to(dtype) / 255)
        yield rows, latents.half().cpu().numpy()


def film_batches(
    store: FrameStore,
    latents: np.ndarray | Tensor,
    stride: int,
    batch: int,
    time: int,
    device: torch.device,
    seed: int,
) -> Iterator[Batch]:
    """Endless batches of random clips of `time` latents: the tensor arguments of `worldsim.model.filming.film_loss`.

    latents float16 (N // stride, h, w, C), as `encode_store` makes them. ValueError if no episode is long enough.
    """
    rng = np.random.default_rng(seed)
    begin = -(-store.starts // stride)
    room = np.maximum((store.starts + store.lengths) // stride - begin - time + 1, 0)
    if not room.sum():
        raise ValueError(f"no episode has {time * stride} frames: record longer ones, or train on shorter clips")
    ends = np.cumsum(room)
    values = to_device(latents, device)
    texts = [Captions(store, episode) for episode in range(len(store))]
    while True:
        choice = rng.integers(0, ends[-1], batch)
        episodes = np.searchsorted(ends, choice, side="right")
        first = begin[episodes] + choice - (ends[episodes] - room[episodes])
        rows = torch.from_numpy(first[:, None] + np.arange(time))
        captions = [
            texts[e].at(int(row * stride - store.starts[e]), rng) for e, row in zip(episodes, first, strict=True)
        ]
        yield {
            "latents": values[rows.to(values.device)].to(device).float(),
            "text": encode_words(captions, device),
        }


def clip_batches(
    store: FrameStore,
    latents: np.ndarray,
    batch: int,
    time: int,
    device: torch.device,
    seed: int,
    *,
    motion: bool = False,
    pixels: bool = False,
    own: int = 0,
    own_depth: int = 1,
    rare: float = 0.0,
    rare_rows: bool = False,
) -> Iterator[Batch]:
    """Endless batches of random clips of `time` frames: the tensor arguments of `worldsim.model.forcing.dynamics_loss`,
    and with `own` "before", uint8 (own, H, W, 3), the last frame but one of those clips.

    latents float16 (N, h, w, C), row by row those of the store's frames. motion: with the optical flow of the frames,
    which `own` implies; pixels: with the frames themselves. own: so many clips, the first of a batch, are those of the
    batch before, a frame later; each goes on for 1 to `own_depth` batches, then another begins. rare: of the other
    clips the share that is chosen for something seldom that happens in them: a key is pressed, a reward is far from the
    mean, the episode ends; rare_rows: with where it does. ValueError if no episode is long enough.

    A recording holds no frame after the last action of an episode. Where that action ended the episode, clips reach
    beyond it: those frames are not known (their latents mean nothing), but the reward and the end that led to the first
    of them are. An end may come after any number of frames, then: if it were always the last of a clip, it would be
    expected wherever that many frames are remembered.
    """
    rng = np.random.default_rng(seed)
    ended = np.asarray(store.terminated)[store.starts + store.lengths - 1]

    def draw(count: int, frames: int, beyond: bool) -> tuple[np.ndarray, np.ndarray]:
        """Episodes and first rows of random stretches. beyond: they may reach beyond an end by more than a frame."""
        room = np.maximum(store.lengths + ended - frames + 1, 0)
        room = np.where((room > 0) & ended & beyond, store.lengths, room)
        if not room.sum():
            raise ValueError(f"no episode has {frames} frames: record longer ones, or train on shorter clips")
        ends = np.cumsum(room)
        choice = rng.integers(0, ends[-1], count)
        episodes = np.searchsorted(ends, choice, side="right")
        return episodes, store.starts[episodes] + choice - (ends[episodes] - room[episodes])

    events = _rare_events(store, time) if rare or rare_rows else []
    seldom = np.zeros(len(store.frames), bool)
    for kind in events:
        seldom[kind] = True

    def draw_rare(count: int) -> tuple[np.ndarray, np.ndarray]:
        """The same, `time` frames long, of stretches with something seldom; all kinds of it are as likely."""
        happened = np.array([rng.choice(events[rng.integers(len(events))]) for _ in range(count)], np.int64)
        episodes = np.searchsorted(store.starts, happened, side="right") - 1
        first = happened - rng.integers(0, max(time - 1, 1), count)  # what comes of it is in the clip too
        last = store.starts[episodes] + store.lengths[episodes] - np.where(ended[episodes], 1, time)
        return episodes, np.clip(first, store.starts[episodes], last)

    values = to_device(latents, device)
    actions = torch.from_numpy(np.array(store.actions))
    rewards = torch.from_numpy(np.array(store.rewards))
    terminated = torch.from_numpy(np.array(store.terminated)).float()
    texts = [Captions(store, episode) for episode in range(len(store))]
    age, lasts, own_episodes, own_first = np.zeros((4, own), np.int64)  # all begin with the first batch
    travelled = np.zeros(own, np.float32)
    while True:
        of_rare = int(rare * (batch - own) + 0.5) if events else 0
        plain, chosen = draw(batch - own - of_rare, time, beyond=True), draw_rare(of_rare)
        episodes, first = np.concatenate([plain[0], chosen[0]]), np.concatenate([plain[1], chosen[1]])
        if own:
            age += 1
            new = age >= lasts
            fresh_episodes, fresh_first = draw(int(new.sum()), time + own_depth - 1, beyond=False)
            own_episodes[new], own_first[new], age[new] = fresh_episodes, fresh_first, 0
            # Their logarithm is uniform: the first steps from the truth are seen often, and those far from it at all.
            lasts[new] = np.exp(rng.uniform(0, np.log(own_depth + 1), int(new.sum())))
            episodes = np.concatenate([own_episodes, episodes])
            first = np.concatenate([own_first + age, first])
        wanted = torch.from_numpy(first[:, None] + np.arange(time))
        last = torch.from_numpy(store.starts + store.lengths - 1)[episodes, None]
        rows = wanted.minimum(last)
        captions = [texts[e].at(int(row - store.starts[e]), rng) for e, row in zip(episodes, first, strict=True)]
        parts = {}
        if motion or own:
            flow = store.flows.of(rows.numpy())
            parts["motion"] = flow.to(device)
        if rare_rows:
            parts["rare"] = torch.from_numpy(seldom[rows.numpy()]).to(device)
        if pixels:
            parts["frames"] = torch.from_numpy(np.array(store.frames[rows.numpy()])).to(device)
        if own:
            newest = flow[:own, -1].norm(dim=-1).mean((1, 2)).numpy() / store.size[0]
            travelled = np.where(age > 0, travelled + newest, 0)
            parts["age"] = torch.from_numpy(age.copy()).to(device)
            parts["travelled"] = torch.from_numpy(travelled).to(device)
            parts["before"] = torch.from_numpy(np.array(store.frames[rows[:own, -2].numpy()])).to(device)
        yield {
            "latents": values[rows.to(values.device)].to(device).float(),
            "actions": actions[rows].to(device),
            "rewards": rewards[rows].to(device),
            "ends": terminated[rows].to(device),
            "known": (wanted <= last).to(device),
            "text": encode_bytes(captions, device),
        } | parts


def _rare_events(store: FrameStore, frames: int) -> list[np.ndarray]:
    """The rows where something seldom happens, an array for each kind of it; only in episodes of as many frames.

    For each part of the flat action that is 0 or 1 and seldom 1, where it becomes 1; where a reward is far from the
    mean; and where the episode ends, if that is seldom. What comes of it is in the recording too.
    """
    ended = np.asarray(store.terminated)[store.starts + store.lengths - 1]
    rows, seen = rows_of(store), np.repeat(store.lengths + ended >= frames, store.lengths)
    first, last = np.isin(rows, store.starts), np.isin(rows, store.starts + store.lengths - 1)
    actions, rewards = np.asarray(store.actions), np.asarray(store.rewards)[rows]
    ends = np.asarray(store.terminated)[rows]
    seldom = ((actions[rows] == 0) | (actions[rows] == 1)).all(0) & (actions[rows].mean(0) < _SELDOM)
    pressed = (actions[rows] == 1) & (actions[rows - 1] == 0) & ~(first | last)[:, None]
    far = (np.abs(rewards - rewards.mean()) > _FAR * rewards.std()) & (ends | ~last)
    kinds = [*pressed[:, seldom].T, far, ends & (ends.mean() < _SELDOM)]
    return [rows[kind & seen] for kind in kinds if (kind & seen).any()]


def twice(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches with every clip twice, the two side by side."""
    for batch in batches:
        yield {name: tensor.repeat_interleave(2, 0) for name, tensor in batch.items()}


def ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, the next one made in a thread while one is used: a disk and OpenCV let others work."""
    # With a team of its own it would make OpenMP's threads more than the cores, and then those of training, which wait
    # thousands of times a step, sleep instead of spin.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as thread:
        coming = thread.submit(next, batches)
        while True:
            ready = coming.result()
            coming = thread.submit(next, batches)
            yield ready


class Captions:
    """What can be said of a row of an episode: its caption, or any wording of the start while that still holds."""

    def __init__(self, store: FrameStore, episode: int) -> None:
        self.wordings = store.captions(episode)
        changes = store.caption_changes(episode)
        self.rows, self.texts = [row for row, _ in changes], [text for _, text in changes]

    def at(self, row: int, rng: np.random.Generator) -> str | None:
        """One caption of the row, or None if the episode has none."""
        now = self.texts[max(bisect_right(self.rows, row) - 1, 0)] if self.texts else None
        options = [*self.wordings, now] if now == next(iter(self.texts), None) else [now]
        return options[rng.integers(len(options))]
