"""The commands of the studio: clips from words, pictures and other clips."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from worldsim.cli_arguments import Device

if TYPE_CHECKING:
    from worldsim.clip import Clip
    from worldsim.studio import Options
    from worldsim.world import World


@dataclass(frozen=True)
class Making:
    """How clips are made, and where they go."""

    world: str = "blocks_film"
    """Name or path of the World."""
    variations: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1
    """How many clips; they are numbered if there are several."""
    seed: int = 0
    """Of the first variation; the others count up from it."""
    steps: int | None = None
    """Denoising steps, of the film or of each frame that is stepped; the World's own number unless given."""
    guidance: float | None = None
    """How many times as far as without its prompt a film goes; the World's own unless given, 1 is none."""
    negative_prompt: str | None = None
    """What a film is to go away from."""
    device: Device = "auto"
    """"auto" takes a CUDA device if there is one."""
    out: Path = Path("clip.mp4")
    """The file: .mp4, .gif, .webp, or a folder of PNG files. How it was made stands beside it, in OUT.json."""

    def paths(self, count: int | None = None, sources: tuple[Path, ...] = ()) -> list[Path]:
        """Where the clips go, numbered if there are several; ValueError now if one cannot be saved there."""
        from worldsim.clip import check_path

        out, count = self.out, count or self.variations
        if out.suffix.lower() == ".png":  # a clip of several frames is a folder of them
            out = out.with_suffix("")
        paths = [out] if count == 1 else [out.with_name(f"{out.stem}-{n + 1}{out.suffix}") for n in range(count)]
        for source in sources:
            if source.resolve() in [path.resolve() for path in paths]:
                raise ValueError(f"{source} would be replaced by what comes of it: give another --out")
        return [check_path(path) for path in paths]

    def load(self) -> World:
        from worldsim.world import load

        return load(self.world, device=self.device)

    @property
    def options(self) -> Options:
        """As `worldsim.studio` takes them."""
        return {
            "variations": self.variations, "seed": self.seed, "num_inference_steps": self.steps,
            "guidance_scale": self.guidance, "negative_prompt": self.negative_prompt, "progress": True,
        }  # fmt: skip


Flat = Annotated[Making, tyro.conf.arg(name="")]


def generate(
    prompt: str | None = None,
    /,
    *,
    image: Path | None = None,
    seconds: float = 4.0,
    image_only: bool = False,
    size: tuple[int, int] | None = None,
    aspect: str | None = None,
    prompts: Path | None = None,
    expand: bool = False,
    making: Flat = Making(),
) -> int:
    """Make a clip from words, from a picture, or from nothing.

    Example: `worldsim generate "a snowy plain at dusk" --seconds 5 -n 4`,
    or `worldsim generate --world blocks --image start.png --seconds 60 --out walk.mp4`, which walks on for a minute

    Args:
        prompt: Words for what is to be seen.
        image: Picture to begin from, cropped and scaled to the size.
        seconds: How long.
        image_only: Make a picture instead of a clip, clip.png unless --out says otherwise.
        size: Height and width of a frame in pixels, multiples of 16.
        aspect: Instead of the size: width to height, as in 16:9, with about as many pixels as the World's own.
        prompts: File of prompts, one a line; makes the clips of each.
        expand: Say what the prompt leaves open, by the seed; the full prompt is shown.
    """
    from worldsim import studio

    if prompts is not None and prompt is not None:
        raise ValueError("give a prompt, or a file of prompts")
    texts = [prompt] if prompts is None else _lines(prompts)
    paths = _pictures(making, len(texts)) if image_only else making.paths(len(texts) * making.variations)
    world = making.load()
    frames = 1 if image_only else None
    if aspect is not None:
        if size is not None:
            raise ValueError("give a size or an aspect")
        size = _of_aspect(aspect, world.size)
    for number, text in enumerate(texts):
        if text is not None and expand:
            text = studio.expand(world, text, seed=making.seed)
            print(f"prompt: {text}", file=sys.stderr)
        _say_unknown(world, text)
        clips = studio.generate(world, text, image=image, seconds=seconds, frames=frames, size=size, **making.options)
        _save(clips, paths[number * making.variations :])
        stopped = clips[0].provenance is None  # of a film; a walk is shorter then
        if stopped or (not image_only and len(clips[0]) < round(seconds * world.spec.fps)):
            return 130  # Ctrl-C is for those that would follow, too
    return 0


