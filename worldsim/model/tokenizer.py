"""The tokenizer: frames <-> latents, 16x smaller in height and width, one frame at a time.

A two-stage vision transformer: 8-pixel patches through a few narrow layers, a 2x2 merge, wider layers, and back.
Positions are rotary and centred, so any height and width that are multiples of 16 work.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from worldsim.model.layers import Block, Linear, rotation_in_space


class TokenizerConfig(BaseModel):
    """Sizes of a tokenizer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_channels: int = 48
    fine_channels: int = 128  # width of the layers over 8-pixel patches; a multiple of 4 * heads
    fine_layers: int = 2
    channels: int = 256  # width of the layers over 16-pixel patches
    layers: int = 3
    head_dim: int = 64


class Tokenizer(nn.Module):
    """Frames (batch, H, W, 3), uint8 or float in [0, 1], to latents (batch, H/16, W/16, C) and back.

    Latents are shifted and scaled to mean 0 and variance 1 in every channel once `measure_latents` has been called.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        fine, wide, latent = config.fine_channels, config.channels, config.latent_channels

        def stack(channels: int, count: int) -> nn.ModuleList:
            return nn.ModuleList(Block(channels, channels // config.head_dim) for _ in range(count))

        self.embed = Linear(8 * 8 * 3, fine)
        self.encode_fine = stack(fine, config.fine_layers)
        self.merge = Linear(4 * fine, wide)
        self.encode_wide = stack(wide, config.layers)
        self.to_latent = nn.Sequential(nn.RMSNorm(wide), Linear(wide, latent))

        self.from_latent = Linear(latent, wide)
        self.decode_wide = stack(wide, config.layers)
        self.split = Linear(wide, 4 * fine)
        self.decode_fine = stack(fine, config.fine_layers)
        self.to_pixels = nn.Sequential(nn.RMSNorm(fine), Linear(fine, 8 * 8 * 3))

        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("std", torch.ones(latent))

    def _blocks(self, layers: nn.ModuleList, x: Tensor, height: int, width: int) -> Tensor:
        rotation = rotation_in_space(height, width, self.config.head_dim, device=x.device)
        for layer in layers:
            x = layer(x, rotation)
        return x

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (batch, H, W, 3) uint8 or float [0, 1] to normalised latents (batch, H/16, W/16, C)."""
        if frames.dtype == torch.uint8:
            frames = frames.to(self.embed.weight.dtype) / 255
        height, width = frames.shape[1] // 8, frames.shape[2] // 8
        x = rearrange(frames * 2 - 1, "b (h p) (w q) c -> b (h w) (p q c)", p=8, q=8)
        x = self._blocks(self.encode_fine, self.embed(x), height, width)
        x = rearrange(x, "b (h p w q) c -> b (h w) (p q c)", h=height // 2, p=2, w=width // 2, q=2)
        x = self._blocks(self.encode_wide, self.merge(x), height // 2, width // 2)
        # Unit length keeps the scale of the latents fixed, so that the noise added in training cannot be outgrown.
        x = F.rms_norm(self.to_latent(x), (self.config.latent_channels,), eps=1e-6)
        x = (x - self.mean) / self.std
        return rearrange(x, "b (h w) c -> b h w c", h=height // 2)

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents (batch, h, w, C) to frames (batch, 16 h, 16 w, 3), float, about [0, 1], not clipped."""
        height, width = latents.shape[1:3]
        x = rearrange(latents * self.std + self.mean, "b h w c -> b (h w) c")
        x = self._blocks(self.decode_wide, self.from_latent(x), height, width)
        x = rearrange(self.split(x), "b (h w) (p q c) -> b (h p w q) c", h=height, p=2, q=2)
        x = self._blocks(self.decode_fine, x, 2 * height, 2 * width)
        x = rearrange(self.to_pixels(x), "b (h w) (p q c) -> b (h p) (w q) c", h=2 * height, p=8, q=8, c=3)
        return (x + 1) / 2

    def decode_uint8(self, latents: Tensor) -> Tensor:
        """Like `decode`, but uint8 (batch, 16 h, 16 w, 3)."""
        return (self.decode(latents).float().clamp(0, 1) * 255).round().to(torch.uint8)

    def loss(self, frames: Tensor, latent_noise: float = 0.1) -> dict[str, Tensor]:
        """Reconstruction loss of frames (batch, H, W, 3) uint8; the entry "loss" is minimised.

        Noise on the latents makes the decoder forgive small errors of the dynamics and keeps the latent space smooth.
        The L1 error of the pictures' gradients keeps edges sharp.
        """
        target = frames.float() / 255
        latents = self.encode(target)
        output = self.decode(latents + latent_noise * torch.randn_like(latents)).float()
        squared = F.mse_loss(output, target)
        edges = F.l1_loss(output.diff(dim=1), target.diff(dim=1)) + F.l1_loss(output.diff(dim=2), target.diff(dim=2))
        return {"loss": squared + 0.1 * edges, "psnr": -10 * squared.detach().log10()}

    @torch.no_grad()
    def measure_latents(self, frames: Tensor) -> None:
        """Set the shift and scale that normalise latents, from frames (batch, H, W, 3) uint8."""
        self.mean.zero_()
        self.std.fill_(1)
        latents = torch.cat([self.encode(part).float() for part in frames.split(64)]).flatten(0, 2)
        self.mean.copy_(latents.mean(0))
        self.std.copy_(latents.std(0).clamp_min(1e-3))
