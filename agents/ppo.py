"""PPO (arXiv 1707.06347) for image observations, on any Gymnasium vector environment, real ones and learned Worlds.

Frames are kept as tensors where the environment gives them; lanes of a World with output="torch" never leave their
device. The environment resets its own lanes (NEXT_STEP, Gymnasium's default), and that step is not learned from.
"""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import concatenate, create_empty_array
from torch import Tensor, nn
from tqdm import tqdm

from worldsim.agents.actor_critic import ActorCritic, ActorCriticConfig, FrameStack
from worldsim.agents.ppo_config import PPOConfig
from worldsim.checkpoint import load_tensors, save_tensors
from worldsim.envs.world_vector_env import WorldVectorEnv
from worldsim.files import differences
from worldsim.spec import unflatten_action


@dataclass
class Learning:
    """How far it has come; stored with the checkpoint. returns: (steps, mean return of the last 100 episodes)."""

    steps: int = 0
    seconds: float = 0.0
    episodes: int = 0
    returns: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class Rollout:
    """What the lanes did, time first; the last frame and value have no action."""

    stacked: Tensor  # uint8 (T + 1, lanes, H, W, stack, 3)
    actions: Tensor  # (T, lanes, A), flat, as the network sees them
    log_probs: Tensor  # (T, lanes) of the actions
    values: Tensor  # (T + 1, lanes)
    rewards: Tensor  # (T, lanes)
    terminated: Tensor  # bool (T, lanes): nothing is to be gained after it
    done: Tensor  # bool (T, lanes): terminated or truncated
    real: Tensor  # bool (T, lanes): False where the step only began a new episode


def advantages(rollout: Rollout, discount: float, gae_lambda: float) -> Tensor:
    """Generalised advantages (T, lanes), arXiv 1506.02438; 0 where a step only began an episode.

    The frame after a truncated step is the episode's last one, so what would have come is valued there.
    """
    found = torch.zeros_like(rollout.rewards)
    coming = torch.zeros_like(rollout.rewards[0])
    for t in reversed(range(len(found))):
        after = torch.where(rollout.terminated[t], 0.0, rollout.values[t + 1])
        surprise = rollout.rewards[t] + discount * after - rollout.values[t]
        coming = torch.where(rollout.done[t], surprise, surprise + discount * gae_lambda * coming)
        coming = torch.where(rollout.real[t], coming, 0.0)
        found[t] = coming
    return found