def extend(
    clip: Path,
    /,
    *,
    after: float = 0.0,
    before: float = 0.0,
    prompt: str | None = None,
    making: Flat = Making(),
) -> None:
    """Make a clip longer, at its end or at its beginning. Its own frames stay, but for what the format of --out loses.

    Example: `worldsim extend walk.mp4 --before 2 --after 3 -n 3 --out longer.mp4`

    Args:
        clip: The clip: .mp4, .gif, .webp, .npy or a folder of PNG files, with sides that are multiples of 16.
        after: By how many seconds at its end.
        before: By how many at its beginning, which takes a World that makes films.
        prompt: What is new is to be of this; unless given, of what the clip says of itself.
    """
    from worldsim import studio

    paths = making.paths(sources=(clip,))
    begun = _load(clip)
    _save(studio.extend(making.load(), begun, after=after, before=before, prompt=prompt, **making.options), paths)


def loop(clip: Path, /, *, seconds: float = 1.0, prompt: str | None = None, making: Flat = Making()) -> None:
    """Lead from the end of a clip back to its beginning, so that it can be played for ever.

    Example: `worldsim loop walk.mp4 --seconds 1.5 --out round.gif`

    Args:
        clip: The clip, as for `worldsim extend`.
        seconds: How long the way back is.
        prompt: What it is to be of; unless given, what the clip says of itself.
    """
    from worldsim import studio

    paths = making.paths(sources=(clip,))
    begun = _load(clip)
    _save(studio.loop(making.load(), begun, seconds=seconds, prompt=prompt, **making.options), paths)


def blend(
    clip: Path,
    other: Path,
    /,
    *,
    between: float | None = None,
    strength: float = 0.7,
    prompt: str | None = None,
    making: Flat = Making(),
) -> None:
    """Let one clip turn into another while both go on; with --between, lead from one's end to the other's beginning.

    Example: `worldsim blend day.mp4 night.mp4 --out dusk.mp4`, or `worldsim blend day.mp4 night.mp4 --between 2`

    Args:
        clip: The first clip, as for `worldsim extend`.
        other: The second, of the same size.
        between: So many seconds are made between the two, and both are kept whole.
        strength: Without --between: how much is made new in the middle, above 0 and at most 1.
        prompt: What is new is to be of this; unless given, of what the clips say of themselves.
    """
    from worldsim import studio

    paths = making.paths(sources=(clip, other))
    one, two = _load(clip), _load(other)
    if between is None:
        made = studio.blend(making.load(), one, two, strength=strength, prompt=prompt, **making.options)
    else:
        made = studio.connect(making.load(), one, two, seconds=between, prompt=prompt, **making.options)
    _save(made, paths)


def remix(clip: Path, prompt: str, /, *, strength: float = 0.6, making: Flat = Making()) -> None:
    """Make a clip anew by other words: what is where it was, and looks otherwise.

    Example: `worldsim remix walk.mp4 "at night, in snow" --strength 0.6 --out night.mp4`

    Args:
        clip: The clip, as for `worldsim extend`.
        prompt: What is to be seen.
        strength: How much is made new, above 0 and at most 1, which keeps nothing.
    """
    from worldsim import studio

    paths = making.paths(sources=(clip,))
    begun, world = _load(clip), making.load()
    _say_unknown(world, prompt)
    _save(studio.remix(world, begun, prompt, strength=strength, **making.options), paths)


def recut(
    clip: Path,
    /,
    *,
    keep: tuple[float, float],
    prompt: str | None = None,
    making: Flat = Making(),
) -> None:
    """Keep a stretch of a clip and make anew what was before and after it.

    Example: `worldsim recut walk.mp4 --keep 1 2.5 --prompt "a desert by day" --out other.mp4`

    Args:
        clip: The clip, as for `worldsim extend`.
        keep: From when to when, in seconds.
        prompt: What is new is to be of this; unless given, of what the clip says of itself.
    """
    from worldsim import studio

    paths = making.paths(sources=(clip,))
    begun = _load(clip)
    _save(studio.recut(making.load(), begun, keep=keep, prompt=prompt, **making.options), paths)


