"""The command `worldsim`: each sub-command is a thin function that hands its arguments to the room that does the work.

Rooms are imported inside the functions, so that `worldsim train` needs no pygame and no av, and `--help` is instant.
"""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tyro.conf import FlagCreatePairsOff
from tyro.extras import SubcommandApp

from worldsim.cli_agent import agent
from worldsim.cli_arguments import Device, json_object
from worldsim.cli_studio import COMMANDS as STUDIO

app = SubcommandApp()


@app.command
def play(
    world: str = "blocks",
    /,
    *,
    simulator: bool = False,
    prompt: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    size: tuple[int, int] | None = None,
    autoplay: bool = False,
    headless: bool = False,
    frames: int = 200,
    out: Path | None = None,
) -> int:
    """Walk through a World in a window; without a display, let it play itself into a video.

    Example: `worldsim play blocks --prompt "a snowy plain at dusk"`,
    or `worldsim play --headless --frames 200 --out clip.mp4`.

    Args:
        world: Name or path of the World; with --simulator also the id of an environment.
        simulator: Play the ground-truth simulator that the World was trained on instead.
        prompt: Words for the place to start in.
        seed: Chooses the start and all that chance decides.
        steps: Denoising steps a frame (K); the World's own number unless given.
        size: Height and width of a frame in pixels, multiples of 16.
        autoplay: The World's own policy is at the controls until a key is pressed; G gives them back to it.
        headless: Open no window; the World's own policy is at the controls.
        frames: How many frames to play without a window.
        out: The video to write; with a window it is recorded from the first frame on.
    """
    from worldsim.play.app import play

    return play(
        world,
        simulator=simulator,
        prompt=prompt,
        seed=seed,
        steps=steps,
        size=size,
        autoplay=autoplay,
        headless=headless,
        frames=frames,
        out=out,
    )


@app.command
def record(
    env: str,
    /,
    *,
    frames: int,
    out: Path,
    env_kwargs: str | None = None,
    policy: str = "auto",
    seed: int = 0,
    episode_frames: int = 256,
    workers: int | None = None,
) -> None:
    """Record episodes of a Gymnasium environment with image observations; the same command continues after a stop.

    Example: `worldsim record worldsim/BlocksSim-v0 --frames 500000 --out recordings/blocks`

    Args:
        env: Id of the environment, or `module:id` to import a module first.
        frames: How many frames to record in all.
        out: Directory of the recording (LeRobotDataset v3 layout).
        env_kwargs: Arguments of the environment as a JSON object, for example '{"size": [64, 64]}'.
        policy: Exploration policy; "auto" chooses by the environment.
        seed: Seed of the first episode; the others count up from it.
        episode_frames: Longest episode in frames.
        workers: Processes; one a core unless given.
    """
    from worldsim.data.record import record

    record(
        env,
        frames,
        out,
        env_kwargs=json_object(env_kwargs, "--env-kwargs"),
        policy=policy,
        seed=seed,
        episode_frames=episode_frames,
        workers=workers,
    )


