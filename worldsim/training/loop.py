"""One training loop for every network: compiled step, AdamW, moving average of the weights, checkpoints, progress.

Batches in, trained weights out. The budget is wall-clock time: a schedule is a list of phases of so many minutes each,
and a run that was killed goes on from its last checkpoint with the time that is left.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from tqdm import tqdm

from worldsim.checkpoint import load_tensors, save_tensors
from worldsim.files import clear_leftovers
from worldsim.machine import fast_dtype, matmul_flops

Batch = dict[str, Tensor]
Loss = Callable[[Batch], dict[str, Tensor]]


class Phase(BaseModel):
    """A stretch of training: batch sizes, learning rate (linear from `rate` to `rate_end`), wall-clock minutes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: float = Field(gt=0)
    batch: int = Field(gt=0)
    time: int = Field(default=1, gt=0, description="frames of a clip")
    rate: float = 1e-3
    rate_end: float = 1e-3
    settings: dict[str, Any] = Field(default_factory=dict, description="changes to the loss's settings in this phase")


@dataclass
class Progress:
    """How far a training has come; stored with its checkpoint."""

    step: int = 0
    seconds: float = 0.0
    seen: int = 0
    log: list[dict[str, float]] = field(default_factory=list)


WARMUP_STEPS = 100
_SHAPES = 64  # of batches that are compiled for, in all phases; PyTorch's own limit of 8 leaves the others uncompiled
_DECAY = 0.01


