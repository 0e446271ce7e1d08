"""The dynamics: a spacetime diffusion transformer that predicts clean latents from noisy ones, actions and text.

Every frame has its own noise level (diffusion forcing, arXiv 2407.01392), so the same network steps an environment,
makes videos and fills gaps. Attention is factorised: inside a frame in every block, through time in every few blocks,
with a mask that is causal (stepping, with a cache) or open (films: every frame sees every other). In a causal network
each frame also sees the clean latents of the frame before it: in its input, as further keys of its spatial attention,
and moved by a flow that the network predicts half way (`worldsim.model.motion`), or as they are, where pictures move by
whole tokens (`DynamicsConfig.moves`). An open one has none of that: where all are made at once, the frame before is not
there yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from worldsim.model.blocks import Conditioned, DynamicsBlock, modulate
from worldsim.model.cache import Cache
from worldsim.model.layers import (
    MLP,
    PLACE_FEATURES,
    Linear,
    Rotation,
    place_features,
    places_of_tokens,
    rms_norm,
    rotation_in_space,
    rotation_in_time,
)
from worldsim.model.motion import Motion, places_before
from worldsim.model.text import TEXT_HEAD, Text, TextEncoder, WordEncoder, encode_bytes, encode_words

KNOWN_CELLS = 4  # a side: parts of a token of which it is told how much of them is known


class DynamicsConfig(BaseModel):
    """Sizes of a dynamics network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_channels: int = 64
    action_dim: int
    policy_logits: int = Field(description="outputs of the next-action head, see worldsim.model.policy")
    reward_values: list[float] = Field(
        default=[0.0], min_length=1, description="what rewards are told by, ascending, see worldsim.model.rewards"
    )
    causal: bool = Field(default=True, description="frames see those before them only, and are made in order")
    channels: int = 256
    heads: int = 4
    layers: int = 6
    time_every: int = Field(default=3, description="every n-th block also attends through time")
    text_every: int = Field(default=3, description="every n-th block also attends to the text")
    moves: bool = Field(default=True, description="moves the frame before by a flow that it predicts")
    sees_motion: bool = Field(default=False, description="is told how the frame before had moved, by optical flow")
    shares_motion: bool = Field(default=False, description="tokens decide their share of the whole picture's flow")
    aims: bool = Field(
        default=False,
        description="tokens are told where from them the place lies that an action names: its first number to the "
        "right, its second down, from one edge of the picture at the least to the other at the most; not for pushes",
    )
    registers: int = 2
    condition_channels: int = 256
    text_channels: int = 128
    text_layers: int = 2
    words: bool = Field(default=False, description="reads text as a bag of words and pairs, and not as bytes in order")
    sees_known: bool = Field(default=False, description="is told which pixels are known already: it paints the others")

    @model_validator(mode="after")
    def _looks_back(self) -> Self:
        if self.sees_motion and not self.causal:
            raise ValueError("an open network sees no frame before, and so no motion: leave out sees_motion")
        if self.aims and self.action_dim != 2:
            raise ValueError(f"aims is for actions of two numbers, and these have {self.action_dim}: leave it out")
        if not self.moves and (self.sees_motion or self.shares_motion):
            raise ValueError("a network that moves nothing needs no flow: leave out sees_motion and shares_motion")
        if self.sees_known and self.causal:
            raise ValueError("a causal network sees the frame before, and not known pixels: leave out sees_known")
        if self.channels % (4 * self.heads):  # rotary positions turn pairs by the row and by the column
            raise ValueError(f"channels ({self.channels}) must be a multiple of 4 times the heads ({self.heads})")
        if not self.words and (self.text_channels < TEXT_HEAD or self.text_channels % TEXT_HEAD):
            raise ValueError(f"text_channels ({self.text_channels}) must be a multiple of {TEXT_HEAD}")
        if self.layers < self.time_every:
            raise ValueError(
                f"no block would attend through time: {self.layers} layers, and time_every is {self.time_every}"
            )
        return self


