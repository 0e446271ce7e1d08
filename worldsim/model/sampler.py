"""The sampler: from noise to latents, with a cap on the noise of every frame, cached while stepping.

Rectified flow with the network predicting clean latents: x(level) runs on a straight line from noise (1) to clean (0).
`sample` denoises the frames of a clip together; `sample_next` adds one frame to a `Memory` and never looks at older
frames again. After the same frames, with the same noise, the two make the same frame (tested).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.model import PATCH
from worldsim.model.cache import Cache
from worldsim.model.dynamics import Dynamics, Prediction
from worldsim.model.forcing import mix
from worldsim.model.motion import POINTS
from worldsim.model.optical_flow import optical_flow
from worldsim.model.rewards import expected_reward
from worldsim.model.text import Text

Predict = Callable[[Tensor, Tensor, Tensor, bool], Prediction]


def denoise(predict: Predict, noisy: Tensor, cap: Tensor, steps: int, shortcut: bool) -> tuple[Tensor, Prediction]:
    """Follow the flow from the noise level `cap` (batch, time) down to 0 in `steps` equal steps.

    predict(noisy, level, step, last) is the network, in its last pass or not; noisy (batch, time, h, w, C) has the
    level `cap`. Returns the clean latents and the last prediction. shortcut: whether the network knows its step size.
    """
    step = cap / steps if shortcut else torch.zeros_like(cap)
    for index in range(steps):
        level = cap * (1 - index / steps)
        prediction = predict(noisy, level, step, index == steps - 1)
        # The next level is this one times (steps - index - 1) / (steps - index), also where the cap is 0.
        noisy = prediction.latents + (noisy - prediction.latents) * ((steps - index - 1) / (steps - index))
    return noisy, prediction


@torch.no_grad()
def sample(
    dynamics: Dynamics,
    latents: Tensor,
    caps: Tensor,
    gaussian: Tensor,
    actions: Tensor,
    has_action: Tensor,
    text: Text,
    *,
    steps: int,
    shortcut: bool = False,
    context_noise: float = 0.05,
    motion: Tensor | None = None,
) -> tuple[Tensor, Prediction]:
    """Denoise the frames of a clip together, each from its own cap.

    latents, gaussian (batch, time, h, w, C); caps (batch, time) in [0, 1]: 0 = the frame is given and kept as it is,
    1 = it is made from noise, between = it is made anew to that degree (SDEdit, arXiv 2108.01073). actions
    (batch, time, A), scaled, lead to each frame where has_action. Given frames are shown to the network with
    `context_noise`. A frame sees the clean frame before it where that one is given. motion: as for the network. (Of an
    open network see `worldsim.model.filming`.)
    """
    kept = caps == 0
    shown = torch.where(kept, context_noise, caps)
    context = mix(latents, gaussian, shown)
    previous = torch.cat([torch.zeros_like(latents[:, :1]), latents[:, :-1]], 1)
    has_previous = torch.cat([torch.zeros_like(kept[:, :1]), kept[:, :-1]], 1)
    keep = kept[..., None, None, None]

    def predict(noisy: Tensor, level: Tensor, step: Tensor, last: bool) -> Prediction:
        noisy = torch.where(keep, context, noisy)
        level = torch.where(kept, shown, level)
        step = torch.where(kept, 0.0, step)
        return dynamics(noisy, level, step, actions, has_action, text, previous, has_previous, motion=motion)

    made, prediction = denoise(predict, context, caps, steps, shortcut)
    return torch.where(keep, latents, made), prediction


def flow_between(dynamics: Dynamics, before: Tensor, now: Tensor) -> Tensor:
    """Optical flow between frames uint8 (n, H, W, 3), float32 (n, H / 4, W / 4, 2) in pixels.

    0 everywhere for a network that does not see motion. Of what is shown, not of latents drawn with their linear
    inverse: the flow of those is wrong by four times as much, and training shows that of recorded frames.
    """
    size = (before.shape[1] * POINTS // PATCH, before.shape[2] * POINTS // PATCH)
    flow = torch.zeros(len(now), *size, 2)
    if dynamics.config.sees_motion:
        pairs = torch.stack([before, now], 1).cpu().numpy()
        if len(pairs) == 1 or torch.get_num_threads() == 1:
            found = [optical_flow(pair) for pair in pairs]
        else:  # OpenCV lets other threads of Python run meanwhile
            with ThreadPoolExecutor(torch.get_num_threads()) as pool:
                found = list(pool.map(optical_flow, pairs))
        for index, one in enumerate(found):
            flow[index] = torch.from_numpy(one[0])
    return flow.to(now.device)


def seen_motion(dynamics: Dynamics, frames: Tensor) -> Tensor:
    """For each of frames uint8 (batch, time, H, W, 3) how the one before it came about, (batch, time, H / 4, W / 4, 2).

    0 where one of the two frames before is not there.
    """
    batch, time = frames.shape[:2]
    flow = flow_between(dynamics, frames[:, :-2].flatten(0, 1), frames[:, 1:-1].flatten(0, 1))
    flow = flow.view(batch, max(time - 2, 0), *flow.shape[1:])
    return F.pad(flow, (0, 0, 0, 0, 0, 0, 2, 0))[:, :time]


@dataclass
class Memory:
    """What a running World remembers, lanes first: the present frame, and all before it in a cache.

    A frame that was made is remembered as the last pass over it left it, and not looked at again when it is clean: that
    would double the work, and is no better (recipes/NOTES.md), since the next frame is also told the clean one.
    """

    cache: Cache
    latents: Tensor  # (lanes, h, w, C): the present frame
    text: Text
    reward: Tensor  # (lanes,) of the present frame
    end: Tensor  # (lanes,), a logit
    policy: Tensor  # (lanes, policy_logits): the next action

    @classmethod
    def empty(cls, dynamics: Dynamics, lanes: int, grid: tuple[int, int], length: int) -> Memory:
        """Lanes that have seen nothing yet, for frames of grid = (h, w) tokens and `length` remembered frames."""
        config, like = dynamics.config, dynamics.no_action
        frame = like.new_zeros(lanes, *grid, config.latent_channels)
        return cls(
            cache=dynamics.new_cache(lanes, grid[0] * grid[1], length),
            latents=frame,
            text=dynamics.encode_prompts([None] * lanes),
            reward=torch.zeros(lanes, device=like.device),
            end=torch.zeros(lanes, device=like.device),
            policy=like.new_zeros(lanes, config.policy_logits, dtype=torch.float32),
        )  # fmt: skip

    def map(self, function: Callable[[Tensor], Tensor]) -> Memory:
        """A memory with `function` applied to every tensor."""
        parts: dict[str, Any] = vars(self)
        mapped: dict[str, Any] = {
            k: function(v) if isinstance(v, Tensor) else v.map(function) for k, v in parts.items()
        }
        return Memory(**mapped)

    def put(self, lanes: list[int], other: Memory) -> None:
        """Replace some lanes by those of another memory."""
        index = torch.tensor(lanes, device=self.latents.device)
        ours: list[Tensor] = []
        self.map(lambda tensor: ours.append(tensor) or tensor)  # type: ignore[func-returns-value]
        theirs: list[Tensor] = []
        other.map(lambda tensor: theirs.append(tensor) or tensor)  # type: ignore[func-returns-value]
        for mine, new in zip(ours, theirs, strict=True):
            mine.index_copy_(0, index, new.to(mine.dtype))

    def set_heads(self, dynamics: Dynamics, prediction: Prediction) -> None:
        """Take reward, end and next action from a prediction's last frame."""
        self.reward = expected_reward(prediction.reward[:, -1], dynamics.config.reward_values)
        self.end, self.policy = prediction.end[:, -1].float(), prediction.policy[:, -1].float()


