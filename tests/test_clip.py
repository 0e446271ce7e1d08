"""Clips survive being written to files and read back; the .mp4 is one that browsers play."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldsim.clip import Clip, fitted
from worldsim.video import MARK, VideoWriter


def picture_clip(frames: int = 12, height: int = 48, width: int = 64) -> Clip:
    """Smooth colours with a moving square: what a lossy codec keeps well, and different in every frame."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([40 + x, 40 + y, 128 + 0 * x], -1).astype(np.uint8)
    film = np.repeat(base[None], frames, axis=0)
    for t in range(frames):
        film[t, 8:24, 2 * t : 2 * t + 16] = (200, 40, 60)
    actions = np.zeros((frames - 1, 3), np.float32)
    return Clip(film, actions, fps=20, prompt="a red square", seed=7, world="blocks")


def mean_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def test_mp4_reads_back_close_with_its_origin(tmp_path: Path) -> None:
    clip = picture_clip()
    back = Clip.load(clip.save(tmp_path / "clip.mp4"))
    assert back.frames.shape == clip.frames.shape
    assert mean_error(back.frames, clip.frames) < 2
    # The colour of large areas must not shift (a wrong YUV matrix shifts it by ten).
    assert np.abs(back.frames.mean((0, 1, 2)) - clip.frames.mean((0, 1, 2))).max() < 1
    assert (back.fps, back.prompt, back.seed, back.world) == (20, "a red square", 7, "blocks")


def test_mp4_is_h264_yuv420p_with_its_index_in_front(tmp_path: Path) -> None:
    import av

    path = picture_clip().save(tmp_path / "clip.mp4")
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert file.metadata["comment"].startswith(MARK)
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_odd_sizes_are_padded_by_one_edge_pixel_and_not_rescaled(tmp_path: Path) -> None:
    clip = picture_clip(height=33, width=47)
    back = Clip.load(clip.save(tmp_path / "odd.mp4"))
    assert back.size == (34, 48)
    assert mean_error(back.frames[:, :33, :47], clip.frames) < 3
    assert mean_error(back.frames[:, 33, :47], clip.frames[:, 32]) < 6


@pytest.mark.parametrize("name", ["large.webp", "large.mp4", "folder"])
def test_frames_are_enlarged_in_the_file_and_small_again_when_they_are_loaded(name: str, tmp_path: Path) -> None:
    clip = picture_clip(frames=2, height=47)
    path = clip.save(tmp_path / name, scale=3, quality=None)
    if name == "large.webp":
        with Image.open(path) as image:
            assert image.size == (192, 141)
    back = Clip.load(path)
    assert back.size == (47, 64)
    assert mean_error(back.frames, clip.frames) < (2 if name == "large.mp4" else 1e-9)
    assert back.path == str(path)


@pytest.mark.parametrize("name", ["lossless.webp", "folder", "named.png"])
def test_lossless_formats_round_trip_exactly(tmp_path: Path, name: str) -> None:
    clip = picture_clip()
    back = Clip.load(clip.save(tmp_path / name, quality=None))
    np.testing.assert_array_equal(back.frames, clip.frames)
    assert (back.fps, back.prompt, back.seed, back.world) == (clip.fps, clip.prompt, clip.seed, clip.world)


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp"])
def test_lossy_animations_stay_close_and_keep_still_frames(tmp_path: Path, name: str) -> None:
    clip = picture_clip()
    frames = np.concatenate([clip.frames[:3], clip.frames[2:3], clip.frames[2:3], clip.frames[3:]])
    still = Clip(frames, fps=20, prompt="a red square")
    back = Clip.load(still.save(tmp_path / name))
    assert back.frames.shape == frames.shape
    assert mean_error(back.frames, frames) < 6
    assert (back.fps, back.prompt) == (20, "a red square")


def test_one_frame_is_one_png_file(tmp_path: Path) -> None:
    clip = Clip(picture_clip().frames[:1])
    path = clip.save(tmp_path / "shot.png")
    assert path.is_file()
    np.testing.assert_array_equal(Clip.load(path).frames, clip.frames)


