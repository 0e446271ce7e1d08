"""`worldsim play`: opens the window, or runs the same game without one into a video.

The window opens and says what it is doing before torch or numba are imported, which takes seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim.clip import Clip, check_path

WORLDS = Path(__file__).resolve().parent.parent / "worlds"
DEFAULT_SIMULATOR = "worldsim/BlocksSim-v0"


def play(
    world: str = "blocks",
    *,
    simulator: bool = False,
    prompt: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    size: tuple[int, int] | None = None,
    autoplay: bool = False,
    headless: bool = False,
    frames: int = 200,
    out: str | Path | None = None,
) -> int:
    """Play a World in a window, or let it play itself into a file; the exit status (2 if there is no display).

    world: name or path of a World. simulator: play the ground-truth environment that it was trained on instead (`world`
    may then also be the id of an environment). prompt: words for the start. seed: chooses the start. steps: denoising
    steps a frame. size: (height, width), multiples of 16. autoplay: its own policy plays until a key is pressed.
    headless: open no window; the World's own policy plays for `frames` frames. out: the video; with a window it is
    recorded from the first frame on.

    Raises ValueError with a sentence for what cannot be played or saved.
    """
    if out is not None:
        out = check_path(out)
        if not headless and out.suffix.lower() != ".mp4":
            raise ValueError(f"with a window, out must be an .mp4 file, got {out}; other formats need --headless")

    if simulator and steps is not None:
        raise ValueError("steps are the denoising steps of a World; a simulator has none: leave them out")

    def build() -> Any:
        if simulator:
            return _simulator_session(world, prompt=prompt, seed=seed, size=size)
        import worldsim
        from worldsim.play.session import WorldSession

        return WorldSession(worldsim.load(world), seed=seed, prompt=prompt, steps=steps, size=size)

    if headless:
        if frames < 1:
            raise ValueError(f"frames must be at least 1, got {frames}")
        _play_headless(build, frames, out)
        return 0

    from worldsim.play.window import NoDisplayError, Window

    try:
        window = Window(f"worldsim: {world}{' (simulator)' if simulator else ''}")
    except NoDisplayError as error:
        words = f"{world} --simulator" if simulator else world
        print(
            f"worldsim play: there is no display to open a window on ({error}).\n"
            f"Play without one: worldsim play {words} --headless --frames {frames} --out clip.mp4",
            file=sys.stderr,
        )
        return 2
    player = None
    try:
        patience = " (the very first time it is compiled, which takes half a minute)" if simulator else ""
        window.message(f"loading {world} ...{patience}")
        from worldsim.play.keymap import Keymap
        from worldsim.play.player import Player

        player = Player(build())
        keymap = Keymap(player.session.space, player.session.simulator)
        if out is not None:
            player.start_video(out)
        window.autoplay = autoplay
        window.play(player, keymap)
    finally:
        if player is not None:
            if video := player.stop_video():
                print(f"saved {video}")
            player.close()
        window.close()
    return 0


def _play_headless(build: Callable[[], Any], frames: int, out: Path | None) -> None:
    """Let the session play itself for `frames` frames, the first included, and write them to `out`."""
    from tqdm import tqdm

    from worldsim.play.player import Player, video_scale

    player = Player(build())
    streamed = out is None or out.suffix.lower() == ".mp4"
    path = player.start_video(out) if streamed else Path(str(out))
    film = [player.frame]
    began = time.perf_counter()
    try:
        for _ in tqdm(range(frames - 1), "playing", unit=" frames", disable=None):
            frame = player.tick(player.session.policy_action())
            if not streamed:
                film.append(frame)
        seconds = time.perf_counter() - began
    finally:
        player.close()  # also after Ctrl-C: what was played so far is a whole video
    if not streamed:
        import numpy as np

        session = player.session
        clip = Clip(np.stack(film), fps=session.fps, seed=session.seed, world=session.name)
        scale = 1 if path.suffix.lower() in (".png", "") else video_scale(clip.size)
        path = clip.save(path, scale=scale)
    rate = f" at {(frames - 1) / seconds:.1f} frames/s" if frames > 1 else ""
    print(f"played {frames} frames{rate}: {path}")


def _simulator_session(world: str, *, prompt: str | None, seed: int, size: tuple[int, int] | None) -> Any:
    """The ground truth behind a World, or the environment of that id. Reads the World's spec only, not its weights."""
    import gymnasium as gym

    import worldsim  # noqa: F401 (registers the environments)
    from worldsim.play.session import EnvSession

    kwargs: dict[str, Any] = {}
    directory = Path(world) if (Path(world) / "spec.json").is_file() else WORLDS / world
    if world in gym.registry:
        env_id = world
    elif (directory / "spec.json").is_file():
        spec = json.loads((directory / "spec.json").read_text(encoding="utf-8")).get("spec", {})
        env_id, kwargs = spec.get("simulator"), spec.get("simulator_kwargs", {})
        if env_id is None:
            raise ValueError(f"World {world!r} names no simulator that it was trained on; play it without --simulator")
    elif world == "blocks":
        env_id = DEFAULT_SIMULATOR
    else:
        raise ValueError(
            f"there is no World and no environment {world!r}; --simulator takes the name or path of a World, or the id "
            f"of an environment such as {DEFAULT_SIMULATOR}"
        )
    return EnvSession(env_id, kwargs | ({"size": size} if size else {}), seed=seed, prompt=prompt)
