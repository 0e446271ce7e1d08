"""How the dynamics is trained: noise levels for every frame, targets, losses.

Diffusion forcing (arXiv 2407.01392): each frame of a clip draws its own noise level, with patterns for the uses that
matter. Rectified flow in x-space: noisy = (1 - level) * clean + level * noise, the network predicts clean. Shortcut
forcing (Dreamer 4, arXiv 2509.24527): part of the batch learns to take in one step what it takes in two half steps.
Against drift, part of the batch sees frames before that the model made itself (as in DIAMOND, arXiv 2405.12399).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from worldsim.model.dynamics import Dynamics, Prediction
from worldsim.model.policy import ActionLayout


class ForcingConfig(BaseModel):
    """The training mix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shared: float = Field(default=0.15, description="share of clips with one noise level for all frames")
    context: float = Field(default=0.15, description="share of clips whose first frames are clean and the rest noisy")
    remembered: float = Field(default=0.25, description="in other clips, share of frames with almost no noise (memory)")
    pure_noise: float = Field(default=0.5, description="share of noisy frames that start from noise alone")
    previous_noise: float = Field(default=0.06, description="most noise on the frame before, in deviations")
    drift: float = Field(
        default=0.0, ge=0, description="deviation of a random gain and offset of each channel of the frames before"
    )
    own: float = Field(
        default=0.0, ge=0, le=1, description="share of clips where the frames before are the model's own"
    )
    own_depth: int = Field(default=2, ge=1, description="how many steps away from the truth those have gone")
    drop_action: float = 0.08
    drop_text: float = 0.15
    drop_motion: float = 0.1
    shortcut: float = Field(default=0.0, ge=0, le=1, description="share of the clips of a batch with bootstrap targets")
    shortcut_steps: int = Field(default=4, description="most denoising steps that bootstrap targets are made for")
    energy_score: bool = Field(
        default=False, description="two predictions of every frame, scored as samples; else one and its squared error"
    )
    weight_floor: float = Field(default=0.5, description="loss weight of pure noise; that of a clean frame is 1")
    motion_weight: float = Field(
        default=0.0, ge=0, description="loss weight of a pixel between the flow and the optical flow of the recording"
    )
    policy_weight: float = 0.02
    head_weight: float = 0.1


