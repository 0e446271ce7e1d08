"""The command `worldsim`: each sub-command is a thin function that hands its arguments to the room that does the work.

Rooms are imported inside the functions, so that `worldsim train` needs no pygame and no av, and `--help` is instant.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tyro.conf import FlagCreatePairsOff
from tyro.extras import SubcommandApp

app = SubcommandApp()
agent = SubcommandApp()
agent.__doc__ = "Train agents, in Worlds or in environments, and see what they gain."
app.command(agent, name="agent")

Device = Literal["auto", "cpu", "cuda"]


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
        env_kwargs=_json_object(env_kwargs, "--env-kwargs"),
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


@agent.command(name="train")
def agent_train(
    env: str | None = None,
    /,
    *,
    world: str | None = None,
    recording: Path | None = None,
    real_steps: int | None = None,
    rounds: int | None = None,
    minutes: float | None = None,
    horizon: int | None = None,
    steps: int = 200_000,
    lanes: int = 32,
    env_kwargs: str | None = None,
    seed: int = 0,
    device: Device = "auto",
    out: Path = Path("runs/agent"),
) -> None:
    """Train an agent by PPO in an environment or inside a World; the same command continues after a stop.

    Example: `worldsim agent train worldsim/BallsGoalSim-v0`,
    or `worldsim agent train --world runs/balls_goal/world --recording runs/balls_goal/frames`,
    or `worldsim agent train --world balls_goal --real-steps 20000`, which also makes the World.

    Args:
        env: Id of an environment with image observations, or `module:id`.
        world: Name or path of a World to learn in instead; with --real-steps the recipe of one.
        recording: Frames at random moments of which the World's episodes begin; its start contexts unless given.
        real_steps: Record so many steps, train the World on them and the agent in the World, in turns.
        rounds: How many such turns; 3 unless given.
        minutes: How long to train Worlds in all turns together; the recipe's own length unless given.
        horizon: Steps after which an episode in the World is cut off; 32 unless given.
        steps: Steps to learn from, all lanes together.
        lanes: How many are stepped side by side.
        env_kwargs: Arguments of the environment as a JSON object.
        seed: Decides the agent's first weights, its episodes and its draws.
        device: "auto" takes a CUDA device if there is one.
        out: Directory for agent.safetensors and the checkpoint.
    """
    from worldsim.agents.ppo import PPOConfig

    config = PPOConfig(steps=steps, seed=seed)
    if horizon is not None and world is None:
        raise ValueError("--horizon is of a World: an environment says itself when its episodes end")
    if real_steps is not None:
        from worldsim.agents.dreaming import dream

        if world is None or any(given is not None for given in (env, recording, env_kwargs)):
            raise ValueError("--real-steps goes with --world RECIPE alone: the World and its recording are made then")
        dream(
            world, out, real_steps=real_steps, rounds=rounds or 3, minutes=minutes, horizon=horizon or 32, lanes=lanes,
            device=device, config=config,
        )  # fmt: skip
        return
    if rounds is not None or minutes is not None:
        raise ValueError("--rounds and --minutes are for a World that is made on the way: they go with --real-steps")
    from worldsim.agents.training import train_agent

    train_agent(
        out, env_id=env, world=world, recording=recording, horizon=horizon or 32, lanes=lanes,
        env_kwargs=_json_object(env_kwargs, "--env-kwargs"), device=device, config=config,
    )  # fmt: skip


@agent.command(name="eval")
def agent_eval(
    policy: str,
    /,
    *,
    env: str,
    env_kwargs: str | None = None,
    episodes: int = 100,
    seed: int = 9_000_000,
    out: Path | None = None,
) -> None:
    """Let a policy play, and print what it gains: mean and interquartile mean with 95% intervals.

    Example: `worldsim agent eval runs/agent/agent.safetensors --env worldsim/BallsGoalSim-v0 --out runs/agent/eval`

    Args:
        policy: A file that `worldsim agent train` wrote, or "random", "scripted" (of BallsGoalSim), "own" (a World's
            own policy, in that World), or "plan:WORLD", which tries out futures in a World.
        env: Id of the environment, real or learned, or `module:id`.
        env_kwargs: Arguments of the environment as a JSON object, for example '{"world": "runs/balls_goal/world"}'.
        episodes: How many episodes to play.
        seed: Seed of the first; the others count up from it.
        out: Directory for returns.json and a video of the first four.
    """
    from worldsim.agents.evaluation import evaluate

    result = evaluate(
        policy, env, env_kwargs=_json_object(env_kwargs, "--env-kwargs"), episodes=episodes, seed=seed, out=out
    )
    print(result.table())


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


def _json_object(text: str | None, option: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{option} is not JSON ({error}); write for example '{{\"size\": [64, 64]}}'") from error
    if not isinstance(value, dict):
        raise ValueError(f"{option} must be a JSON object such as '{{\"size\": [64, 64]}}', got {text}")
    return value


def _sentence(error: Exception) -> str:
    # str() of a KeyError is the repr of its message, and that of an OSError begins with a number.
    if isinstance(error, OSError) and error.strerror == os.strerror(errno.ENOSPC):  # ours say more than the system's
        return "the disk is full: free some space, then give the same command again"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, ModuleNotFoundError):
        return f"this needs {error.name}, which is not installed: pip install {error.name}"
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status.

    0 done, 2 an error that the user can mend (one sentence on stderr), 130 stopped by Ctrl-C. With WORLDSIM_DEBUG=1 in
    the environment, errors keep their traceback.
    """
    from gymnasium.error import Error as GymnasiumError
    from safetensors import SafetensorError

    from worldsim.data.workers import RecordingError

    description = "A learned world that you can gym.make."
    try:
        return app.cli(prog="worldsim", args=arguments, description=description, config=(FlagCreatePairsOff,)) or 0
    except KeyboardInterrupt:
        print("worldsim: stopped", file=sys.stderr)
        return 130
    except (
        ValueError, OSError, ModuleNotFoundError, FloatingPointError, RecordingError, GymnasiumError, SafetensorError
    ) as error:  # fmt: skip
        if os.environ.get("WORLDSIM_DEBUG") == "1":
            raise
        print(f"worldsim: {_sentence(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