class Stepper:
    """The lanes of a vector environment as tensors: frames and flat actions, and the last frames of each."""

    def __init__(self, envs: gym.vector.VectorEnv, stack: int, size: tuple[int, int], device: torch.device) -> None:
        mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if mode != AutoresetMode.NEXT_STEP:
            raise ValueError(f"the lanes must reset themselves in the next step (AutoresetMode.NEXT_STEP), not {mode}")
        self.envs, self.device = envs, device
        self._flat = isinstance(envs, WorldVectorEnv)  # a wrapper has actions of its own
        self._stack = FrameStack(envs.num_envs, stack, size, device)
        self.done = torch.zeros(envs.num_envs, dtype=torch.bool, device=device)

    @property
    def stacked(self) -> Tensor:
        """The last frames of each lane, uint8 (lanes, H, W, stack, 3)."""
        return self._stack.frames

    def reset(self, seed: int) -> None:
        """Begin an episode in every lane."""
        frames, infos = self.envs.reset(seed=seed)
        frames = torch.as_tensor(frames, device=self.device)
        self._begin(frames, infos, torch.ones_like(self.done))
        self.done = torch.zeros_like(self.done)

    def step(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Take flat actions (lanes, A) in the space's units; rewards float32 (lanes,) and what has terminated."""
        actions = flat if self._flat else self._elements(flat)
        frames, rewards, terminated, truncated, infos = self.envs.step(actions)
        frames, rewards, terminated, truncated = (
            torch.as_tensor(part, device=self.device) for part in (frames, rewards, terminated, truncated)
        )
        began, self.done = self.done, terminated | truncated
        self._stack.push(frames)
        self._begin(frames, infos, began)
        return rewards.float(), terminated

    def _begin(self, frames: Tensor, infos: dict[str, Any], lanes: Tensor) -> None:
        for lane in lanes.nonzero().flatten().tolist():
            has = "context" in infos and infos["_context"][lane]
            self._stack.begin(lane, frames[lane], infos["context"][lane] if has else None)

    def _elements(self, flat: Tensor) -> Any:
        """The batch of the action space that flat actions stand for."""
        space, rows = self.envs.single_action_space, flat.cpu().numpy()
        batch: Any = create_empty_array(space, n=len(rows))
        return concatenate(space, [unflatten_action(space, row) for row in rows], batch)


class PPO:
    """Trains an `ActorCritic`; its checkpoint in the directory `path` holds agent, optimizer and how far it has come.

    learned_in: plain JSON values that say where; a checkpoint of another place, or of other settings, is refused.
    tensorboard: write curves to `path`/tensorboard too (needs worldsim[tensorboard]).
    """

    def __init__(
        self,
        envs: gym.vector.VectorEnv,
        config: PPOConfig,
        path: Path,
        device: torch.device,
        learned_in: dict[str, Any] | None = None,
        tensorboard: bool = False,
    ) -> None:
        self.config, self.path, self.device = config, path, device
        self._told = config.told() | (learned_in or {})
        torch.manual_seed(config.seed)
        sizes = {"stack": config.stack, "channels": config.channels, "hidden": config.hidden}
        self.agent = ActorCritic(ActorCriticConfig.of_env(envs, **sizes)).to(device)
        if device.type == "cuda":  # on a CPU, bfloat16 outside of compiled code is many times slower
            self.agent.dtype = torch.bfloat16
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=config.learning_rate, eps=1e-5, fused=True)
        self.first: ActorCritic | None = None
        self.stepper = Stepper(envs, config.stack, self.agent.config.size, device)
        self.progress = Learning()
        self._return = torch.zeros(envs.num_envs, device=device)
        self._recent: deque[float] = deque(maxlen=100)
        self._writer = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(path / "tensorboard"))

    def begin_with(self, agent: Path) -> None:
        """Take over the weights of an agent that was trained before; ValueError if it has other sizes."""
        other = ActorCritic.load(agent, self.device)
        if other.config != self.agent.config:
            raise ValueError(f"the agent {agent} is {other.config}, and this one {self.agent.config}")
        self.agent.load_state_dict(other.state_dict())
        other.dtype = self.agent.dtype
        self.first = other.requires_grad_(False)

    def train(self, *, show: bool = True, checkpoint_seconds: float = 120.0) -> ActorCritic:
        """Learn until `config.steps` steps are done. A run that was stopped goes on from its checkpoint.

        The lanes then begin new episodes, so it is not the same to the bit. Ctrl-C saves before it ends; any other
        error leaves the last good checkpoint as it is. FloatingPointError if the loss is no number any more.
        """
        self._resume()
        config, lanes = self.config, len(self._return)
        if self.progress.steps >= config.steps:
            return self.agent.eval()
        torch.manual_seed(config.seed + self.progress.steps)
        self.stepper.reset(config.seed + self.progress.steps)
        begun = time.perf_counter() - self.progress.seconds
        saved = self.progress.seconds
        with tqdm(total=config.steps, initial=self.progress.steps, unit=" steps", disable=not show) as bar:
            try:
                while self.progress.steps < config.steps:
                    for group in self.optimizer.param_groups:
                        group["lr"] = config.learning_rate * (1 - self.progress.steps / config.steps)
                    curves = self._learn(self._play())
                    before = self.progress.steps * config.keep // config.steps
                    self.progress.steps += config.rollout * lanes
                    if min(self.progress.steps, config.steps) * config.keep // config.steps > before:
                        self.agent.save(self.path / f"agent-{self.progress.steps}.safetensors")
                    self.progress.seconds = time.perf_counter() - begun
                    if self._recent:
                        mean = float(np.mean(self._recent))
                        self.progress.returns.append((self.progress.steps, round(mean, 4)))
                        curves["return"] = mean
                        bar.set_postfix(episodes=self.progress.episodes, returns=f"{mean:.3f}")
                    bar.update(config.rollout * lanes)
                    if self._writer is not None:
                        curves["steps_a_second"] = self.progress.steps / self.progress.seconds
                        for name, value in curves.items():
                            self._writer.add_scalar(name, value, self.progress.steps)
                    if self.progress.seconds - saved > checkpoint_seconds:
                        self.save()
                        saved = self.progress.seconds
            except KeyboardInterrupt:
                self.save()
                raise
            finally:
                if self._writer is not None:
                    self._writer.close()
        self.save()
        return self.agent.eval()

    @torch.no_grad()
    def _play(self) -> Rollout:
        layout = self.agent.layout
        parts: dict[str, list[Tensor]] = {name: [] for name in Rollout.__dataclass_fields__}
        for _ in range(self.config.rollout):
            logits, values = self.agent(self.stepper.stacked)
            flat = layout.sample(logits, torch.rand(len(logits), len(layout.centre), device=self.device))
            scaled = layout.scale(flat)
            kept = {"stacked": self.stepper.stacked, "actions": scaled, "values": values, "real": ~self.stepper.done}
            rewards, terminated = self.stepper.step(flat)
            kept |= {"log_probs": -layout.loss(logits, scaled), "rewards": rewards, "terminated": terminated}
            for name, part in (kept | {"done": self.stepper.done}).items():
                parts[name].append(part)
            self._count(rewards, kept["real"], self.stepper.done)
        parts["stacked"].append(self.stepper.stacked)
        parts["values"].append(self.agent(self.stepper.stacked)[1])
        return Rollout(**{name: torch.stack(part) for name, part in parts.items()})

    def _count(self, rewards: Tensor, real: Tensor, done: Tensor) -> None:
        self._return = torch.where(real, self._return + rewards, 0.0)
        finished = self._return[done].tolist()
        self._recent.extend(finished)
        self.progress.episodes += len(finished)

    def _learn(self, rollout: Rollout) -> dict[str, float]:
        """One update by what the lanes did; the parts of its last loss, and how far the policy has gone."""
        config, layout = self.config, self.agent.layout
        gained = advantages(rollout, config.discount, config.gae_lambda)
        wanted = gained + rollout.values[:-1]
        real = rollout.real.flatten().nonzero().flatten()
        stacked, actions = rollout.stacked[:-1].flatten(0, 1), rollout.actions.flatten(0, 1)
        log_probs, gained, wanted = rollout.log_probs.flatten(), gained.flatten(), wanted.flatten()
        first = None
        if config.stay and self.first is not None:
            with torch.no_grad():
                first = torch.cat([self.first(part)[0] for part in stacked.chunk(config.minibatches)])
        for _ in range(config.epochs):
            for picked in real[torch.randperm(len(real), device=real.device)].chunk(config.minibatches):
                logits, values = self.agent(stacked[picked])
                ratio = (-layout.loss(logits, actions[picked]) - log_probs[picked]).exp()
                gain = gained[picked]
                gain = (gain - gain.mean()) / (gain.std() + 1e-6) if len(gain) > 1 else gain
                limited = ratio.clamp(1 - config.clip, 1 + config.clip)
                policy_loss = -torch.minimum(ratio * gain, limited * gain).mean()
                value_loss = F.mse_loss(values, wanted[picked])
                entropy = layout.entropy(logits).mean()
                loss = policy_loss + config.value_weight * value_loss - config.entropy * entropy
                if first is not None:  # as behaviour-regularised offline RL does (BRAC, arXiv 1911.11361)
                    loss = loss + config.stay * layout.divergence(logits, first[picked]).mean()
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                norm = nn.utils.clip_grad_norm_(self.agent.parameters(), 0.5)
                if not norm.isfinite():
                    raise FloatingPointError(
                        f"the loss of the agent is no number any more after {self.progress.steps} steps; the "
                        "checkpoint before is kept"
                    )
                self.optimizer.step()
        # The estimate of the divergence from the policy that played whose variance is low: (r - 1) - log r.
        curves = {
            "policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy,
            "divergence": (ratio - 1 - ratio.log()).mean(), "clipped": (ratio != limited).float().mean(),
        }  # fmt: skip
        return {name: value.item() for name, value in curves.items()}

    def save(self) -> None:
        """Write agent.safetensors, to act with, and the checkpoint to go on from."""
        told = json.dumps(self._told)
        self.agent.save(self.path / "agent.safetensors", {"learned": told})
        tensors = {f"agent.{name}": value for name, value in self.agent.state_dict().items()}
        for name, parameter in self.agent.named_parameters():
            for part, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{part}.{name}"] = value
        facts = {"learning": json.dumps(vars(self.progress)), "learned": told}
        save_tensors(self.path / "checkpoint.safetensors", tensors, facts)

    def _resume(self) -> None:
        path = self.path / "checkpoint.safetensors"
        if not path.exists():
            return
        tensors, facts = load_tensors(path, self.device)
        if differing := differences(json.loads(facts["learned"]), json.loads(json.dumps(self._told))):
            raise ValueError(f"{path} is of another training ({differing}): use another --out")
        self.progress = Learning(**json.loads(facts["learning"]))
        self.agent.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("agent.")})
        known = dict(self.agent.named_parameters())
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                part, _, name = key.removeprefix("optimizer.").partition(".")
                self.optimizer.state[known[name]][part] = value
