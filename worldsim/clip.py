"""A Clip: frames with their actions, rate and origin, saved to and loaded from ordinary files.

What the studio and the player pass around. `Clip.save` and `Clip.load` know .mp4, .gif, .webp, PNG files and folders
(and .npy to load).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.files import write_atomically
from worldsim.video import MARK, VideoWriter, av_or_error, enlarge, partial_path

SUFFIXES = (".mp4", ".gif", ".webp", ".png")  # what can be saved; no suffix at all is a folder of PNG files
_FRAME_NAME = re.compile(r"\d{5,}\.png")


def check_path(path: str | Path) -> Path:
    """Return `path` as a Path; ValueError if no Clip can be saved there: an unknown suffix, or a folder of one."""
    path = _unused(Path(path))
    if path.suffix.lower() in SUFFIXES or not path.suffix or path.is_dir():
        return path
    raise ValueError(
        f"cannot save a clip as {path.name!r}: unknown suffix {path.suffix!r}; use one of {', '.join(SUFFIXES)}, "
        "or no suffix for a folder of PNG files"
    )


def _unused(path: Path) -> Path:
    if path.is_dir() and any(_FRAME_NAME.fullmatch(entry.name) for entry in path.iterdir()):
        raise ValueError(f"folder {path} already holds the PNG files of a clip; choose another or delete it first")
    return path


@dataclass(frozen=True, eq=False)
class Clip:
    """A stretch of film and what is known about it.

    frames: uint8 (T, H, W, 3), RGB. actions: float32 (T - 1, A) flat actions, actions[t] leads from frames[t] to
    frames[t + 1]; None if unknown. fps: frames per second. prompt, seed, world: where it came from, None if unknown.
    provenance: how `worldsim.studio` made it, plain JSON values; path: the file that it was loaded from.
    """

    frames: np.ndarray
    actions: np.ndarray | None = None
    fps: int = 20
    prompt: str | None = None
    seed: int | None = None
    world: str | None = None
    provenance: dict[str, Any] | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
            raise ValueError(
                f"frames must be uint8 (time, height, width, 3) and not empty, got {frames.dtype} {frames.shape}"
            )
        if self.actions is not None and (self.actions.ndim != 2 or len(self.actions) != len(frames) - 1):
            raise ValueError(
                f"{len(frames)} frames need actions of shape ({len(frames) - 1}, A), got {self.actions.shape}"
            )
        if self.fps < 1:
            raise ValueError(f"fps must be at least 1, got {self.fps}")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.frames.shape[1], self.frames.shape[2]

    def save(self, path: str | Path, *, scale: int = 1, quality: int | None = 80) -> Path:
        """Write the frames to `path`, whose suffix chooses the format, and return the path that was written.

        .mp4 (H.264, plays in browsers; lossy), .gif, .webp (animated; `quality` 0..100, None = lossless), .png or no
        suffix (a folder of PNG files, lossless; one frame becomes one .png file). `scale` enlarges every pixel that
        many times, which `load` undoes. fps, prompt, seed and world are kept inside the file. How it was made, if that
        is known, and its actions stand beside it, in a file of its name and .json; they are not kept otherwise.
        ValueError on an unknown suffix, or when the folder already holds PNG files.
        """
        path = check_path(path)
        if scale < 1:
            raise ValueError(f"scale must be a whole number of at least 1, got {scale}")
        path.parent.mkdir(parents=True, exist_ok=True)
        match path.suffix.lower():
            case ".mp4":
                height, width = self.size
                with VideoWriter(path, self.fps, (height, width), scale=scale, comment=self._comment(scale)) as video:
                    for frame in self.frames:
                        video.write(frame)
            case ".gif" | ".webp":
                path = self._save_animation(path, scale, quality)
            case _:
                path = self._save_png(path, scale)
        self._save_provenance(path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Clip:
        """Read a clip that `save` wrote, or any other .mp4, .gif, .webp, .png, folder of PNG files, or .npy array of
        uint8 (T, H, W, 3). FileNotFoundError, or ValueError that names the file if it cannot be read."""
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"there is no clip at {path}")
        suffix = path.suffix.lower()
        if not path.is_dir() and suffix not in (*SUFFIXES, ".npy"):
            known = ", ".join((*SUFFIXES, ".npy"))
            raise ValueError(
                f"cannot read {path}: unknown suffix {suffix!r}; known are {known} and folders of PNG files"
            )
        try:
            if path.is_dir():
                clip = _load_folder(path)
            elif suffix == ".npy":
                clip = cls(np.load(path, allow_pickle=False))
            else:
                clip = _load_video(path) if suffix == ".mp4" else _load_animation(path)
            return replace(clip, path=str(path), **_provenance(path, len(clip)))
        except (OSError, ValueError, EOFError, SyntaxError) as error:  # PIL raises SyntaxError on broken PNG files
            raise ValueError(f"cannot read {path} as a clip: {error}") from error

    def _save_provenance(self, path: Path) -> None:
        """Write what stands beside the clip, or remove what stood beside another of that name."""
        beside = path.with_name(path.name + ".json")
        if self.provenance is not None:
            actions = None if self.actions is None else self.actions.tolist()
            said = {MARK: self.provenance, "actions": actions}
            write_atomically(beside, json.dumps(said, ensure_ascii=False))
        elif _said_beside(path):
            beside.unlink()

    def _comment(self, scale: int) -> str:
        facts: dict[str, Any] = {"fps": self.fps, "world": self.world, "prompt": self.prompt, "seed": self.seed}
        if scale > 1:  # and of which size the file is then: who converts it to another takes the comment along
            facts |= {"scale": scale, "enlarged": [scale * side for side in self.size]}
        return f"{MARK} {json.dumps({key: value for key, value in facts.items() if value is not None})}"

    def _save_animation(self, path: Path, scale: int, quality: int | None) -> Path:
        from PIL import Image

        images = [Image.fromarray(enlarge(frame, scale)) for frame in self.frames]
        options: dict[str, Any] = {"save_all": True, "duration": round(1000 / self.fps), "loop": 0}
        if path.suffix.lower() == ".gif":
            # One palette a frame, no dithering: dither noise dances between frames and makes the file much larger.
            images = [image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for image in images]
            options |= {"comment": self._comment(scale).encode()}
        else:
            exif = Image.Exif()
            exif[0x010E] = self._comment(scale)  # ImageDescription
            lossless = quality is None
            options |= {"exif": exif, "lossless": lossless, "quality": 50 if quality is None else quality, "method": 4}
        partial = partial_path(path)
        images[0].save(partial, format=path.suffix[1:].upper(), append_images=images[1:], **options)
        os.replace(partial, path)
        return path

    def _save_png(self, path: Path, scale: int) -> Path:
        if path.suffix.lower() == ".png":
            if len(self) == 1:
                _write_png(path, enlarge(self.frames[0], scale), self._comment(scale))
                return path
            path = _unused(path.with_suffix(""))
        path.mkdir(parents=True, exist_ok=True)
        for index, frame in enumerate(self.frames):
            _write_png(path / f"{index:05d}.png", enlarge(frame, scale), self._comment(scale))
        return path


def fitted(image: str | Path | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture, cropped about its centre and scaled to `size` = (height, width): uint8 (height, width, 3).

    image: a file, or uint8 (height, width, 3) of any size. ValueError for an array of another kind or a file that is no
    picture, FileNotFoundError for a missing file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"image must be a file or a uint8 array (height, width, 3), got {image.dtype} {image.shape}"
            )
        picture = Image.fromarray(image)
    else:
        try:
            with Image.open(image) as file:
                picture = ImageOps.exif_transpose(file).convert("RGB")  # photographs may lie on their side
        except UnidentifiedImageError:
            raise ValueError(f"{image} is no picture that can be read") from None
    return np.array(ImageOps.fit(picture, (size[1], size[0])), np.uint8)


def _to_rgb(picture: Any) -> np.ndarray:
    """A decoded video frame as uint8 (H, W, 3), without the loss of a level or so that swscale's default has."""
    from av.video.reformatter import Interpolation

    exact = Interpolation.BILINEAR
    if hasattr(Interpolation, "ACCURATE_RND"):  # PyAV 18 and later
        exact |= Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    return picture.reformat(format="rgb24", interpolation=exact).to_ndarray()


