"""How fast this machine is: matrix products, a World being stepped and played, the block simulator: `worldsim bench`.

Everything but the start is measured in one process, after a warm-up, by the calls that environments and players use.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

import worldsim
from worldsim.machine import matmul_flops
from worldsim.world import World

# "what", and what was measured of it: "frames_per_second", "p50_ms" and "p99_ms" of a step, "gflops" a second and their
# "share" of those of a matrix product, "megabytes" by which memory grew, "seconds".
Row = dict[str, Any]
RL_LANES, RL_SIZE = 64, (64, 64)


def bench(
    world: str = "blocks",
    *,
    frames: int = 100,
    device: str = "auto",
    out: str | Path | None = None,
    against: str | Path | None = None,
) -> dict[str, Any]:
    """Measure, print a table, write the figures to `out` (JSON), and return them.

    world: name or path. frames: how many frames, at least 2, each measurement of a World takes after its warm-up; the
    player and the simulator take ten times as many. device: "auto", "cpu" or "cuda". against: figures of an earlier
    run, to print by how much each is faster now. ValueError for what does not fit.
    """
    if frames < 2:
        raise ValueError(f"frames must be at least 2, got {frames}")
    learned = worldsim.load(world, device=device)
    before = {} if against is None else _read(Path(against), world)
    rows = list(tqdm(_measurements(world, learned, frames), total=13, desc="measuring", leave=False, disable=None))
    machine = {
        "device": torch.cuda.get_device_name(learned.device) if learned.device.type == "cuda" else _processor(),
        "dtype": str(learned.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    report = {"world": world, "size": list(learned.size), "machine": machine, "rows": rows}
    print(_table(report, before))
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(report, indent=1) + "\n")
        print(f"written to {out}")
    return report


def _read(path: Path, world: str) -> dict[str, Row]:
    """The rows of an earlier run by what they are of; ValueError for another file, or figures of another World."""
    try:
        report = json.loads(path.read_text())
        rows, measured = {row["what"]: row for row in report["rows"]}, report["world"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} holds no figures of `worldsim bench`: give a file that --out wrote") from None
    if measured != world:
        raise ValueError(f"the figures in {path} are of the World {measured}, not of {world}")
    return rows


def _measurements(name: str, world: World, frames: int) -> Iterator[Row]:
    peaks = {dtype: matmul_flops(world.device, dtype) / 1e9 for dtype in (torch.float32, torch.bfloat16)}
    for dtype, peak in peaks.items():
        yield {"what": f"matrix product, {str(dtype).removeprefix('torch.')}", "gflops": peak}
    peak = peaks[world.dtype]
    for lanes, steps in ((1, 1), (1, 2), (1, 4), (8, None), (16, None), (64, None)):
        row = world_rate(world, lanes=lanes, steps=steps, frames=max(min(frames, 10), frames // lanes))
        yield row | {"share": row["gflops"] / peak}
    yield vector_rate(name, world, min(frames, 10))
    yield play_rate(world, 10 * frames)
    yield {"what": "worldsim play, to the first frame", "seconds": start_up_seconds(name)}
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

    flops = _flops(step)
    for _ in range(min(5, frames)):
        step()
    rates = _rates([_timed(step) for _ in range(frames)], lanes)
    what = f"{world.spec.name}, {lanes} lane{'s' * (lanes > 1)}, K={run.steps}"
    return {"what": what, "lanes": lanes, "steps": run.steps, "gflops": flops / rates["p50_ms"] / 1e6} | rates


def _flops(work: Callable[[], Any]) -> float:
    """Floating point operations of the matrix products and attentions in `work`."""

    def prepared(x: Any, *_: Any, out_shape: Any, **__: Any) -> int:
        return 2 * int(np.prod(x)) * int(out_shape[-1])

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return 2 * int(np.prod(query[:-1])) * int(key[-2]) * (int(query[-1]) + int(value[-1]))

    def added(into: Any, x: Any, weight: Any, *_: Any, **__: Any) -> int:
        return 2 * int(np.prod(x)) * int(weight[1])

    formulas: dict[Any, Callable[..., int]] = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
        torch.ops.aten.addmm_: added,
    }
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        formulas[torch.ops.mkldnn._linear_pointwise] = prepared
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        work()
    return float(counter.get_total_flops())


def vector_rate(name: str, world: World, frames: int) -> Row:
    """Frames a second of `gym.make_vec` with RL_LANES lanes of RL_SIZE pixels; name: of the World."""
    envs = gym.make_vec("worldsim/World-v0", num_envs=RL_LANES, world=name, size=RL_SIZE, device=str(world.device.type))
    with contextlib.closing(envs):
        envs.reset(seed=0)
        envs.action_space.seed(0)
        actions = envs.action_space.sample()
        envs.step(actions)
        rates = _rates([_timed(partial(envs.step, actions)) for _ in range(frames)], RL_LANES)
    what = f"make_vec, {RL_LANES} lanes, {RL_SIZE[0]}x{RL_SIZE[1]}"
    return {"what": what, "lanes": RL_LANES} | rates


def play_rate(world: World, frames: int) -> Row:
    """Play `frames` frames as fast as it goes by the World's own policy, as `worldsim play` does, without a window.

    A tick lasts from the action, as the keys would give it, to the frame in memory. megabytes: by how much the memory
    of this process grew from when all that can be rewound was there to the end; None where the system does not tell.
    """
    from worldsim.play.player import REWIND_SECONDS, Player
    from worldsim.play.session import WorldSession

    player = Player(WorldSession(world))
    taken: list[float] = []
    filled: float | None = None
    for number in range(frames):
        action = player.session.policy_action()
        taken.append(_timed(partial(player.tick, action)))
        if number <= REWIND_SECONDS * world.spec.fps:
            filled = _resident_megabytes()
    end = _resident_megabytes()
    player.close()
    grown = None if filled is None or end is None else end - filled
    return {"what": f"{world.spec.name}, played", "frames": frames, "megabytes": grown} | _rates(
        taken[frames // 10 :], 1
    )


def start_up_seconds(name: str) -> float:
    """Seconds from the command `worldsim play` to its end after the first frame, without a window, the second time."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "worldsim.cli", "play", name, "--headless", "--frames", "1", "--out"]
        for number in range(2):
            began = time.perf_counter()
            done = subprocess.run([*command, f"{folder}/{number}.mp4"], capture_output=True, text=True)
            seconds = time.perf_counter() - began
            if done.returncode:
                raise ValueError(f"{' '.join(command[1:-1])} failed: {done.stderr.strip()}")
    return seconds