@app.command
def train(
    recipe: str,
    /,
    *,
    out: Path | None = None,
    device: Device = "auto",
    minutes: float | None = None,
    data: Path | None = None,
    init: str | None = None,
    tensorboard: bool = False,
) -> None:
    """Train a World by a recipe: tokenizer, dynamics, then the decoder; the same command continues after a stop.

    Example: `worldsim train blocks --minutes 30`

    Args:
        recipe: Name of a recipe in worldsim/recipes, or a JSON file of one.
        out: Directory of checkpoints and of the trained World; runs/RECIPE unless given.
        device: "auto" takes a CUDA device if there is one.
        minutes: How long to train, all phases of the recipe together; its own length unless given.
        data: A recording to train on; the recipe records what it needs unless given.
        init: Name or path of a World whose weights to begin with; its encoder is kept as it is.
        tensorboard: Write curves for TensorBoard too (needs the extra worldsim[tensorboard]).
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"--minutes must be more than 0, got {minutes:g}")
    from worldsim.training.run import train

    out = out or Path("runs") / Path(recipe).stem
    train(recipe, out, device=device, minutes=minutes, data=data, init=init, tensorboard=tensorboard)


@app.command(name="eval")
def evaluate(
    world: str = "blocks",
    /,
    *,
    starts: int = 24,
    seed: int = 7_000_000,
    out: Path = Path("runs/eval"),
    full: bool = False,
) -> None:
    """Score a World's predictions on held-out seeds of its simulator, beside copy-last, no-op and tokenizer-only.

    Example: `worldsim eval blocks --starts 24 --out runs/eval`

    Args:
        world: Name or path of the World.
        starts: How many places to start from.
        seed: First held-out seed of the simulator; recordings use lower ones.
        out: Directory for the figures (JSON) and the contact sheets of truth beside prediction.
        full: Of a World of the block world, measure all that it is wanted to do, which takes many minutes, and write a
            report as a page too (needs the extra worldsim[report]).
    """
    from worldsim.probes.prediction import evaluate

    evaluate(world, starts=starts, out=out, seed=seed, full=full)


@app.command
def probe(
    world: str = "blocks",
    /,
    *,
    only: tuple[str, ...] = (),
    probe: tuple[Path, ...] = (),
    starts: int = 100,
    seed: int = 7_000_000,
    out: Path | None = None,
    against: Path | None = None,
    rollouts: int = 0,
    rerun: bool = False,
    workers: int | None = None,
) -> None:
    """Ask a World about the physics of its simulator: each probe with its floor, its chance level and baselines.

    Example: `worldsim probe balls --only fall occluder`

    Args:
        world: Name or path of the World.
        only: Names of probes; all that fit the World unless given.
        probe: Python files with probes of your own (see demos/write_a_probe.py).
        starts: How many starts a probe has.
        seed: Seed of the first start; recordings use lower ones.
        out: Directory for the figures (JSON, JSON lines) and the page; runs/probe-WORLD unless given.
        against: The --out of an earlier run, to be compared with start by start.
        rollouts: So many rollouts beside the truth are stored in OUT/rollouts, as worldproof reads them.
        rerun: They are also stored in OUT/rollouts.rrd, which `rerun` shows (the extra "rerun").
        workers: Processes that run probes side by side; one a core and at most four unless given.
    """
    from worldsim.data.workers import default_workers
    from worldsim.probes.profile import profile

    out = out or Path("runs") / f"probe-{Path(world).name}"
    profile(
        world, only=only, files=probe, starts=starts, seed=seed, out=out, against=against, rollouts=rollouts,
        rerun=rerun, workers=min(default_workers(), 4) if workers is None else workers,
    )  # fmt: skip


@app.command
def bench(
    world: str = "blocks",
    /,
    *,
    frames: int = 100,
    device: Device = "auto",
    out: Path = Path("runs/bench.json"),
    against: Path | None = None,
) -> None:
    """Measure how fast this machine multiplies matrices, steps and plays a World, and steps the block simulator.

    Example: `worldsim bench blocks --frames 200`

    Args:
        world: Name or path of the World.
        frames: How many frames each measurement of the World takes, after a warm-up.
        device: "auto" takes a CUDA device if there is one.
        out: JSON file for the figures.
        against: Figures of an earlier run, to print how many times as fast each is now.
    """
    from worldsim.probes.bench import bench

    bench(world, frames=frames, device=device, out=out, against=against)


for command in STUDIO:
    app.command(command)
app.command(agent, name="agent")


@app.command
def worlds() -> None:
    """List the Worlds that ship with the package.

    Example: `worldsim worlds`
    """
    from worldsim.world import WORLDS, WorldFile, available_worlds

    names = available_worlds()
    if not names:
        print("No World ships with this installation. Train one: worldsim train blocks")
    for name in names:
        directory = WORLDS / name
        spec = WorldFile.model_validate_json((directory / "spec.json").read_text(encoding="utf-8")).spec
        megabytes = sum(path.stat().st_size for path in directory.iterdir()) / 1e6
        height, width = spec.size
        print(f"{name:<12} {height}x{width}  {spec.fps} fps  {megabytes:.1f} MB  {spec.description}")


def _sentence(error: Exception) -> str:
    # str() of a KeyError is the repr of its message, and that of an OSError begins with a number.
    if isinstance(error, OSError) and error.strerror == os.strerror(errno.ENOSPC):  # ours say more than the system's
        return "the disk is full: free some space, then give the same command again"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, ModuleNotFoundError):
        return f"this needs {error.name}, which is not installed: pip install {error.name}"
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Meanwhile SIGTERM does what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status.

    0 done, 2 an error that the user can mend (one sentence on stderr), 130 stopped by Ctrl-C or SIGTERM, as by a queue
    of jobs: either way, what is saved at a stop is saved. With WORLDSIM_DEBUG=1 in the environment, errors keep their
    traceback.
    """
    from gymnasium.error import Error as GymnasiumError
    from safetensors import SafetensorError

    from worldsim.data.workers import WorkerError

    description = "A learned world that you can gym.make."
    try:
        with _stopped_by_sigterm():
            return app.cli(prog="worldsim", args=arguments, description=description, config=(FlagCreatePairsOff,)) or 0
    except KeyboardInterrupt:
        print("worldsim: stopped", file=sys.stderr)
        return 130
    except (
        ValueError, OSError, ModuleNotFoundError, FloatingPointError, WorkerError, GymnasiumError, SafetensorError
    ) as error:  # fmt: skip
        if os.environ.get("WORLDSIM_DEBUG") == "1":
            raise
        print(f"worldsim: {_sentence(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
