"""The commands of the studio: clips from words, pictures and other clips."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from worldsim.cli_arguments import Device

if TYPE_CHECKING:
    from worldsim.clip import Clip


def generate(
    prompt: str | None = None,
    /,
    *,
    world: str = "blocks",
    image: Path | None = None,
    seconds: float = 4.0,
    size: tuple[int, int] | None = None,
    variations: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1,
    prompts: Path | None = None,
    seed: int = 0,
    steps: int | None = None,
    device: Device = "auto",
    out: Path = Path("clip.mp4"),
) -> int:
    """Make a clip from words, from a picture, or from one of the World's own starts; the World's own policy moves.

    Example: `worldsim generate "a snowy plain at dusk" --seconds 5 -n 4`,
    or `worldsim generate --image start.png --seconds 60 --out walk.mp4`

    Args:
        prompt: Words for the place to begin in.
        world: Name or path of the World.
        image: Picture to begin from, cropped and scaled to the size.
        seconds: How long.
        size: Height and width of a frame in pixels, multiples of 16.
        variations: How many clips; they are numbered if there are several.
        prompts: File of prompts, one a line; makes the clips of each.
        seed: Of the first variation; the others count up from it.
        steps: Denoising steps a frame (K); the World's own number unless given.
        device: "auto" takes a CUDA device if there is one.
        out: The file: .mp4, .gif, .webp, or a folder of PNG files. How it was made stands beside it, in OUT.json.
    """
    from worldsim import studio
    from worldsim.world import load

    if prompts is not None and prompt is not None:
        raise ValueError("give a prompt, or a file of prompts")
    texts = [prompt] if prompts is None else _lines(prompts)
    paths = _paths(out, len(texts) * variations)
    loaded = load(world, device=device)
    for number, text in enumerate(texts):
        clips = studio.generate(
            loaded, text, image=image, seconds=seconds, size=size, variations=variations, seed=seed,
            num_inference_steps=steps, progress=True,
        )  # fmt: skip
        _save(clips, paths[number * variations :])
        if len(clips[0]) < round(seconds * loaded.spec.fps):
            return 130  # Ctrl-C is for those that would follow, too
    return 0


def extend(
    clip: Path,
    /,
    *,
    after: float,
    world: str = "blocks",
    variations: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1,
    seed: int = 0,
    steps: int | None = None,
    device: Device = "auto",
    out: Path = Path("longer.mp4"),
) -> None:
    """Let a clip go on. Its own frames stay as they are, but for what the format of --out loses.

    Example: `worldsim extend walk.mp4 --after 3 --out longer.mp4`

    Args:
        clip: The clip: .mp4, .gif, .webp, .npy or a folder of PNG files, with sides that are multiples of 16.
        after: By how many seconds.
        world: Name or path of the World.
        variations: How many ways; the clips are numbered if there are several.
        seed: Of the first variation; the others count up from it.
        steps: Denoising steps a frame (K); the World's own number unless given.
        device: "auto" takes a CUDA device if there is one.
        out: The file: .mp4, .gif, .webp, or a folder of PNG files. How it was made stands beside it, in OUT.json.
    """
    from worldsim import studio
    from worldsim.clip import Clip
    from worldsim.world import load

    paths = _paths(out, variations)
    if clip.resolve() in [path.resolve() for path in paths]:
        raise ValueError(f"{clip} would be replaced by what comes of it: give another --out")
    begun = Clip.load(clip)
    clips = studio.extend(
        load(world, device=device), begun, after=after, variations=variations, seed=seed, num_inference_steps=steps,
        progress=True,
    )  # fmt: skip
    _save(clips, paths)


def replay(made: Path, /, *, out: Path = Path("again.mp4")) -> None:
    """Make a clip again, by the .json that stands beside it.

    Example: `worldsim replay clip.mp4.json --out again.mp4`

    Args:
        made: The .json file.
        out: The file: .mp4, .gif, .webp, or a folder of PNG files.
    """
    from worldsim import studio

    paths = _paths(out, 1)
    _save([studio.replay(made, progress=True)], paths)


def _lines(path: Path) -> list[str]:
    """The lines of a file that say something; ValueError if there is none."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path} holds no prompts: write one a line")
    return lines


def _paths(out: Path, count: int) -> list[Path]:
    """Where so many clips go, numbered if there are several; ValueError now if one cannot be saved there."""
    from worldsim.clip import check_path

    if out.suffix.lower() == ".png":  # a clip of several frames is a folder of them
        out = out.with_suffix("")
    paths = [out] if count == 1 else [out.with_name(f"{out.stem}-{n + 1}{out.suffix}") for n in range(count)]
    return [check_path(path) for path in paths]


def _save(clips: list[Clip], paths: list[Path]) -> None:
    """Write the clips, enlarged as the player's videos are, and say where they are."""
    from worldsim.play.player import video_scale

    for clip, path in zip(clips, paths, strict=False):
        saved = clip.save(path, scale=video_scale(clip.size) if path.suffix else 1)
        print(f"{len(clip)} frames in {saved}", file=sys.stderr)
