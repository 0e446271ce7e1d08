"""The agent's network: from the last frames to what to do next and what is still to be gained; and a policy made of it.

uint8 frames go in, the logits of `worldsim.model.policy.ActionLayout` and a value come out, so that the same network
acts in any action space that a World may have. Saved as one safetensors file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from worldsim.checkpoint import load_tensors, save_tensors
from worldsim.spec import action_layout, space_from_json, space_to_json, unflatten_action

MIN_SIDE = 36  # pixels: what the three convolutions leave something of
_LARGE = 96  # pixels: of frames whose sides are all longer, convolving would be most of the work


class ActorCriticConfig(BaseModel):
    """Sizes of the network, and the spaces that it was made for."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")  # a Box may have no bounds

    size: tuple[int, int] = Field(description="(height, width) of a frame in pixels")
    action: dict[str, Any] = Field(description="the Gymnasium action space, by `worldsim.spec.space_to_json`")
    stack: int = Field(default=3, gt=0, description="frames that it sees at once: one shows no speed")
    channels: int = Field(default=32, gt=0, description="of the first convolution; the others have twice as many")
    hidden: int = Field(default=256, gt=0)

    @classmethod
    def of_env(cls, env: gym.Env | gym.vector.VectorEnv, **sizes: int) -> ActorCriticConfig:
        """For an environment, single or vector; ValueError unless its observations are uint8 (H, W, 3) of 36 or more.

        ValueError too for actions without a flat vector.
        """
        observation = getattr(env, "single_observation_space", env.observation_space)
        action = getattr(env, "single_action_space", env.action_space)
        shape = tuple(observation.shape or ())
        if observation.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < MIN_SIDE:
            raise ValueError(
                f"the agent sees uint8 frames (height, width, 3) with sides of {MIN_SIDE} pixels or more, and the "
                f"observations here are {observation}"
            )
        try:
            return cls(size=(shape[0], shape[1]), action=space_to_json(action), **sizes)
        except TypeError as error:
            raise ValueError(f"the agent cannot act here: {error}") from None