class Training:
    """Trains `module` and keeps it, its moving average and the optimizer in `directory`/`name`.safetensors.

    rival: a network that the same loss trains beside it, such as a discriminator; has no moving average.
    compiled: compile the step, and run its matrix products in bfloat16 where the device multiplies faster in it (a CPU
    without such instructions is a hundred times slower). Compiling takes a minute or two on two cores, so networks that
    train in a minute do without, in float32.
    """

    def __init__(
        self,
        module: nn.Module,
        directory: Path,
        name: str,
        *,
        device: torch.device,
        rival: nn.Module | None = None,
        average: float = 0.999,
        compiled: bool = True,
        checkpoint_minutes: float = 2.0,
        on_checkpoint: Callable[[dict[str, Tensor]], None] | None = None,
        tensorboard: bool = False,
        show: bool = True,
    ) -> None:
        self.module, self.directory, self.name, self.device = module, directory, name, device
        self.average_rate, self.checkpoint_seconds = average, 60 * checkpoint_minutes
        self.compiled = compiled
        self.dtype = fast_dtype(device) if compiled else torch.float32
        self.on_checkpoint, self.show = on_checkpoint, show
        self.parameters = dict(module.named_parameters())
        self.average = {key: p.detach().clone() for key, p in self.parameters.items()}
        self.rival = rival
        matrices = [p for p in self.parameters.values() if p.ndim > 1]
        others = [p for p in self.parameters.values() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}]
        if rival is not None:
            # Less momentum: what it learned to tell apart a while ago is not what is made now.
            groups.append({"params": list(rival.parameters()), "weight_decay": 0.0, "betas": (0.5, 0.98)})
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
        self.progress = Progress()
        self.writer = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(directory / "tensorboard" / name))

    @property
    def path(self) -> Path:
        return self.directory / f"{self.name}.safetensors"

    def run(
        self, phases: list[Phase], loss: Callable[[Phase], Loss], batches: Callable[[Phase, int], Iterator[Batch]]
    ) -> None:
        """Train through all phases; afterwards the module holds the moving average. Ctrl-C saves before it ends.

        loss(phase) gives the function to minimise; batches(phase, seed) the data. Resumes if there is a checkpoint.
        """
        self.resume()
        end = 0.0
        try:
            for index, phase in enumerate(phases):
                start, end = end, end + 60 * phase.minutes
                if self.progress.seconds < end:
                    self._run_phase(phase, index, start, end, loss(phase), batches)
            self.save()
        except KeyboardInterrupt:  # any other error leaves the last good checkpoint as it is
            self.save()
            raise
        finally:
            if self.writer is not None:
                self.writer.close()
        with torch.no_grad():
            for key, parameter in self.parameters.items():
                parameter.copy_(self.average[key])

    def _run_phase(
        self,
        phase: Phase,
        index: int,
        start: float,
        end: float,
        loss: Loss,
        batches: Callable[[Phase, int], Iterator[Batch]],
    ) -> None:
        torch.manual_seed(1000 * index + self.progress.step)
        data = batches(phase, 1000 * index + self.progress.step)
        flops = self._flops(loss, next(data))
        peak = matmul_flops(self.device, self.dtype)
        step_loss = loss
        if self.compiled:
            torch._dynamo.config.recompile_limit = _SHAPES
            step_loss = torch.compile(self._autocast(loss), dynamic=False)
        bar = tqdm(
            total=round(end - start), initial=round(self.progress.seconds - start), unit="s", disable=not self.show,
            desc=f"{self.name} {index + 1}",
            bar_format="{desc} {percentage:3.0f}%|{bar:12}| {n:.0f}/{total:.0f}s {postfix}",
        )  # fmt: skip
        saved = self.progress.seconds
        recent: dict[str, float] = {}
        clock: float | None = None
        compiled: set[tuple[torch.Size, ...]] = set()  # shapes, the first step of which is not training time
        for batch in data:
            share = (self.progress.seconds - start) / (end - start)
            rate = (phase.rate + (phase.rate_end - phase.rate) * min(share, 1.0)) * min(
                1.0, (self.progress.step + 1) / WARMUP_STEPS
            )
            shapes = tuple(part.shape for part in batch.values())
            if shapes not in compiled:
                compiled.add(shapes)
                clock = None
            values = self._step(step_loss, batch, rate)
            logged = self.progress.step % 10 == 0
            numbers = {key: float(value) for key, value in values.items()} if logged else {}
            now = time.perf_counter()  # after reading the numbers, which waits for a GPU
            if clock is not None:
                took = now - clock
                self.progress.seconds += took
                bar.update(min(took, bar.total - bar.n))
                if logged:
                    if not math.isfinite(numbers["loss"]):
                        raise FloatingPointError(
                            f"the loss of {self.name} became {numbers['loss']} at step {self.progress.step}"
                        )
                    recent = {k: 0.9 * recent.get(k, v) + 0.1 * v for k, v in numbers.items()}
                    frames = phase.batch * phase.time / took
                    shown = {k: f"{v:.4g}" for k, v in recent.items()}
                    bar.set_postfix(
                        step=self.progress.step, **shown, fps=f"{frames:.0f}", machine=f"{flops / took / peak:.0%}"
                    )
                    self._log(recent, frames)
            clock = now
            if self.progress.seconds - saved > self.checkpoint_seconds:
                self.save()
                saved = self.progress.seconds
                clock = time.perf_counter()
            if self.progress.seconds >= end:
                break
        bar.close()

    def _step(self, loss: Loss, batch: Batch, rate: float) -> dict[str, Tensor]:
        values = loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        values["loss"].backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        if self.rival is not None:
            nn.utils.clip_grad_norm_(self.rival.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.progress.step += 1
        self.progress.seen += next(iter(batch.values())).shape[0]
        # A young average forgets its random beginnings faster.
        keep = min(self.average_rate, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - keep)
        return {key: value.detach() for key, value in values.items()}

    def _autocast(self, loss: Loss) -> Loss:
        """The loss with matrix products in `dtype`; inside the compiled function, because eager autocast is slow."""
        if self.dtype == torch.float32:
            return loss

        def wrapped(batch: Batch) -> dict[str, Tensor]:
            with torch.autocast(self.device.type, self.dtype):
                return loss(batch)

        return wrapped

    def _flops(self, loss: Loss, batch: Batch) -> float:
        from torch.utils.flop_counter import FlopCounterMode

        state = torch.get_rng_state()
        with FlopCounterMode(display=False) as counter:
            loss(batch)["loss"].backward()
        self.optimizer.zero_grad(set_to_none=True)
        torch.set_rng_state(state)
        return float(counter.get_total_flops())

    def _log(self, values: dict[str, float], frames: float) -> None:
        entry = {"step": self.progress.step, "seconds": round(self.progress.seconds, 1), "fps": round(frames, 1)}
        if self.progress.step % 100 == 0:
            self.progress.log.append({**entry, **{k: round(v, 5) for k, v in values.items()}})
        if self.writer is not None:
            for key, value in values.items():
                self.writer.add_scalar(key, value, self.progress.step)

    def save(self) -> None:
        """Write the checkpoint; a kill at any moment leaves the old one or the new one, never half of one.

        FloatingPointError, and the old one stays, if the weights are no numbers any more.
        """
        if not all(bool(value.isfinite().all()) for value in self.average.values()):
            raise FloatingPointError(
                f"the weights of {self.name} are no numbers any more at step {self.progress.step}: the checkpoint "
                "before is kept; go on from it with a lower rate"
            )
        tensors = {f"module.{key}": p.detach() for key, p in self.module.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.items()}
        if self.rival is not None:
            tensors |= {f"rival.{key}": p.detach() for key, p in self.rival.state_dict().items()}
        for key, parameter in self._trained().items():
            for part, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{part}.{key}"] = value
        save_tensors(self.path, tensors, {"progress": json.dumps(vars(self.progress))})
        if self.on_checkpoint is not None:
            self.on_checkpoint(self.average)

    def resume(self) -> None:
        """Take up the checkpoint if there is one; ValueError if it does not fit the module."""
        clear_leftovers(self.path)
        if not self.path.exists():
            return
        tensors, facts = load_tensors(self.path, self.device)
        self.progress = Progress(**json.loads(facts["progress"]))
        parts: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "rival": {}, "optimizer": {}}
        for key, value in tensors.items():
            part, _, rest = key.partition(".")
            parts[part][rest] = value
        try:
            self.module.load_state_dict(parts["module"])
            if self.rival is not None:
                self.rival.load_state_dict(parts["rival"])
            for key, value in self.average.items():
                value.copy_(parts["average"][key])
            trained = self._trained()
            for key, value in parts["optimizer"].items():
                part, _, name = key.partition(".")
                self.optimizer.state[trained[name]][part] = value
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"the checkpoint {self.path} is of another recipe; use another --out ({error})") from None

    def _trained(self) -> dict[str, nn.Parameter]:
        """All that the optimizer changes, by name."""
        rivals = {} if self.rival is None else dict(self.rival.named_parameters())
        return self.parameters | {f"rival.{key}": p for key, p in rivals.items()}


def trained_rival(path: Path) -> dict[str, Tensor]:
    """What the rival had learned by the checkpoint in `path`; empty if there is no checkpoint, or was no rival."""
    tensors = load_tensors(path)[0] if path.exists() else {}
    return {key.removeprefix("rival."): value for key, value in tensors.items() if key.startswith("rival.")}