def _resident_megabytes() -> float | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


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


_COLUMNS = {
    "frames/s": "frames_per_second", "p50 ms": "p50_ms", "p99 ms": "p99_ms", "GFLOP/s": "gflops",
    "MB grown": "megabytes", "seconds": "seconds",
}  # fmt: skip


def _table(report: dict[str, Any], before: dict[str, Row]) -> str:
    machine, (height, width) = report["machine"], report["size"]
    lines = [
        f"{machine['device']}; torch {machine['torch']} on {machine['threads']} threads; "
        f"World {report['world']} at {height}x{width} in {machine['dtype']}",
        f"{'':<34}" + "".join(f"{head:>10}" for head in _COLUMNS) + f"{'of peak':>9}" + f"{'faster':>9}" * bool(before),
    ]
    for row in report["rows"]:
        cells = [row.get(name) for name in _COLUMNS.values()]
        shown = ["" if cell is None else f"{cell:.1f}" if cell < 1000 else f"{cell:,.0f}" for cell in cells]
        line = f"{row['what']:<34}" + "".join(f"{cell:>10}" for cell in shown)
        line += f"{row['share']:>9.0%}" if "share" in row else " " * 9
        if earlier := before.get(row["what"]):
            line += f"{_faster(row, earlier):>9.2f}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _faster(row: Row, before: Row) -> float:
    """How many times as fast as before."""
    if "seconds" in row:
        return before["seconds"] / row["seconds"]
    rate = "frames_per_second" if "frames_per_second" in row else "gflops"
    return row[rate] / before[rate]