def storyboard(
    board: Path,
    /,
    *,
    seconds: float,
    size: tuple[int, int] | None = None,
    making: Flat = Making(),
) -> None:
    """Make a film by cards, each of which says what is to be seen from its time on.

    Example: `worldsim storyboard board.json --seconds 8`, where board.json is
    [{"at": 0, "text": "a meadow by day"}, {"at": 4, "image": "tower.png"}, {"at": 6, "text": "at night", "cut": true}]

    Args:
        board: JSON file, a list of cards: `at` in seconds, `text`, `image` (a file, seen at that time; with `use` as
            "text" put into words instead, with "both" both), `cut` (whether the camera jumps there).
        seconds: How long the film is.
        size: Height and width of a frame in pixels, multiples of 16.
    """
    from worldsim import studio

    paths = making.paths()
    cards = _cards(board)
    _save(studio.storyboard(making.load(), cards, seconds=seconds, size=size, **making.options), paths)


def describe(picture: Path, /, *, world: str = "blocks_film", device: Device = "auto") -> None:
    """Put a picture of the block world into words.

    Example: `worldsim describe tower.png`

    Args:
        picture: The picture.
        world: Name or path of a World that makes films.
        device: "auto" takes a CUDA device if there is one.
    """
    from worldsim import studio
    from worldsim.world import load

    print(studio.describe(load(world, device=device), picture))


def replay(made: Path, /, *, out: Path = Path("again.mp4")) -> None:
    """Make a clip again, by the .json that stands beside it.

    Example: `worldsim replay clip.mp4.json --out again.mp4`

    Args:
        made: The .json file.
        out: The file: .mp4, .gif, .webp, or a folder of PNG files.
    """
    from worldsim import studio

    paths = Making(out=out).paths()
    _save([studio.replay(made, progress=True)], paths)


COMMANDS = (generate, extend, loop, blend, remix, recut, storyboard, describe, replay)


def _load(path: Path) -> Clip:
    from worldsim.clip import Clip

    return Clip.load(path)


def _cards(path: Path) -> list[Any]:
    """The cards of a storyboard; ValueError that says what is wrong with the file. Images are found beside it."""
    from worldsim.studio import Card

    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        cards = [Card(**card) for card in said]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is no storyboard ({error}): write a list such as [{{"at": 0, "text": "a meadow"}}, '
            '{"at": 2, "image": "tower.png", "cut": true}]'
        ) from None
    beside = path.parent
    return [replace(card, image=card.image and beside / str(card.image)) for card in cards]


def _of_aspect(aspect: str, like: tuple[int, int]) -> tuple[int, int]:
    """(height, width) in multiples of 16 of an aspect such as 16:9, and about the area of another size."""
    try:
        width, height = (float(part) for part in aspect.split(":"))
        high = (like[0] * like[1] * height / width) ** 0.5
        return max(1, round(high / 16)) * 16, max(1, round(high * width / height / 16)) * 16
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        raise ValueError(f"an aspect is width:height, as in 16:9, and not {aspect!r}") from None


def _say_unknown(world: World, prompt: str | None) -> None:
    from worldsim import studio

    if unknown := studio.unknown_words(world, prompt or ""):
        print(f"note: {world.spec.name} has learned of nothing called {', '.join(unknown)}", file=sys.stderr)


def _lines(path: Path) -> list[str]:
    """The lines of a file that say something; ValueError if there is none."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path} holds no prompts: write one a line")
    return lines


def _pictures(making: Making, texts: int) -> list[Path]:
    """Where pictures go, a .png each; ValueError for another kind of file."""
    out, count = making.out, texts * making.variations
    if out == Making().out:
        out = out.with_suffix(".png")
    if out.suffix.lower() != ".png":
        raise ValueError(f"a picture is saved as .png, and --out is {out}")
    return [out] if count == 1 else [out.with_name(f"{out.stem}-{n + 1}.png") for n in range(count)]


def _save(clips: list[Clip], paths: list[Path]) -> None:
    """Write the clips, enlarged as the player's videos are, and say where they are."""
    from worldsim.play.player import video_scale

    for clip, path in zip(clips, paths, strict=False):
        saved = clip.save(path, scale=video_scale(clip.size) if path.suffix else 1)
        print(f"{len(clip)} frames in {saved}", file=sys.stderr)
