"""A World running: lanes that are stepped as one batch, each with its own context, random numbers and step count.

Flat actions in, uint8 frames out. What a lane shows depends on its seed, start and actions alone: not on how many
lanes run beside it, nor on when they were reset, nor on snapshots taken and restored.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.model import PATCH
from worldsim.model.sampler import Memory, flow_between, remember_context, sample_first, sample_next, seen_motion
from worldsim.model.shown import Shown
from worldsim.painter import Painting, paint_ahead, paint_frames, repaint
from worldsim.reel import check_strength
from worldsim.spec import check_size
from worldsim.world import World

MASK63 = (1 << 63) - 1
FIRST_FRAME_STEPS = 16  # a frame made from text alone has nothing to lean on: it gets more denoising steps
_PAINTER = 0x5851F42D4C957F2D  # flips the bits of a seed for what the painter draws


@dataclass
class StepResult:
    """What a step gave: frames uint8 (lanes, H, W, 3), rewards float32 (lanes,), ends bool (lanes,).

    latents (lanes, h, w, C): what the frames were drawn from; places (lanes, H, W, 2): where in the frames before each
    pixel was looked up, None if the dynamics moves nothing; moved (lanes, H, W, 4): what was found there, see
    `worldsim.model.shown`, or painted, None if the tokenizer does not carry.
    """

    frames: Tensor
    rewards: Tensor
    ends: Tensor
    latents: Tensor
    places: Tensor | None
    moved: Tensor | None


@dataclass
class Snapshot:
    """The full state of a Simulation, lanes first."""

    memory: Memory
    seeds: list[int]
    draws: list[int]
    frames: Tensor
    before: Tensor
    contexts: list[Tensor]
    shown: Shown | None
    painting: Painting | None


def lane_noise(seed: int, draw: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 numbers that depend on (seed, draw) alone.

    Counters instead of a generator's hidden state: a snapshot is two integers, and no lane can disturb another.
    """
    mixed = ((seed & MASK63) * 0x9E3779B97F4A7C15 + draw * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & MASK63
    mixed = ((mixed ^ (mixed >> 31)) * 0x94D049BB133111EB) & MASK63
    return torch.randn(shape, generator=torch.Generator().manual_seed(mixed))


class Simulation:
    """See `World.start`, which makes one. `frames` is the present, uint8 (lanes, H, W, 3)."""

    def __init__(
        self,
        world: World,
        lanes: int = 1,
        seed: int | Sequence[int] = 0,
        *,
        prompt: str | Sequence[str] | None = None,
        context: np.ndarray | Tensor | None = None,
        actions: np.ndarray | Tensor | None = None,
        size: tuple[int, int] | None = None,
        steps: int | None = None,
    ) -> None:
        if lanes < 1:
            raise ValueError(f"lanes must be at least 1, got {lanes}")
        self.world, self.lanes = world, lanes
        self.steps = world.spec.steps if steps is None else int(steps)
        if self.steps < 1:
            raise ValueError(f"steps (denoising steps a frame) must be at least 1, got {steps}")
        if size is None and context is not None and np.ndim(context) >= 3:
            size = (np.shape(context)[-3], np.shape(context)[-2])
        self.size = check_size(size or world.size)
        height, width = self.size
        self._grid = (height // PATCH, width // PATCH)
        self.seeds, self._draws = [0] * lanes, [0] * lanes
        self._memory = Memory.empty(world.dynamics, lanes, self._grid, world.spec.context_length)
        self.frames = torch.zeros(lanes, height, width, 3, dtype=torch.uint8, device=world.device)
        self._before = self.frames  # what was shown before that; the same where nothing was
        self._shown: Shown | None = None  # of a World that carries
        self._painting = Painting.begin(world, self._memory.latents)
        self._contexts = [self.frames[0, None]] * lanes  # what each lane started from, uint8 (T, H, W, 3)
        seeds = [int(seed) + lane for lane in range(lanes)] if isinstance(seed, int | np.integer) else list(seed)
        self.reset(seeds=seeds, prompt=prompt, context=context, actions=actions)

    @property
    def device(self) -> torch.device:
        """Where the frames are."""
        return self.world.device

    @property
    def latents(self) -> Tensor:
        """The present as the World has it, (lanes, H/16, W/16, C); a reset may write to it, a step does not."""
        return self._memory.latents

    # Starting

    @torch.no_grad()
    def reset(
        self,
        mask: np.ndarray | Tensor | None = None,
        seeds: Sequence[int] | None = None,
        *,
        prompt: str | Sequence[str] | None = None,
        context: np.ndarray | Tensor | None = None,
        actions: np.ndarray | Tensor | None = None,
    ) -> Tensor:
        """Start the lanes where mask (lanes,) is true (default: all) anew; arguments as for `World.start`.

        seeds: one for each lane that is reset; by default each gets a new one that follows from its present one.
        Returns the frames of all lanes. ValueError for arguments that do not fit; the lanes are then unchanged.
        """
        chosen = np.ones(self.lanes, bool) if mask is None else torch.as_tensor(mask).cpu().numpy()
        if chosen.shape != (self.lanes,) or chosen.dtype != bool:
            raise ValueError(f"mask must be bool ({self.lanes},), got {chosen.dtype} {chosen.shape}")
        where = [int(lane) for lane in np.flatnonzero(chosen)]
        if seeds is None:
            seeds = [(self.seeds[lane] * 6364136223846793005 + 1442695040888963407) & MASK63 for lane in where]
        seeds = [int(seed) for seed in seeds]  # NumPy's integers overflow where Python's do not
        if len(seeds) != len(where):
            raise ValueError(f"{len(where)} lanes are reset, but {len(seeds)} seeds were given")
        if prompt is not None and context is not None:
            raise ValueError("start from a prompt or from a context, not from both")
        if actions is not None and context is None:
            raise ValueError("actions belong to a context: give the context frames too")
        texts: list[str | None] = [None] * len(where)
        if prompt is not None:
            texts = [prompt] * len(where) if isinstance(prompt, str) else list(prompt)
            if len(texts) != len(where):
                raise ValueError(f"{len(where)} lanes are reset, but {len(texts)} prompts were given")
        if not where:
            return self.frames
        memory = Memory.empty(self.world.dynamics, len(where), self._grid, self.world.spec.context_length)
        if context is not None:
            latents, flat, frames = self._encode_context(context, actions, len(where))
        elif prompt is None:
            latents, flat, frames = self._stored_starts(seeds)
        elif self.world.painter is not None:
            latents, flat, frames = self._painted(texts, seeds)
        memory.text = self.world.dynamics.encode_prompts(texts)
        if prompt is not None and self.world.painter is None:
            noises = torch.stack([lane_noise(seed, 0, memory.latents.shape[1:]) for seed in seeds])
            sample_first(self.world.dynamics, memory, noises.to(memory.latents), steps=FIRST_FRAME_STEPS)
            frames = self.world.tokenizer.decode_uint8(memory.latents)[:, None]
            if self.world.tokenizer.config.carries:
                memory.latents = self.world.tokenizer.encode(frames[:, -1])
        else:
            noises = torch.stack([lane_noise(seed, 0, latents.shape[1:]) for seed in seeds]).to(latents)
            scaled = self.world.spec.layout.scale(flat)
            motion = seen_motion(self.world.dynamics, frames)
            remember_context(
                self.world.dynamics, memory, latents, scaled, noises, self.world.spec.context_noise, motion
            )
        self._memory.put(where, memory)
        self.frames, self._before = self.frames.clone(), self._before.clone()
        self.frames[where], self._before[where] = frames[:, -1], frames[:, -2:][:, 0]
        self._forget(where)
        for row, (lane, seed) in enumerate(zip(where, seeds, strict=True)):
            self.seeds[lane], self._draws[lane] = int(seed), 1
            self._contexts[lane] = frames[row].clone()  # a view would keep those of all lanes
        if self._painting is not None:
            self._painting.tell(self.world, where, texts)
        return self.frames

    def _noise(self, lanes: Sequence[int]) -> Tensor:
        """What decides of what the painter paints in these lanes now, (len(lanes), h, w, C)."""
        return self._painter_noise([self.seeds[lane] for lane in lanes], [self._draws[lane] for lane in lanes])

    def _painter_noise(self, seeds: Sequence[int], draws: Sequence[int]) -> Tensor:
        shape, pairs = self._memory.latents.shape[1:], zip(seeds, draws, strict=True)
        return torch.stack([lane_noise(seed ^ _PAINTER, draw, shape) for seed, draw in pairs]).to(self.device)

    def _forget(self, lanes: list[int]) -> None:
        """Some lanes have not shown anything but their present frames."""
        if not self.world.tokenizer.config.carries:
            return
        view, overlay = self.world.spec.field_of_view, self.world.overlay
        if self._shown is None:
            self._shown = Shown.empty(self.frames, view, overlay)
        else:
            self._shown.put(lanes, Shown.empty(self.frames[lanes], view, overlay))
        if self._painting is not None:
            self._painting.clear(lanes)

    def _picked(self, seeds: Sequence[int]) -> list[int]:
        """Which start contexts the seeds draw."""
        return [int(np.random.default_rng(seed & MASK63).integers(len(self.world.starts))) for seed in seeds]

    def _stored_starts(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """The start contexts that the seeds draw: latents (lanes, T, h, w, C), flat actions, and frames."""
        starts, tokenizer, picked = self.world.starts, self.world.tokenizer, self._picked(seeds)
        latents, last = starts.latents[picked], starts.frames[picked][:, None]
        # All but the last frame are stored as latents, so the first flow is from a drawn frame to a recorded one.
        older = tokenizer.decode_uint8(latents[:, :-1].flatten(0, 1)).view(len(seeds), -1, *last.shape[2:])
        frames = torch.cat([older, last], 1)
        if self.size != self.world.size:  # scale the pictures, and encode them again
            pictures = frames.flatten(0, 1).permute(0, 3, 1, 2).float()
            pictures = F.interpolate(pictures, self.size, mode="bilinear", antialias=True, align_corners=False)
            frames = pictures.round().to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, (len(seeds), -1))
            latents = tokenizer.encode(frames.flatten(0, 1)).unflatten(0, (len(seeds), -1))
        return latents, starts.actions[picked], frames

    def _painted(self, texts: Sequence[str | None], seeds: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """What the World's painter makes of texts, as start contexts of one frame; overlays are those of others."""
        noise, overlay = self._painter_noise(seeds, [0] * len(seeds)), self.world.overlay
        frames = paint_frames(self.world, texts, noise)
        if overlay is not None and self.size == self.world.size:
            frames[:, overlay] = self.world.starts.frames[self._picked(seeds)][:, overlay]
        actions = torch.zeros(len(frames), 0, self.world.spec.action_dim, device=self.device)
        return self.world.tokenizer.encode(frames)[:, None], actions, frames[:, None]

    def _encode_context(
        self, context: np.ndarray | Tensor, actions: np.ndarray | Tensor | None, lanes: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The caller's frames as latents (lanes, T, h, w, C), flat actions (lanes, T - 1, A), and frames, checked."""
        frames = torch.as_tensor(context)
        height, width = self.size
        if frames.dtype != torch.uint8:
            raise ValueError(f"context must be uint8 frames, got {frames.dtype}")
        if frames.ndim == 4:
            frames = frames.expand(lanes, *frames.shape)
        if (
            frames.ndim != 5
            or frames.shape[0] != lanes
            or frames.shape[2:] != (height, width, 3)
            or not frames.shape[1]
        ):
            raise ValueError(
                f"context must be (T, {height}, {width}, 3) or ({lanes}, T, {height}, {width}, 3) with T >= 1, "
                f"got {tuple(torch.as_tensor(context).shape)}"
            )
        time = frames.shape[1]
        dim = self.world.spec.action_dim
        flat = torch.zeros(lanes, time - 1, dim) if actions is None and time == 1 else actions
        if flat is None:
            raise ValueError(f"a context of {time} frames needs the {time - 1} actions between them")
        flat = torch.as_tensor(flat, dtype=torch.float32)
        if flat.ndim == 2:
            flat = flat.expand(lanes, *flat.shape)
        if flat.shape != (lanes, time - 1, dim):
            raise ValueError(
                f"the actions of a context of {time} frames must be flat, ({time - 1}, {dim}) or "
                f"({lanes}, {time - 1}, {dim}), "
                f"got {tuple(torch.as_tensor(actions).shape)}"
            )
        keep = min(time, self.world.spec.context_length + 1)  # the last of them is the present
        frames = frames[:, -keep:].to(self.device)
        latents = self.world.tokenizer.encode(frames.flatten(0, 1)).unflatten(0, (lanes, keep))
        return latents, flat[:, time - keep :].to(self.device), frames.clone()

    # Stepping

    @torch.no_grad()
    def step(self, actions: np.ndarray | Tensor) -> StepResult:
        """Take flat actions (lanes, action_dim), in the action space's units, and show what comes of them.

        ValueError for another shape or numbers that are not finite. The returned frames are not written to later.
        """
        flat = torch.as_tensor(actions, dtype=torch.float32)
        if flat.shape != (self.lanes, self.world.spec.action_dim):
            raise ValueError(
                f"actions must be flat, ({self.lanes}, {self.world.spec.action_dim}), got {tuple(flat.shape)}"
            )
        if not bool(flat.isfinite().all()):
            raise ValueError("actions must be finite numbers")
        memory = self._memory
        shape = memory.latents.shape[1:]
        noises = torch.stack([lane_noise(s, d, shape) for s, d in zip(self.seeds, self._draws, strict=True)])
        noises = self.world.spec.temperature * noises.to(memory.latents)
        self._draws = [draw + 1 for draw in self._draws]
        scaled = self.world.spec.layout.scale(flat.to(self.device))
        motion = flow_between(self.world.dynamics, self._before, self.frames)
        places = sample_next(
            self.world.dynamics, memory, scaled, noises, motion, steps=self.steps, shortcut=self.world.spec.shortcut
        )
        latents, tokenizer = memory.latents, self.world.tokenizer
        moved = None if self._shown is None or places is None else self._shown.carried(places)
        if self._painting and self._shown and moved is not None:
            moved = paint_ahead(self.world, self._shown, self._painting, moved, self._noise)
        self._before, self.frames = self.frames, tokenizer.decode_uint8(latents, moved)
        if self._shown is not None and moved is not None:
            self._shown.remember(self.frames, moved, None if self._painting is None else self._painting.easel.busy)
            memory.latents = tokenizer.encode(self.frames)  # it goes on from what is shown
        return StepResult(self.frames, memory.reward.clone(), memory.end > 0, latents, places, moved)

    @torch.no_grad()
    def set_frames(self, frames: np.ndarray | Tensor) -> None:
        """Go on from frames, uint8 (lanes, H, W, 3), in place of the present ones: the truth, say, after every step.

        What the attention remembers of the present frame, its reward, its end and what the policy would do next stay
        those of the frame that was predicted. ValueError for another shape or dtype.
        """
        given = torch.as_tensor(frames)
        if given.dtype != torch.uint8 or given.shape != self.frames.shape:
            raise ValueError(f"frames must be uint8 {tuple(self.frames.shape)}, got {given.dtype} {tuple(given.shape)}")
        self.frames = given.to(self.device, copy=True)
        self._memory.latents = self.world.tokenizer.encode(self.frames)
        if self._shown is not None:
            self._shown.replace(self.frames)

    @torch.no_grad()
    def set_prompt(self, prompt: str, strength: float = 0.5) -> Tensor:
        """Let something happen in all lanes: from now on the World is told this text. Returns the frames.

        Where it has a painter, that one makes the present frames anew by the text, to the degree `strength` in (0, 1]:
        night falls, snow lies, and what is there stays about where it is. ValueError for a strength outside.
        """
        check_strength(strength)
        self._memory.text = self.world.dynamics.encode_prompts([prompt] * self.lanes)
        if self._painting is None:
            return self.frames
        self._painting.tell(self.world, range(self.lanes), [prompt] * self.lanes)
        frames = repaint(self.world, self.frames, prompt, self._noise(range(self.lanes)), strength)
        overlay = self.world.overlay
        if overlay is not None and self.size == self.world.size:
            frames[:, overlay] = self.frames[:, overlay]
        self.set_frames(frames)
        self._before = self.frames  # the flow to a frame that was painted anew means nothing, and 0 is "not known"
        self._forget(list(range(self.lanes)))  # what was seen in other directions looks otherwise now
        return self.frames

    def policy_actions(self) -> Tensor:
        """What the World's own policy would do now: flat float32 (lanes, action_dim), drawn by the lanes' seeds."""
        shape = (self.world.spec.action_dim,)
        normal = torch.stack([lane_noise(~s, d, shape) for s, d in zip(self.seeds, self._draws, strict=True)])
        uniform = torch.special.ndtr(normal).clamp(0, 1 - 1e-6)
        return self.world.spec.layout.sample(self._memory.policy, uniform.to(self.device))

    def context_frames(self, lanes: Sequence[int] | None = None) -> list[Tensor]:
        """For each of the lanes (default: all) the frames that it started from, uint8 (T, H, W, 3), oldest first."""
        return list(self._contexts) if lanes is None else [self._contexts[lane] for lane in lanes]

    # Copying

    def snapshot(self) -> Snapshot:
        """A copy of the whole state, to `restore` any number of times."""
        return Snapshot(
            self._memory.map(torch.clone),
            list(self.seeds),
            list(self._draws),
            self.frames.clone(),
            self._before.clone(),
            list(self._contexts),
            self._shown and self._shown.map(torch.clone),
            self._painting and self._painting.picked(range(self.lanes)),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; ValueError if it has another number of lanes or another size."""
        if snapshot.frames.shape != self.frames.shape:
            raise ValueError(
                f"the snapshot is of {snapshot.frames.shape[0]} lanes of {tuple(snapshot.frames.shape[1:3])}, "
                f"this Simulation has {self.lanes} of {self.size}"
            )
        self._memory = snapshot.memory.map(torch.clone)
        self._shown = snapshot.shown and snapshot.shown.map(torch.clone)
        self._painting = snapshot.painting and snapshot.painting.picked(range(self.lanes))
        self.seeds, self._draws = list(snapshot.seeds), list(snapshot.draws)
        self.frames, self._before = snapshot.frames.clone(), snapshot.before.clone()
        self._contexts = list(snapshot.contexts)

    def branch(self, n: int) -> Simulation:
        """An independent Simulation in which every lane stands n times, next to each other (lanes * n lanes).

        Copies of a lane share its seed: the same actions give the same frames. ValueError unless n >= 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        other = copy.copy(self)
        other.lanes = self.lanes * n
        other._memory = self._memory.map(lambda tensor: tensor.repeat_interleave(n, 0))
        other._shown = self._shown and self._shown.map(lambda tensor: tensor.repeat_interleave(n, 0))
        other.frames, other._before = (frames.repeat_interleave(n, 0) for frames in (self.frames, self._before))
        lanes = [lane for lane in range(self.lanes) for _ in range(n)]
        other.seeds = [self.seeds[lane] for lane in lanes]
        other._draws = [self._draws[lane] for lane in lanes]
        other._contexts = [self._contexts[lane] for lane in lanes]
        other._painting = self._painting and self._painting.picked(lanes)
        return other
