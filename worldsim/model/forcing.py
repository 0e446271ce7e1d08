"""How the dynamics is trained: noise levels for every frame, targets, losses.

Diffusion forcing (arXiv 2407.01392): each frame of a clip draws its own noise level, with patterns for the uses that
matter. Rectified flow in x-space: noisy = (1 - level) * clean + level * noise, the network predicts clean. Shortcut
forcing (Dreamer 4, arXiv 2509.24527): part of the batch learns to take in one step what it takes in two half steps.
Against drift, part of the clips go on from frames that the model made itself (as in DIAMOND, arXiv 2405.12399). What is
made from noise alone may be scored as two samples, so that it need not fade to the mean of all that may be
(`worldsim.model.scores`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from worldsim.model.dynamics import Dynamics, Prediction
from worldsim.model.motion import looked_up
from worldsim.model.policy import ActionLayout
from worldsim.model.rewards import reward_loss
from worldsim.model.scores import energy_score


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
        default=0.0,
        ge=0,
        le=1,
        description="share of clips that go on from what the model made, one frame a step",
    )
    own_depth: int = Field(default=24, ge=1, description="the most steps that those go on; half for its root or less")
    own_fade: float = Field(
        default=0.25,
        gt=0,
        description="heights that the picture moves until their distance from the truth counts half",
    )
    own_floor: float = Field(default=0.0, ge=0, le=1, description="what that never counts less than")
    energy: float = Field(
        default=0.0,
        ge=0,
        description="weight of the energy score of two samples, which replaces the squared error of frames made from "
        "noise alone; the batch has every clip twice",
    )
    rare: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the clips that do not go on which show a rare key, reward or end. Where chance "
        "decides of one, it is then thought to be likelier than it is",
    )
    rare_weight: float = Field(
        default=0.0,
        ge=0,
        description="how much more a frame counts which a rare key or reward has just led to: a block that is "
        "broken is a few tokens of one frame in a hundred, and was learned last",
    )
    drop_action: float = 0.08
    drop_text: float = 0.15
    drop_motion: float = 0.1
    shortcut: float = Field(default=0.0, ge=0, le=1, description="share of the clips of a batch with bootstrap targets")
    shortcut_steps: int = Field(default=4, description="most denoising steps that bootstrap targets are made for")
    weight_floor: float = Field(default=0.5, description="loss weight of pure noise; that of a clean frame is 1")
    motion_weight: float = Field(
        default=0.0, ge=0, description="loss weight of a pixel between the flow and the optical flow of the recording"
    )
    pixel_weight: float = Field(
        default=0.0,
        ge=0,
        description="loss weight of how far a true frame is from the one before, each pixel looked up where the model "
        "says, of the range of colours; the errors that latents do not hold, ragged edges, are seen by it alone",
    )
    follow_weight: float = Field(
        default=0.0, ge=0, description="loss weight of how far each pixel's factor is from following the flow as it is"
    )
    drawn_weight: float = Field(
        default=0.0,
        ge=0,
        description="loss weight of the squared error of what the model would show if it kept nothing of the frame "
        "before, in frames from noise alone; where it keeps all it would never learn to draw, nor to stop keeping",
    )
    policy_weight: float = 0.02
    head_weight: float = 0.1

    @property
    def copies(self) -> int:
        """How often each clip of a batch is in it, its copies side by side."""
        return 2 if self.energy else 1

    def own_clips(self, batch: int) -> int:
        """How many clips of a batch go on from what the model made."""
        return self.copies * int(self.own * batch / self.copies + 0.5)


def mix(clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """(1 - level) * clean + level * noise; clean, noise (batch, time, h, w, C), level (batch, time)."""
    level = level[..., None, None, None].to(clean.dtype)
    return (1 - level) * clean + level * noise


def sample_levels(batch: int, time: int, config: ForcingConfig, device: torch.device) -> Tensor:
    """Draw the noise level of every frame, float32 (batch, time) in [0, 1], by the patterns of the mix."""
    shape = (batch, time)
    noisy = torch.rand(shape, device=device)
    # A first frame is made from text alone, in many steps: all levels are as likely there.
    pure = (torch.rand(shape, device=device) < config.pure_noise) & (torch.arange(time, device=device) > 0)
    noisy = torch.where(pure, 1.0, noisy)
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
    seen: Tensor | None = None,
    age: Tensor | None = None,
    travelled: Tensor | None = None,
    frames: Tensor | None = None,
    made: Tensor | None = None,
    places: Tensor | None = None,
    rare: Tensor | None = None,
) -> dict[str, Tensor]:
    """The training loss of a batch of clips; the entry "loss" is minimised, the others are for the log.

    latents (batch, time, h, w, C) normalised; actions (batch, time, action_dim) flat, actions[:, t] taken at frame t;
    rewards, ends (batch, time): what the action taken at frame t gave; known: bool (batch, time), False from where on
    there are no latents, and only what the action taken at the last known frame gave is learned; text: byte ids
    (batch, length); motion (batch, time, 4 h, 4 w, 2): where the points of each frame were in the one before, in
    pixels, needed if motion_weight is above 0 or the model sees motion; seen: the same of the frames as they are shown,
    None = as motion; frames: uint8 (batch, time, 16 h, 16 w, 3), needed if pixel_weight is above 0.
    age: int64 (own,): the first clips of the batch are those of the batch before, one frame later, and this is how
    often that was so; travelled: float32 (own,), how long a way the picture has moved since then, in its heights, on
    average over its points; made (own, time, h, w, C), float: what the model made of their frames, replaced in place;
    places (own, 16 h, 16 w, 2): where each pixel of the newest of them was looked up, written to.
    rare: bool (batch, time), whether the action taken at each frame is something seldom; needed for rare_weight.
    With the energy score every clip comes twice, the two side by side: they are told the same, of what there is in the
    recording, and differ in their noise, and in what was made of them before.
    """
    batch, time = latents.shape[:2]
    device = latents.device
    copies = config.copies
    if batch % copies:
        raise ValueError(f"every clip is to come twice, and there are {batch}")
    level = sample_levels(batch // copies, time, config, device).repeat_interleave(copies, 0)
    level = torch.where(known, level, 1.0)
    own, near = 0 if age is None else len(age), torch.ones(batch, 1, device=device)
    shown = before = latents
    if age is not None:
        assert made is not None, "clips that go on need what was made of them"
        assert travelled is not None, "how far have the clips that go on come?"
        # However good, they go elsewhere, the further the more, and then nearness to the truth asks for a blur; at last
        # for the mean of all places, the same everywhere. Where nothing moves it stays the truth. The energy score asks
        # for no mean, so with it some may count however far; less, for what it says of far places is mostly chance.
        fade = config.own_floor + (1 - config.own_floor) * torch.exp2(-travelled / config.own_fade)
        near = F.pad(fade, (0, batch - own), value=1.0)[:, None]
        level = torch.cat([F.pad(level[:own, :-1], (0, 1), value=1.0), level[own:]])  # the newest frame is made anew
        goes_on = rearrange(age > 0, "b -> b 1 1 1 1")
        going = torch.cat([torch.where(goes_on, made[:, 1:], latents[:own, :-1]), latents[:own, -1:]], 1)
        # What is shown almost clean is what was made: a World knows no other. What it is to become is still the truth.
        remembered = rearrange(level[:own] < 0.15, "b t -> b t 1 1 1")
        before = torch.cat([going, latents[own:]])
        shown = torch.cat([torch.where(remembered, going, latents[:own]), latents[own:]])
    step = torch.zeros_like(level)
    shortcut = copies * int(config.shortcut * batch / copies + 0.5)
    if shortcut:
        # 1, 2 or 4 steps: the noise level lies on that grid.
        steps = 2 ** torch.randint(0, config.shortcut_steps.bit_length(), (shortcut // copies, time), device=device)
        steps = steps.repeat_interleave(copies, 0)
        grid = (level[:shortcut] * steps).ceil().clamp_min(1) / steps
        remembered = level[:shortcut] < 0.15
        level = torch.cat([torch.where(remembered, level[:shortcut], grid), level[shortcut:]])
        step = torch.cat([torch.where(remembered, 0, 1 / steps), step[shortcut:]])
        step = torch.cat([F.pad(step[:own, :-1], (0, 1)), step[own:]])  # what goes on is the result, not a half step

    is_own = torch.arange(batch, device=device) < own

    def told(share: float) -> Tensor:
        """Which clips are told something that a share of them is not, bool (batch, 1)."""
        # All that go on are: what they had made not knowing where they turn would stay wrong.
        chosen = torch.rand(batch // copies, device=device).repeat_interleave(copies) >= share
        return (is_own | chosen)[:, None]

    def randn(*shape: int) -> Tensor:
        """Noise (batch, *shape), the same for both copies of a clip: what they differ by is to be what they make."""
        return torch.randn(batch // copies, *shape, device=device).repeat_interleave(copies, 0)

    scaled = layout.scale(actions)
    has_action = told(config.drop_action) & (torch.arange(time, device=device) > 0)
    led_here = F.pad(scaled[:, :-1], (0, 0, 1, 0))
    text = torch.where(told(config.drop_text), text, 0)
    before = F.pad(before[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
    true = ~is_own[:, None, None, None, None]  # what was made has errors of its own
    # Added, not mixed in: the network is not told how much, and shrunk inputs would teach it to amplify every frame.
    deviation = latents[:, 0].std((0, 1, 2))
    amount = config.previous_noise * torch.rand(batch // copies, time, 1, 1, 1, device=device) * deviation
    before = before + true * amount.repeat_interleave(copies, 0) * randn(*before.shape[1:])
    if config.drift:
        # Colours and contrasts that have drifted, the same way for all of a clip, are to be led back to true ones.
        gain, offset = (config.drift * randn(1, 1, 1, latents.shape[-1]) for _ in range(2))
        before = before * (1 + true * gain) + true * offset * deviation
    seen_motion = None
    if model.config.sees_motion:
        seen = motion if seen is None else seen
        assert seen is not None, "the clips come without their optical flow"
        seen_motion = F.pad(seen[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)) * told(config.drop_motion)[..., None, None, None]
    has_before = (torch.arange(time, device=device) > 0).expand(batch, -1)

    encoded = model.encode_text(text)

    def predict(first: int, noisy: Tensor, level: Tensor, step: Tensor) -> Prediction:
        """The model's prediction for the first `first` clips."""
        words = encoded.map(lambda tensor: tensor[:first])
        return model(
            noisy, level, step, led_here[:first], has_action[:first], words, before[:first], has_before[:first],
            motion=None if seen_motion is None else seen_motion[:first],
        )  # fmt: skip

    alone = level > 0.99  # made from noise alone, of which each copy has its own
    noise = torch.where(alone[..., None, None, None], torch.randn_like(latents), randn(*latents.shape[1:]))
    noisy = mix(shown, noise, level)
    prediction = predict(batch, noisy, level, step)
    target = latents
    if shortcut:
        with torch.no_grad():
            finest = 1 / config.shortcut_steps
            bootstrap = _two_half_steps(predict, noisy[:shortcut], level[:shortcut], step[:shortcut], finest)
            is_step = (step[:shortcut] > 0)[..., None, None, None]
            target = torch.cat(
                [torch.where(is_step, bootstrap.to(latents.dtype), latents[:shortcut]), latents[shortcut:]]
            )

    predicted = prediction.latents.float()
    error = (predicted - target.float()).square().mean((2, 3, 4))
    weight = config.weight_floor + (1 - config.weight_floor) * (1 - level)
    if config.rare_weight:
        assert rare is not None, "which frames did something seldom lead to?"
        weight = weight * (1 + config.rare_weight * F.pad(rare[:, :-1].float(), (1, 0)))
    if made is not None and own:
        made.copy_(torch.cat([going[:, :-1], predicted[:own, -1:].to(going.dtype)], 1).detach())
        if places is not None and prediction.places is not None:
            places.copy_(prediction.places[:own, -1].detach())
    starts = alone & (step == 0) & known
    more: dict[str, Tensor] = {}
    asked = error
    if config.energy:
        score = energy_score(predicted, target.float()).repeat_interleave(2, 0)
        asked = torch.where(starts, config.energy * score, error)
        more["energy"] = _mean(score.detach(), starts * near)
    flow = (near * weight * asked * known).mean()
    policy = (near * (1 - level) * layout.loss(prediction.policy, scaled)).mean()  # unknown frames have level 1
    acted = known[:, :-1]  # what comes after an end is nothing
    reward = _mean(reward_loss(prediction.reward[:, 1:], rewards[:, :-1], model.config.reward_values), acted)
    end = _mean(
        F.binary_cross_entropy_with_logits(prediction.end[:, 1:].float(), ends[:, :-1], reduction="none"), acted
    )
    moved = torch.zeros((), device=device)
    if config.motion_weight:
        assert motion is not None, "the clips come without their optical flow"
        assert prediction.flow is not None
        off = (prediction.flow.float() - motion).abs().mean((2, 3, 4))
        moved = _mean(off, near * (has_before & known))
    loose = torch.zeros((), device=device)
    if config.follow_weight:
        # Where nothing moves every factor is as good, and what then comes of a turn would be in shreds.
        assert prediction.follows is not None
        loose = _mean((prediction.follows - 1).abs().mean((2, 3, 4)), has_before & known)
    pixels = torch.zeros((), device=device)
    if config.pixel_weight:
        # As optical flow is learned from films alone (arXiv 1608.05842). What was made lies elsewhere than in truth.
        assert frames is not None, "the clips come without their frames"
        assert prediction.places is not None
        colours = frames[own:].float() / 255
        moved_there = looked_up(colours[:, :-1].flatten(0, 1), prediction.places[own:, 1:].flatten(0, 1), "bilinear")
        apart = (moved_there - colours[:, 1:].flatten(0, 1)).abs().mean((1, 2, 3))
        pixels = _mean(apart, known[own:, 1:].flatten())
    anew = torch.zeros((), device=device)
    if config.drawn_weight:
        assert prediction.drawn is not None
        off_alone = (prediction.drawn.float() - target.float()).square().mean((2, 3, 4))
        anew = _mean(off_alone, near * (alone & has_before & known))
    loss = flow + config.policy_weight * policy + config.head_weight * (reward + end)
    loss = loss + config.motion_weight * moved + config.follow_weight * loose + config.pixel_weight * pixels
    loss = loss + config.drawn_weight * anew
    return {
        "loss": loss,
        "flow": flow.detach(),
        "from_noise": _mean(error.detach(), starts * has_before * near),
        "policy": policy.detach(),
        "reward": reward.detach(),
        "end": end.detach(),
        "motion": moved.detach(),
        "follow": loose.detach(),
        "pixels": pixels.detach(),
        "drawn": anew.detach(),
    } | more


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """The mean of values where `where` is true, or weighted by it; 0 if it is nowhere."""
    return (values * where).sum() / where.sum().clamp_min(1e-6)


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