@dataclass
class Prediction:
    """What the dynamics says of frames (batch, time): clean latents, logits of reward, end and next action."""

    latents: Tensor  # (batch, time, h, w, C)
    reward: Tensor  # (batch, time, reward_values), logits
    end: Tensor  # (batch, time), a logit
    policy: Tensor  # (batch, time, policy_logits)
    flow: Tensor | None = None  # (batch, time, 4 h, 4 w, 2), before each pixel's own factor; None if nothing is moved
    follows: Tensor | None = None  # (batch, time, 16 h, 16 w, 1): that factor
    places: Tensor | None = None  # (batch, time, 16 h, 16 w, 2): where in the frame before each pixel is looked up
    drawn: Tensor | None = None  # like latents, for what is not kept of the frame before; None if nothing is


def sinusoid(level: Tensor, channels: int) -> Tensor:
    """Fourier features (..., channels) of a number in [0, 1], in float32."""
    frequencies = torch.exp2(torch.linspace(0, 8, channels // 2, device=level.device))
    angles = level.float()[..., None] * frequencies * torch.pi
    return torch.cat([angles.cos(), angles.sin()], -1)


def neighbourhood(latents: Tensor) -> Tensor:
    """Each token with its eight neighbours, (batch, h, w, C) to (batch, h, w, 9 C): an overlapping embedding.

    What one token shows after a turn of the camera comes from its neighbours before it.
    """
    height, width = latents.shape[1:3]
    padded = F.pad(latents, (0, 0, 1, 1, 1, 1))
    return torch.cat([padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)], -1)


class Dynamics(nn.Module):
    """Predicts clean latents, reward, end and next action of every frame; see the module's docstring."""

    def __init__(self, config: DynamicsConfig) -> None:
        super().__init__()
        self.config = config
        channels, condition, latent = config.channels, config.condition_channels, config.latent_channels
        self.embed = Linear(latent, channels)
        self.embed_place = Linear(PLACE_FEATURES, channels, bias=False)
        if config.aims:
            self.embed_aim = Linear(PLACE_FEATURES, channels, bias=False)
        if config.causal:
            self.embed_before = Linear(9 * latent, channels)
            self.before_mlp = MLP(channels, 2)
            self.no_before = nn.Parameter(torch.zeros(channels))
            if config.moves:
                self.motion = Motion(latent, channels, condition, config.sees_motion, config.shares_motion)
            self.embed_moved = Linear(latent, channels)
            self.embed_noise = Linear(latent, channels, bias=False)
        if config.sees_known:
            self.embed_known = Linear(latent + KNOWN_CELLS**2, channels)
            self.summarise_known = Linear(latent + KNOWN_CELLS**2, condition, bias=False)
        self.registers = nn.Parameter(torch.randn(config.registers, channels) * 0.02)
        self.embed_level = Linear(64, condition)
        self.embed_step = Linear(64, condition)
        self.embed_action = nn.Sequential(Linear(config.action_dim, condition), nn.SiLU(), Linear(condition, condition))
        self.no_action = nn.Parameter(torch.zeros(condition))
        self.condition = nn.Sequential(nn.SiLU(), Linear(condition, condition), nn.SiLU())
        if config.words:
            self.text: nn.Module = WordEncoder(config.text_channels)
            # No bias: what it is added to has one.
            self.summarise = Linear(config.text_channels, condition, bias=False)
        else:
            self.text = TextEncoder(config.text_channels, config.text_layers)
        self.project_text = Linear(config.text_channels, channels)
        self.blocks = nn.ModuleList(
            DynamicsBlock(config, (i + 1) % config.time_every == 0, (i + 1) % config.text_every == 0)
            for i in range(config.layers)
        )
        self.final = Conditioned(condition, channels, 2)
        self.keep_noisy = Linear(condition, latent)
        self.to_latent = Linear(channels, 2 * latent if config.causal or config.sees_known else latent)
        self.heads = Linear(config.registers * channels, sum(self._outputs))
        self._initialise()

    @property
    def typed_blocks(self) -> list[DynamicsBlock]:
        """The blocks, with the type that a ModuleList hides."""
        return cast(list[DynamicsBlock], self.blocks)

    @property
    def _outputs(self) -> list[int]:
        """How many numbers the heads say of the reward, of the end and of the next action."""
        return [len(self.config.reward_values), 1, self.config.policy_logits]

    def _initialise(self) -> None:
        for module in (self.to_latent, self.heads, self.keep_noisy):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        if self.config.causal:
            nn.init.constant_(self.to_latent.bias[: self.config.latent_channels], 2.0)  # to begin with, most is kept
        # Actions are small numbers. With a smaller weight they are faint in the condition, and were learned last.
        nn.init.normal_(cast(Linear, self.embed_action[0]).weight)
        depth = (2 * self.config.layers) ** -0.5
        for block in self.typed_blocks:
            for name, parameter in block.named_parameters():
                if name.endswith(("_out.weight", "mlp.down.weight")):
                    parameter.data.mul_(depth)

    def with_rewards(self, values: list[float]) -> Dynamics:
        """The same network with rewards told by other values, of which it knows nothing yet; itself if by its own."""
        if values == self.config.reward_values:
            return self
        other = Dynamics(self.config.model_copy(update={"reward_values": values})).to(self.heads.weight)
        state = self.state_dict()
        for name in ("heads.weight", "heads.bias"):
            kept = state[name][len(self.config.reward_values) :]
            state[name] = torch.cat([kept.new_zeros(len(values), *kept.shape[1:]), kept])
        other.load_state_dict(state)
        return other

    def new_cache(self, batch: int, tokens: int, length: int) -> Cache:
        """An empty cache for `batch` lanes of frames of `tokens` tokens that remembers `length` frames."""
        like = self.embed.weight
        heads = self.config.heads
        shape = (batch, tokens + self.config.registers, heads, length, self.config.channels // heads)
        layers = sum(block.time is not None for block in self.typed_blocks)
        return Cache(
            [like.new_zeros(shape) for _ in range(layers)],
            [like.new_zeros(shape) for _ in range(layers)],
            torch.zeros(batch, dtype=torch.int64, device=like.device),
        )

    def encode_prompts(self, texts: Sequence[str | None]) -> Text:
        """Texts as `forward` takes them, read as this network reads; None says nothing."""
        read = encode_words if self.config.words else encode_bytes
        return self.encode_text(read(list(texts), self.no_action.device))

    def encode_text(self, data: Tensor) -> Text:
        """What `worldsim.model.text` makes of texts, bytes or words (batch, length), to the text that `forward` takes.

        Done once, however many frames it is for.
        """
        vectors, mask = self.text(data)
        summary = None
        if self.config.words:
            there = mask[..., None].to(vectors.dtype)
            summary = self.summarise((vectors * there).sum(1) / there.sum(1).sqrt())
        vectors = self.project_text(vectors)
        pairs = [block.text_keys(vectors) for block in self.typed_blocks if block.text_query is not None]
        return Text([keys for keys, _ in pairs], [values for _, values in pairs], mask, summary)

    def forward(
        self,
        noisy: Tensor,
        level: Tensor,
        step: Tensor,
        actions: Tensor,
        has_action: Tensor,
        text: Text,
        previous: Tensor | None,
        has_previous: Tensor | None,
        *,
        motion: Tensor | None = None,
        known: Tensor | None = None,
        cache: Cache | None = None,
        remember: int = 0,
    ) -> Prediction:
        """Predict the clean latents of frames.

        noisy (batch, time, h, w, C): (1 - level) * clean + level * gaussian; level (batch, time) in [0, 1];
        step (batch, time) in [0, 1]: size of the sampling step that the prediction is for, 0 = infinitely small;
        actions (batch, time, action_dim): the flat action, scaled to [-1, 1], that led to each frame, used where
        has_action (batch, time); text: from `encode_text`; previous (batch, time, h, w, C): clean latents of the frame
        before each, used where has_previous (batch, time); both None for an open network.
        motion (batch, time, 4 h, 4 w, 2): the optical flow by which the frame before each had come about, in pixels, 0
        where it is not known; for a network that sees motion.
        known (batch, time, h, w, C + 16): for a network that sees what is known, see `worldsim.model.painting.guess`.
        cache: frames remembered before these; the first `remember` frames of this call are added to it in place.
        """
        batch, time, height, width, _ = noisy.shape
        tokens, registers = height * width, self.config.registers
        head_dim = self.config.channels // self.config.heads
        seen = motion.flatten(0, 1) if self.config.sees_motion and motion is not None else None

        flat = rearrange(noisy, "b t h w c -> (b t) (h w) c")
        before = None
        if self.config.causal:
            assert previous is not None, "a causal network sees the frame before"
            assert has_previous is not None, "is there a frame before?"
            there = rearrange(has_previous, "b t -> (b t) 1 1")
            patches = rearrange(neighbourhood(previous.flatten(0, 1)), "f h w c -> f (h w) c")
            before = self.embed_before(patches)
            before = torch.where(there, before + self.before_mlp(rms_norm(before)), self.no_before)

        action = torch.where(has_action[..., None], self.embed_action(actions), self.no_action)
        features = (sinusoid(level, 64), sinusoid(step, 64))
        embedded = self.embed_level(features[0].to(flat.dtype)) + self.embed_step(features[1].to(flat.dtype))
        embedded = embedded + action
        if text.summary is not None:
            embedded = embedded + text.summary[:, None]
        if self.config.sees_known:
            assert known is not None, "this network is told what is known"
            # Of a whole picture's light and colours too little comes through attention, as of text.
            embedded = embedded + self.summarise_known(known.mean((2, 3)))
        condition = self.condition(embedded.flatten(0, 1))

        # The input fades out as it becomes noise: the less it says, the less it can distract.
        told = rearrange(1 - level, "b t -> (b t) 1 1").to(flat.dtype)
        middles = places_of_tokens(height, width, flat.device)
        x = self.embed(flat * told) + self.embed_place(place_features(middles).to(flat.dtype))
        if before is not None:
            x = x + before
        if seen is not None:
            x = x + self.motion.embed(seen).to(x.dtype)
        if self.config.aims:
            # "To the left of here" is the same anywhere; from two numbers in the condition that would have to be
            # learned for every place.
            aim = rearrange(actions, "b t a -> (b t) 1 a").float() * middles.new_tensor([width / height, 1.0])
            aimed = self.embed_aim(place_features(aim - middles).to(x.dtype))
            x = x + torch.where(rearrange(has_action, "b t -> (b t) 1 1"), aimed, 0)
        if self.config.sees_known and known is not None:
            x = x + self.embed_known(rearrange(known, "b t h w c -> (b t) (h w) c"))
        x = torch.cat([x, self.registers.expand(batch * time, -1, -1).to(x.dtype)], 1)

        rotation = rotation_in_space(height, width, head_dim, registers, x.device)
        rotation_before = (rotation[0][:tokens], rotation[1][:tokens])
        in_time, mask = self._time(batch, time, tokens + registers, x.device, cache)

        text = text.shortened()
        layer = text_layer = 0
        moved = flow = follows = places = None
        for block in self.typed_blocks:
            scale1, shift1, gate1, scale2, shift2, gate2 = block.modulation(condition)
            attended = block.spatial(modulate(x, scale1, shift1), before, rotation, rotation_before)
            x = torch.addcmul(x, attended, 1 + gate1)
            if block.time is not None:
                past = None if cache is None else (cache.keys[layer], cache.values[layer])
                looked, keys, values = block.temporal(
                    rearrange(x, "(b t) n c -> b t n c", b=batch), in_time, mask, past
                )
                x = x + looked.flatten(0, 1)
                if cache is not None and remember:
                    cache.remember(layer, keys[:, :, :, :remember], values[:, :, :, :remember])
                layer += 1
            if block.text_query is not None:
                x = x + block.attend_text(x, time, text.keys[text_layer], text.values[text_layer], text.mask)
                text_layer += 1
            x = torch.addcmul(x, block.mlp(modulate(x, scale2, shift2)), 1 + gate2)
            if previous is not None and has_previous is not None and block.time is not None and moved is None:
                # Once it has looked back: speed shows in the past alone.
                if self.config.moves:
                    moved, flow, follows, places = self._move(x[:, :tokens], condition, previous, has_previous, seen)
                else:
                    moved = torch.where(there, rearrange(previous, "b t h w c -> (b t) (h w) c"), 0)
                # What cannot be known is made up, from noise, in frames that are made from noise alone; where things
                # move to does not hear it. All tokens hear the same, the sum: what they make up is to fit together.
                heard = torch.where(told > 0, 0, flat).sum(1, keepdim=True) * tokens**-0.5
                place = x[:, :tokens] + self.embed_moved(moved) + self.embed_noise(heard)
                x = torch.cat([place, x[:, tokens:]], 1)
        if cache is not None:
            cache.count += remember

        scale, shift = self.final(condition)
        x = modulate(x, scale, shift)
        shown = self.to_latent(x[:, :tokens])
        kept, own = moved, None
        if self.config.sees_known and known is not None:
            kept = rearrange(known[..., : self.config.latent_channels], "b t h w c -> (b t) (h w) c")
        if kept is not None:
            # A token decides how much it keeps of what moved there, or is known, and what it shows for the rest. A gate
            # between 0 and 1 makes an exact copy easy: an offset would have to be exactly 0.
            gate, own = shown.chunk(2, -1)
            keep = gate.sigmoid()
            shown = keep * kept + (1 - keep) * own
            own = rearrange(own, "(b t) (h w) c -> b t h w c", b=batch, h=height)
        latents = shown + self.keep_noisy(condition)[:, None] * flat
        heads = rearrange(self.heads(x[:, tokens:].flatten(1)), "(b t) o -> b t o", b=batch)
        latents = rearrange(latents, "(b t) (h w) c -> b t h w c", b=batch, h=height)
        reward, end, policy = heads.split(self._outputs, -1)
        return Prediction(latents, reward, end[..., 0], policy, flow, follows, places, own)

    def _move(
        self,
        x: Tensor,
        condition: Tensor,
        previous: Tensor,
        has_previous: Tensor,
        seen: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The frame before, moved, (frames, tokens, C), 0 where there is none; flow, follows and places of them."""
        height, width = previous.shape[2:4]
        tokens = rms_norm(x)
        flow = self.motion.flow(tokens, condition, height, width, seen)
        follows = self.motion.follows(tokens, height)
        places = places_before(flow, follows)
        moved = self.motion.move(previous.flatten(0, 1), places)
        moved = torch.where(rearrange(has_previous, "b t -> (b t) 1 1"), moved.flatten(1, 2), 0)
        shape = has_previous.shape
        return moved, flow.unflatten(0, shape), follows.unflatten(0, shape), places.unflatten(0, shape)

    def _time(
        self, batch: int, time: int, tokens: int, device: torch.device, cache: Cache | None
    ) -> tuple[Rotation, Tensor | None]:
        """The rotation in time, which broadcasts over heads and tokens, and the mask for `time` new frames."""
        positions = torch.arange(time, device=device)
        head_dim = self.config.channels // self.config.heads
        mask = positions[None] <= positions[:, None] if self.config.causal else None
        if cache is None:
            return rotation_in_time(positions, head_dim), mask
        # Every lane counts its own frames: what a lane computes does not depend on when its neighbours were reset.
        cosine, sine = rotation_in_time(cache.count[:, None] + positions, head_dim)
        assert mask is not None, "only a causal network has a cache"
        allowed = torch.cat([cache.visible(time), mask.expand(batch, -1, -1)], -1)
        cosine, sine, allowed = (repeat(part, "b t d -> (b n) 1 t d", n=tokens) for part in (cosine, sine, allowed))
        return (cosine, sine), allowed