def _write_png(path: Path, frame: np.ndarray, comment: str) -> None:
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", comment)
    Image.fromarray(frame).save(path, pnginfo=info)


def _facts(comment: str | bytes | None) -> dict[str, Any]:
    """What `Clip._comment` wrote, from a file's comment; empty for the files of others."""
    text = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment or ""
    if not text.startswith(MARK + " {"):
        return {}
    with contextlib.suppress(json.JSONDecodeError):
        facts = json.loads(text[len(MARK) :])
        return {key: facts[key] for key in ("fps", "world", "prompt", "seed", "scale", "enlarged") if key in facts}
    return {}


def _clip(frames: np.ndarray, facts: dict[str, Any]) -> Clip:
    """A clip of frames as they stand in a file; if they were enlarged for it, they are small again."""
    scale, enlarged = facts.pop("scale", 1), facts.pop("enlarged", None)
    if isinstance(scale, int) and scale > 1 and _about(frames.shape[1:3], enlarged):
        height, width = (side // scale for side in enlarged)
        frames = frames[:, scale // 2 :: scale, scale // 2 :: scale][:, :height, :width]
    return Clip(frames, **facts)


def _about(size: tuple[int, ...], said: Any) -> bool:
    """Whether a file has the size that it says; some formats pad odd ones by a pixel."""
    return isinstance(said, list) and len(said) == 2 and all(h - s in (0, 1) for h, s in zip(size, said, strict=True))


def _said_beside(path: Path) -> dict[str, Any]:
    """What `Clip.save` wrote beside a clip; empty if that is not there, or of others."""
    try:
        said = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return said if isinstance(said, dict) and isinstance(said.get(MARK), dict) else {}


def _provenance(path: Path, frames: int) -> dict[str, Any]:
    """Provenance and actions of a clip of so many frames, as far as they stand beside it."""
    said = _said_beside(path)
    if not said:
        return {}
    try:
        actions = np.array(said["actions"], np.float32)
    except (KeyError, TypeError, ValueError):
        actions = np.zeros(0, np.float32)
    known = actions.ndim == 2 and len(actions) == frames - 1 and np.isfinite(actions).all()
    return {"provenance": said[MARK], "actions": actions if known else None}


def _load_video(path: Path) -> Clip:
    av = av_or_error()
    with av.open(str(path)) as file:
        if not file.streams.video:
            raise ValueError("it holds no video")
        stream = file.streams.video[0]
        facts = _facts(file.metadata.get("comment"))
        facts["fps"] = max(1, round(stream.average_rate or facts.get("fps", 20)))  # it may have been converted
        frames = [_to_rgb(picture) for picture in file.decode(stream)]
    if not frames:
        raise ValueError("it holds no frames")
    return _clip(np.stack(frames), facts)


def _load_animation(path: Path) -> Clip:
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        comment = image.info.get("comment") or image.info.get("Comment") or image.getexif().get(0x010E)
        pictures = []
        for page in ImageSequence.Iterator(image):
            pixels = np.asarray(page.convert("RGB"))
            pictures.append((pixels, page.info.get("duration") or 0))
    facts = _facts(comment)
    shortest = min((duration for _, duration in pictures if duration), default=50)
    facts.setdefault("fps", max(1, round(1000 / shortest)))
    # These formats store a frame that stays the same once, for longer.
    repeats = [max(1, round(duration * facts["fps"] / 1000)) for _, duration in pictures]
    return _clip(np.repeat(np.stack([pixels for pixels, _ in pictures]), repeats, axis=0), facts)


def _load_folder(path: Path) -> Clip:
    from PIL import Image

    files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() == ".png")
    if not files:
        raise ValueError("the folder holds no PNG files")
    facts: dict[str, Any] = {}
    frames = []
    for file in files:
        with Image.open(file) as image:
            facts = facts or _facts(image.info.get("Comment"))
            frames.append(np.asarray(image.convert("RGB")))
    if len({frame.shape for frame in frames}) > 1:
        raise ValueError("its pictures differ in size")
    return _clip(np.stack(frames), facts)
