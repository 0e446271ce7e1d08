"""Lossless video: H.264 of the RGB planes themselves, so that frames come back to the pixel; seekable to any frame."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import av.video.frame
import numpy as np

CODEC = "libx264rgb"
PIXEL_FORMAT = "gbrp"  # what a decoder calls the planes of an RGB H.264 stream
_KEYFRAME_EVERY = 32  # frames; reading from any frame on decodes at most this many frames too many


def write_video(path: Path, episodes: Iterable[np.ndarray], fps: int) -> None:
    """Write uint8 (T, H, W, 3) episodes, one behind the other, as an mp4; each begins with a keyframe.

    The file is no valid mp4 before the last frame is written. OSError (of av) if the disk is full.
    """
    # "ultrafast" wins here: flat, low-noise pictures hardly get smaller with more effort, and recording is the cost.
    options = {"qp": "0", "preset": "ultrafast", "g": str(_KEYFRAME_EVERY), "bf": "0", "threads": "1"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        time = 0
        for frames in episodes:
            if stream is None:
                stream = container.add_stream(CODEC, rate=fps, options=options)
                stream.height, stream.width = frames.shape[1:3]
                stream.pix_fmt = "rgb24"
            for t, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, fps)
                frame.pict_type = av.video.frame.PictureType.I if t == 0 else av.video.frame.PictureType.NONE
                container.mux(stream.encode(frame))
                time += 1
        if stream is None:
            raise ValueError("a video needs at least one frame")
        container.mux(stream.encode(None))


def read_video(path: Path, start: int, count: int) -> np.ndarray:
    """Frames start ... start + count - 1 of the file as uint8 (count, H, W, 3); ValueError if it is damaged."""
    frames: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate, base = stream.average_rate, stream.time_base
            if not rate or not base:
                raise ValueError(f"{path} is damaged: it has no frame rate")
            container.seek(round(start / rate / base), stream=stream)  # to the keyframe at or before it
            for frame in container.decode(stream):
                if round((frame.pts or 0) * base * rate) >= start:
                    frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == count:
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if len(frames) < count:
        raise ValueError(f"{path} is damaged: {len(frames)} of {count} frames are left from frame {start} on")
    return np.stack(frames)


def count_frames(path: Path) -> int:
    """How many frames the file says it has; 0 if it is no video or cut off."""
    try:
        with av.open(str(path)) as container:
            return int(container.streams.video[0].frames)
    except (av.error.FFmpegError, IndexError):
        return 0
