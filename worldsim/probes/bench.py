"""How fast this machine is: matrix products, a World being stepped, the block simulator. `worldsim bench` prints it.

Everything is measured in one process, after a warm-up, through the same calls that environments and the player use.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import worldsim
from worldsim.machine import matmul_flops
from worldsim.world import World

Row = dict[str, Any]  # "what", then "gflops", or "frames_per_second", "p50_ms" and "p99_ms" of one step


def bench(
    world: str = "blocks", *, frames: int = 100, device: str = "auto", out: str | Path | None = None
) -> dict[str, Any]:
    """Measure, print a table, write the figures to `out` (JSON), and return them.

    world: name or path. frames: how many frames, at least 2, each measurement of a World takes after its warm-up; the
    simulator draws ten times as many. device: "auto", "cpu" or "cuda". ValueError for what does not fit.
    """
    if frames < 2:
        raise ValueError(f"frames must be at least 2, got {frames}")
    learned = worldsim.load(world, device=device)
    rows = list(tqdm(_measurements(learned, frames), total=9, desc="measuring", leave=False, disable=None))
    machine = {
        "device": torch.cuda.get_device_name(learned.device) if learned.device.type == "cuda" else _processor(),
        "dtype": str(learned.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    report = {"world": world, "size": list(learned.size), "machine": machine, "rows": rows}
    print(_table(report))
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(report, indent=1) + "\n")
        print(f"written to {out}")
    return report


def _measurements(world: World, frames: int) -> Iterator[Row]:
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        yield {"what": f"matrix product, {name}", "gflops": matmul_flops(world.device, dtype) / 1e9}
    for steps in (1, 2, 4):
        yield world_rate(world, lanes=1, steps=steps, frames=frames)
    for lanes in (8, 16):
        yield world_rate(world, lanes=lanes, steps=None, frames=max(2, frames // lanes))
    for size in ((64, 64), (80, 128)):
        yield simulator_rate(size, 10 * frames)


def world_rate(world: World, *, lanes: int, steps: int | None, frames: int) -> Row:
    """Frames a second (of all lanes together) of a Simulation at the World's own size, and milliseconds a step.

    steps: denoising steps a frame (K), the World's own for None. frames: how many times the batch is stepped. Each
    step counts until its frames lie in the memory of the host, as a player and an environment need them.
    """
    run = world.start(lanes=lanes, seed=list(range(lanes)), steps=steps)
    space = world.spec.action_space
    space.seed(0)
    actions = np.stack([world.spec.flatten(space.sample()) for _ in range(lanes)])

    def step() -> None:
        run.step(actions)
        run.frames.cpu()

    for _ in range(min(5, frames)):
        step()
    taken = [_timed(step) for _ in range(frames)]
    what = f"{world.spec.name}, {lanes} lane{'s' * (lanes > 1)}, K={run.steps}"
    return {"what": what, "lanes": lanes, "steps": run.steps} | _rates(taken, lanes)


def simulator_rate(size: tuple[int, int], frames: int) -> Row:
    """Frames a second of `worldsim/BlocksSim-v0` with random actions, stepping included, on one core."""
    from worldsim.envs import BlocksSimEnv

    env = BlocksSimEnv(size=size)
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(64)]
    for action in actions:  # the warm-up, in which numba compiles
        env.step(action)
    taken = [_timed(partial(env.step, actions[i % 64])) for i in range(frames)]
    return {"what": f"BlocksSim, {size[0]}x{size[1]}", "lanes": 1} | _rates(taken, 1)


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _rates(taken: list[float], lanes: int) -> Row:
    p50, p99 = np.percentile(taken, (50, 99)) * 1e3
    return {"frames_per_second": lanes * len(taken) / sum(taken), "p50_ms": float(p50), "p99_ms": float(p99)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} ({len(names)} threads)"


def _table(report: dict[str, Any]) -> str:
    machine, (height, width) = report["machine"], report["size"]
    lines = [
        f"{machine['device']}; torch {machine['torch']} on {machine['threads']} threads; "
        f"World {report['world']} at {height}x{width} in {machine['dtype']}",
        f"{'':<28}{'frames/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'GFLOP/s':>10}",
    ]
    for row in report["rows"]:
        cells = [row.get(name) for name in ("frames_per_second", "p50_ms", "p99_ms", "gflops")]
        shown = ["" if cell is None else f"{cell:.1f}" if cell < 1000 else f"{cell:,.0f}" for cell in cells]
        lines.append(f"{row['what']:<28}" + "".join(f"{cell:>10}" for cell in shown))
    return "\n".join(lines)