@torch.no_grad()
def remember_context(
    dynamics: Dynamics, memory: Memory, latents: Tensor, actions: Tensor, gaussian: Tensor, context_noise: float,
    motion: Tensor,
) -> None:  # fmt: skip
    """Fill an empty memory with frames: latents, gaussian (lanes, T, h, w, C), scaled actions (lanes, T - 1, A).

    Actions that are not known are nan. motion: by `seen_motion`.
    """
    lanes, time = latents.shape[:2]
    level = torch.full((lanes, time), context_noise, device=latents.device)
    actions = torch.cat([actions.new_zeros(lanes, 1, actions.shape[-1]), actions], 1).to(latents.dtype)
    later = (torch.arange(time, device=latents.device) > 0).expand(lanes, -1)
    known = later & ~actions.isnan().any(-1)
    previous = torch.cat([torch.zeros_like(latents[:, :1]), latents[:, :-1]], 1)
    prediction = dynamics(
        mix(latents, gaussian, level), level, torch.zeros_like(level), actions.nan_to_num(), known, memory.text,
        previous, later,
        motion=motion, cache=memory.cache, remember=time,
    )  # fmt: skip
    memory.latents = latents[:, -1].clone()
    memory.set_heads(dynamics, prediction)


@torch.no_grad()
def sample_first(dynamics: Dynamics, memory: Memory, gaussian: Tensor, *, steps: int, shortcut: bool = False) -> None:
    """Make the first frame of an empty memory from its text: gaussian (lanes, h, w, C)."""
    lanes = len(gaussian)
    cap = torch.ones(lanes, 1, device=gaussian.device)
    action = gaussian.new_zeros(lanes, 1, dynamics.config.action_dim)
    no = torch.zeros(lanes, 1, dtype=torch.bool, device=gaussian.device)

    def predict(noisy: Tensor, level: Tensor, step: Tensor, last: bool) -> Prediction:
        return dynamics(
            noisy, level, step, action, no, memory.text, torch.zeros_like(noisy), no,
            cache=memory.cache, remember=int(last),
        )  # fmt: skip

    latents, prediction = denoise(predict, gaussian[:, None], cap, steps, shortcut)
    memory.latents = latents[:, 0]
    memory.set_heads(dynamics, prediction)


@torch.no_grad()
def sample_next(
    dynamics: Dynamics, memory: Memory, actions: Tensor, gaussian: Tensor, motion: Tensor, *, steps: int,
    shortcut: bool = False,
) -> Tensor | None:  # fmt: skip
    """Add the frame that scaled actions (lanes, A) lead to, in place, made from gaussian (lanes, h, w, C).

    motion (lanes, 4 h, 4 w, 2): by which the present frame had come about, see `flow_between`.
    Returns where in the frame before each of its pixels was looked up, (lanes, 16 h, 16 w, 2), from -1 to 1 across it;
    None of a network that moves nothing.
    """
    cap = torch.ones(len(gaussian), 1, device=gaussian.device)
    action, before = actions.to(gaussian.dtype)[:, None], memory.latents[:, None]
    yes = torch.ones(len(gaussian), 1, dtype=torch.bool, device=gaussian.device)

    def predict(noisy: Tensor, level: Tensor, step: Tensor, last: bool) -> Prediction:
        return dynamics(
            noisy, level, step, action, yes, memory.text, before, yes,
            motion=motion[:, None], cache=memory.cache, remember=int(last),
        )  # fmt: skip

    latents, prediction = denoise(predict, gaussian[:, None], cap, steps, shortcut)
    memory.latents = latents[:, 0]
    memory.set_heads(dynamics, prediction)
    return None if prediction.places is None else prediction.places[:, -1]