def mix(clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """(1 - level) * clean + level * noise; clean, noise (batch, time, h, w, C), level (batch, time)."""
    level = level[..., None, None, None].to(clean.dtype)
    return (1 - level) * clean + level * noise


def sample_levels(batch: int, time: int, config: ForcingConfig, device: torch.device) -> Tensor:
    """Draw the noise level of every frame, float32 (batch, time) in [0, 1], by the patterns of the mix."""
    shape = (batch, time)
    noisy = torch.rand(shape, device=device)
    noisy = torch.where(torch.rand(shape, device=device) < config.pure_noise, 1.0, noisy)
    almost_clean = 0.15 * torch.rand(shape, device=device)
    own = torch.where(torch.rand(shape, device=device) < config.remembered, almost_clean, noisy)
    given = (torch.rand(batch, 1, device=device) * time).long()
    after_context = torch.where(torch.arange(time, device=device) < given, 0.5 * almost_clean, noisy)
    pattern = torch.rand(batch, 1, device=device)
    level = torch.where(pattern < config.shared, noisy[:, :1], own)
    is_context = (pattern >= config.shared) & (pattern < config.shared + config.context)
    return torch.where(is_context, after_context, level)


def dynamics_loss(
    model: Dynamics,
    layout: ActionLayout,
    config: ForcingConfig,
    latents: Tensor,
    actions: Tensor,
    rewards: Tensor,
    ends: Tensor,
    known: Tensor,
    text: Tensor,
    motion: Tensor | None = None,
    causal: bool = True,
) -> dict[str, Tensor]:
    """The training loss of a batch of clips; the entry "loss" is minimised, the others are for the log.

    latents (batch, time, h, w, C) normalised; actions (batch, time, action_dim) flat, actions[:, t] taken at frame t;
    rewards, ends (batch, time): what the action taken at frame t gave; known: bool (batch, time), False where there are
    no latents and only what the action before gave is learned; text: byte ids (batch, length); motion (batch, time,
    4 h, 4 w, 2): where the points of each frame were in the one before, in pixels, needed if motion_weight is above 0
    or the model sees motion.
    """
    batch, time = latents.shape[:2]
    device = latents.device
    level = torch.where(known, sample_levels(batch, time, config, device), 1.0)
    step = torch.zeros_like(level)
    shortcut = int(config.shortcut * batch + 0.5) if causal else 0
    if shortcut:
        # 1, 2 or 4 steps: the noise level lies on that grid.
        steps = 2 ** torch.randint(0, config.shortcut_steps.bit_length(), (shortcut, time), device=device)
        grid = (level[:shortcut] * steps).ceil().clamp_min(1) / steps
        remembered = level[:shortcut] < 0.15
        level = torch.cat([torch.where(remembered, level[:shortcut], grid), level[shortcut:]])
        step = torch.cat([torch.where(remembered, 0, 1 / steps), step[shortcut:]])

    scaled = layout.scale(actions)
    keep = torch.rand(batch, 1, device=device) >= config.drop_action
    has_action = keep & (torch.arange(time, device=device) > 0)
    led_here = F.pad(scaled[:, :-1], (0, 0, 1, 0))
    text = torch.where(torch.rand(batch, 1, device=device) >= config.drop_text, text, 0)
    before = F.pad(latents[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
    # Added, not mixed in: the network is not told how much, and shrunk inputs would teach it to amplify every frame.
    deviation = latents[:, 0].std((0, 1, 2))
    amount = config.previous_noise * torch.rand(batch, time, 1, 1, 1, device=device) * deviation
    before = before + amount * torch.randn_like(before)
    if config.drift:
        # Colours and contrasts that have drifted, the same way for all of a clip, are to be led back to true ones.
        gain, offset = config.drift * torch.randn(2, batch, 1, 1, 1, latents.shape[-1], device=device)
        before = before * (1 + gain) + offset * deviation
    seen_motion = None
    if model.config.sees_motion and causal:
        assert motion is not None, "the clips come without their optical flow"
        keep = torch.rand(batch, 1, 1, 1, 1, device=device) >= config.drop_motion
        seen_motion = F.pad(motion[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)) * keep
    has_before = (torch.arange(time, device=device) > 0).expand(batch, -1)

    encoded = model.encode_text(text)

    def predict(first: int, noisy: Tensor, level: Tensor, step: Tensor, samples: Tensor | None = None) -> Prediction:
        """The model's prediction for the first `first` clips."""
        words = encoded.map(lambda tensor: tensor[:first])
        seen = (before[:first], has_before[:first]) if causal else (None, None)
        return model(
            noisy, level, step, led_here[:first], has_action[:first], words, *seen,
            motion=None if seen_motion is None else seen_motion[:first], causal=causal, samples=samples,
        )  # fmt: skip

    shown = latents
    own = int(config.own * batch + 0.5) if causal else 0
    if own:
        with torch.no_grad():
            for _ in range(config.own_depth):
                fresh = torch.randn_like(latents[:own])
                made = predict(own, fresh, torch.ones_like(level[:own]), torch.zeros_like(step[:own])).latents
                # The first frame of a clip has nothing before it to be made from: it stays true.
                made = torch.cat([before[:own, :2], made[:, 1:-1].to(before.dtype)], 1)
                before = torch.cat([made, before[own:]])
            # Stepping remembers what it made, so these clips do too; what they are to become is still the truth.
            remembered = (level[:own] < 0.15)[..., None, None, None]
            made = torch.cat([made[:, 1:], latents[:own, -1:]], 1)
            shown = torch.cat([torch.where(remembered, made, latents[:own]), latents[own:]])
    noisy = mix(shown, torch.randn_like(latents), level)
    samples = None
    if config.energy_score:
        wide = ((level == 1) & (step == 0))[..., None, None, None]  # a bootstrap target belongs to its noise
        samples = torch.cat([noisy, torch.where(wide, torch.randn_like(noisy), noisy)])
    prediction = predict(batch, noisy, level, step, samples)
    target = latents
    if shortcut:
        with torch.no_grad():
            finest = 1 / config.shortcut_steps
            bootstrap = _two_half_steps(predict, noisy[:shortcut], level[:shortcut], step[:shortcut], finest)
            is_step = (step[:shortcut] > 0)[..., None, None, None]
            target = torch.cat(
                [torch.where(is_step, bootstrap.to(latents.dtype), latents[:shortcut]), latents[shortcut:]]
            )

    made, *other = prediction.latents.float().split(batch)
    error = (made - target.float()).square().mean((2, 3, 4))
    score = _energy_score(made, other[0], target.float()) if other else error
    weight = config.weight_floor + (1 - config.weight_floor) * (1 - level)
    flow = (weight * score * known).mean()
    # Of two samples the first is enough for the heads.
    policy = ((1 - level) * layout.loss(prediction.policy[:batch], scaled)).mean()  # unknown frames have level 1
    reward = F.mse_loss(prediction.reward[:batch, 1:].float(), rewards[:, :-1])
    end = F.binary_cross_entropy_with_logits(prediction.end[:batch, 1:].float(), ends[:, :-1])
    moved = torch.zeros((), device=device)
    if config.motion_weight and causal:
        assert motion is not None, "the clips come without their optical flow"
        assert prediction.flow is not None
        # Own frames show other places than the truth does.
        true = has_before & known & (torch.arange(batch, device=device) >= own)[:, None]
        moved = ((prediction.flow.float() - motion).abs().mean((2, 3, 4)) * true).sum() / true.sum().clamp_min(1)
    starts = (level > 0.99) & has_before & (step == 0) & known
    return {
        "loss": flow
        + config.policy_weight * policy
        + config.head_weight * (reward + end)
        + config.motion_weight * moved,
        "flow": flow.detach(),
        "from_noise": _mean(error, starts),
        "policy": policy.detach(),
        "motion": moved.detach(),
    } | ({"spread": _mean((made - other[0]).square().mean((2, 3, 4)), starts)} if other else {})


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """The mean of values where `where` is true, without a gradient."""
    return ((values * where).sum() / where.sum().clamp_min(1)).detach()


def _energy_score(one: Tensor, other: Tensor, truth: Tensor) -> Tensor:
    """The energy score of two samples, (batch, time): the mean over tokens, latents being (batch, time, h, w, C).

    Half of their distances from the truth less half of their distance from each other. A proper score (Gneiting and
    Raftery 2007): the least is reached by samples that are distributed as the truth is, and not by their mean, which is
    a blur. Networks that forecast weather are trained so (arXiv 2506.10772), and few-step diffusion (2502.02483).
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return ((x - y).square().mean(-1) + 1e-4).sqrt().mean((2, 3))

    return (distance(one, truth) + distance(other, truth) - distance(one, other)) / 2


def _two_half_steps(
    predict: Callable[[int, Tensor, Tensor, Tensor], Prediction],
    noisy: Tensor,
    level: Tensor,
    step: Tensor,
    finest: float,
) -> Tensor:
    """The clean latents that two half steps of size step / 2 point to; the bootstrap target of shortcut models.

    Half steps below the finest size are taken as infinitely small ones, which the flow loss trains.
    """
    half = step / 2
    told = torch.where(half < finest, 0.0, half)

    def wide(x: Tensor) -> Tensor:
        return x[..., None, None, None]

    def velocity(noisy: Tensor, level: Tensor) -> Tensor:
        return (noisy - predict(len(noisy), noisy, level, told).latents) / wide(level.clamp_min(1e-3))

    first_velocity = velocity(noisy, level)
    second_velocity = velocity(noisy - wide(half) * first_velocity, level - half)
    return noisy - wide(level) * (first_velocity + second_velocity) / 2