def halved(frames: Tensor) -> Tensor:
    """Frames uint8 (..., H, W, 3), halved by means over 2x2 pixels until a side has no more than 96."""
    while min(frames.shape[-3:-1]) > _LARGE:
        height, width = (side // 2 for side in frames.shape[-3:-1])
        pictures = frames.reshape(-1, *frames.shape[-3:]).permute(0, 3, 1, 2)
        if pictures.device.type != "cpu":  # where bytes are not pooled
            pictures = pictures.float()
        # Linear between pixels is the mean of four here, and eight times as fast as their sum written out.
        small = F.interpolate(pictures[:, :, : 2 * height, : 2 * width], (height, width), mode="bilinear")
        frames = small.round().byte().permute(0, 2, 3, 1).reshape(*frames.shape[:-3], height, width, 3)
    return frames


class ActorCritic(nn.Module):
    """The convolutions of DQN's Nature paper with orthogonal weights, as in CleanRL's PPO; two linear heads.

    Of large frames it sees smaller ones, see `halved`. `dtype` is what it multiplies in; weights, and what it returns,
    are float32.
    """

    dtype = torch.float32

    def __init__(self, config: ActorCriticConfig) -> None:
        super().__init__()
        self.config = config
        self.layout = action_layout(space_from_json(config.action))
        few, many = config.channels, 2 * config.channels
        self.see = nn.Sequential(
            nn.Conv2d(3 * config.stack, few, 8, 4), nn.ReLU(),
            nn.Conv2d(few, many, 4, 2), nn.ReLU(),
            nn.Conv2d(many, many, 3, 1), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            frame = halved(torch.zeros(*config.size, 3, dtype=torch.uint8))
            seen = self.see(torch.zeros(1, 3 * config.stack, *frame.shape[:2])).shape[1]
        self.think = nn.Sequential(nn.Linear(seen, config.hidden), nn.ReLU())
        self.act = nn.Linear(config.hidden, self.layout.logits)
        self.judge = nn.Linear(config.hidden, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(layer.weight, 2**0.5)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.orthogonal_(self.act.weight, 0.01)
        nn.init.orthogonal_(self.judge.weight, 1.0)

    def forward(self, stacked: Tensor) -> tuple[Tensor, Tensor]:
        """Frames uint8 (n, H, W, stack, 3), `halved`, oldest first, to logits (n, layout.logits) and values (n,)."""
        # Channels last in memory too: a CPU convolves that a quarter faster.
        pictures = stacked.flatten(3).float().div_(255).sub_(0.5)
        with torch.autocast(stacked.device.type, self.dtype, enabled=self.dtype != torch.float32):
            known = self.think(self.see(pictures.permute(0, 3, 1, 2)))
            logits, values = self.act(known), self.judge(known)[:, 0]
        return logits.float(), values.float()

    def save(self, path: Path, facts: dict[str, str] | None = None) -> None:
        """Write the weights and what is needed to act with them, complete or not at all."""
        save_tensors(path, self.state_dict(), {"actor_critic": self.config.model_dump_json()} | (facts or {}))

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu") -> ActorCritic:
        """Read what `save` wrote; FileNotFoundError, or ValueError for a file of another kind."""
        tensors, facts = load_tensors(Path(path), device)
        try:
            agent = cls(ActorCriticConfig.model_validate_json(facts["actor_critic"])).to(device)
            agent.load_state_dict(tensors)
        except (KeyError, ValidationError, RuntimeError) as error:
            raise ValueError(f"{path} holds no agent that `worldsim agent` wrote: {error}") from None
        return agent.eval()


class FrameStack:
    """The last frames of each lane, uint8 (lanes, H, W, stack, 3), `halved`; those of its context begin an episode.

    A pixel's colours of all frames lie side by side, as the network takes them: that spares it a copy in each pass.
    """

    def __init__(self, lanes: int, stack: int, size: tuple[int, int], device: torch.device | str = "cpu") -> None:
        frame = halved(torch.zeros(lanes, *size, 3, dtype=torch.uint8, device=device))
        self.frames = frame[:, :, :, None].repeat(1, 1, 1, stack, 1)

    def push(self, frames: Tensor) -> None:
        """Add the newest frames (lanes, H, W, 3). Makes a new tensor: the one before may be kept."""
        self.frames = torch.cat([self.frames[..., 1:, :], halved(frames)[..., None, :]], -2)

    def begin(self, lane: int, frame: Tensor, context: Any = None) -> None:
        """An episode begins in a lane: with its first frame (H, W, 3), or the end of a context (T, H, W, 3)."""
        shown = frame[None] if context is None else torch.as_tensor(context, device=frame.device)
        stack = self.frames.shape[-2]
        shown = halved(shown[-stack:])
        last = torch.cat([shown[:1].expand(stack, *shown.shape[1:]), shown])[-stack:]
        self.frames[lane] = rearrange(last, "stack h w c -> h w stack c")


class ActorPolicy:
    """An `ActorCritic` as a policy of one environment (`worldsim.agents.Policy`), which draws as it did in training."""

    def __init__(self, agent: ActorCritic, rng: np.random.Generator) -> None:
        self.agent, self.rng = agent, rng
        self.space = space_from_json(agent.config.action)
        self._stack = FrameStack(1, agent.config.stack, agent.config.size)
        self._begins = False

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """An episode begins; `info["context"]`, if there is one, are the frames that led to it."""
        self._stack.begin(0, torch.as_tensor(obs), info.get("context"))
        self._begins = True

    @torch.no_grad()
    def act(self, obs: np.ndarray, info: dict[str, Any]) -> Any:
        """An element of the action space."""
        if not self._begins:
            self._stack.push(torch.as_tensor(obs)[None])
        self._begins = False
        layout = self.agent.layout
        logits, _ = self.agent(self._stack.frames)
        flat = layout.sample(logits, torch.from_numpy(self.rng.random((1, len(layout.centre)), np.float32)))
        return unflatten_action(self.space, flat[0].numpy())