def test_npy_array_loads(tmp_path: Path) -> None:
    clip = picture_clip()
    np.save(tmp_path / "film.npy", clip.frames)
    np.testing.assert_array_equal(Clip.load(tmp_path / "film.npy").frames, clip.frames)


def test_writer_leaves_nothing_under_the_final_name_until_it_is_closed(tmp_path: Path) -> None:
    path, frame = tmp_path / "live.mp4", picture_clip().frames[0]
    video = VideoWriter(path, 20, frame.shape[:2])
    video.write(frame)
    assert not path.exists()
    video.close()
    assert len(Clip.load(path)) == 1
    try:
        with VideoWriter(tmp_path / "broken.mp4", 20, frame.shape[:2]) as video:
            video.write(frame)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["live.mp4"]


def test_writer_without_frames_leaves_nothing(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "empty.mp4", 20, (16, 16)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_writer_names_both_sizes_when_a_frame_does_not_fit(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"frames of size \(16, 16\), got \(16, 32\)"),
        VideoWriter(tmp_path / "a.mp4", 20, (16, 16)) as video,
    ):
        video.write(np.zeros((16, 32, 3), np.uint8))


def test_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown suffix '\.avi'.*\.mp4, \.gif, \.webp, \.png"):
        picture_clip().save(tmp_path / "clip.avi")
    (tmp_path / "clip.mov").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"unknown suffix '\.mov'.*\.npy"):
        Clip.load(tmp_path / "clip.mov")


@pytest.mark.parametrize("name", ["bad.mp4", "bad.gif", "bad.webp", "bad.png", "bad.npy"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is not a picture")
    with pytest.raises(ValueError, match=name):
        Clip.load(tmp_path / name)


def test_missing_and_empty_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Clip.load(tmp_path / "nowhere.mp4")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(ValueError, match=r"hollow.*no PNG files"):
        Clip.load(tmp_path / "hollow")


def test_a_folder_with_an_older_clip_is_not_mixed_with_a_new_one(tmp_path: Path) -> None:
    picture_clip().save(tmp_path / "film")
    with pytest.raises(ValueError, match="already holds"):
        picture_clip(frames=3).save(tmp_path / "film")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frames": np.zeros((3, 8, 8, 3), np.float32)}, "uint8"),
        ({"frames": np.zeros((8, 8, 3), np.uint8)}, "time, height, width"),
        ({"frames": np.zeros((0, 8, 8, 3), np.uint8)}, "not empty"),
        ({"frames": np.zeros((3, 8, 8, 3), np.uint8), "actions": np.zeros((3, 2), np.float32)}, r"\(2, A\)"),
        ({"frames": np.zeros((3, 8, 8, 3), np.uint8), "fps": 0}, "fps"),
    ],
)
def test_wrong_fields_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Clip(**fields)  # type: ignore[arg-type]


def test_gif_works_and_mp4_says_what_to_install_where_pyav_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['av'] = None\n"
        "import numpy as np; from worldsim.clip import Clip\n"
        "clip = Clip(np.zeros((2, 16, 16, 3), np.uint8)); clip.save('a.gif')\n"
        "try: clip.save('a.mp4')\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "pip install av" in done.stdout


def test_a_file_that_was_converted_is_read_as_it_is(tmp_path: Path) -> None:
    """Converters take the comment along, which says another rate and size than the file has now."""
    clip = picture_clip(frames=4)
    comment = clip._comment(3)
    with VideoWriter(tmp_path / "other.mp4", 10, (96, 128), comment=comment) as video:
        for frame in clip.frames:
            video.write(np.array(Image.fromarray(frame).resize((128, 96))))
    back = Clip.load(tmp_path / "other.mp4")
    assert (back.size, back.fps) == ((96, 128), 10)
    assert back.prompt == "a red square"


def test_a_photograph_that_lies_on_its_side_is_put_upright(tmp_path: Path) -> None:
    upright = picture_clip(frames=1).frames[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    Image.fromarray(np.rot90(upright).copy()).save(tmp_path / "photo.png", exif=exif)
    assert np.array_equal(fitted(tmp_path / "photo.png", (48, 64)), upright)
