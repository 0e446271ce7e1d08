"""The LeRobotDataset v3 layout, and reading recordings from it: rows in parquet files, frames in lossless video.

meta/info.json, meta/stats.json, meta/tasks.parquet, meta/worldsim.json (settings of the recording)
meta/episodes/chunk-000/file-000.parquet, ...      one row an episode
data/chunk-000/file-000.parquet, ...               one row a frame
videos/observation.image/chunk-000/file-000.mp4    the frames of the data file of the same number
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gymnasium import spaces

from worldsim.data import manifest
from worldsim.data.episodes import EnvFacts, Episode, RecordSettings
from worldsim.data.video import PIXEL_FORMAT, read_video
from worldsim.spec import space_from_json

KIND, NAME = "worldsim-lerobot", "recording"
CODEBASE_VERSION = "v3.0"
IMAGE = "observation.image"
FILES_A_CHUNK = 1000
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = "videos/{video_key}/" + _FILE + ".mp4"
EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"

# Columns of the data files besides the action, with their types in the words of the layout.
ROW_COLUMNS: dict[str, str] = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
    "next.reward": "float32",
    "next.done": "bool",
    "next.terminated": "bool",
    "next.truncated": "bool",
    "caption": "string",
}


def locate(number: int) -> dict[str, int]:
    """Chunk and file index of the data, video and episodes file with that number."""
    return {"chunk_index": number // FILES_A_CHUNK, "file_index": number % FILES_A_CHUNK}


def data_file(directory: Path, number: int) -> Path:
    """Where the rows of that number lie."""
    return directory / DATA_PATH.format(**locate(number))


def video_file(directory: Path, number: int) -> Path:
    """Where the frames of that number lie."""
    return directory / VIDEO_PATH.format(video_key=IMAGE, **locate(number))


def episodes_file(directory: Path, number: int) -> Path:
    """Where the episodes of that number are listed; it is written last, so its being there says that all is."""
    return directory / EPISODES_PATH.format(**locate(number))


def features(facts: EnvFacts) -> dict[str, Any]:
    """The `features` of meta/info.json."""
    height, width = facts.size
    video = {
        "video.height": height,
        "video.width": width,
        "video.codec": "h264",
        "video.pix_fmt": PIXEL_FORMAT,
        "video.is_depth_map": False,
        "video.fps": facts.fps,
        "video.channels": 3,
        "has_audio": False,
    }
    names = flat_names(space_from_json(facts.action))
    found: dict[str, Any] = {
        IMAGE: {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"], "info": video},
        "action": {"dtype": "float32", "shape": [facts.action_dim], "names": names},
    }
    return found | {key: {"dtype": dtype, "shape": [1], "names": None} for key, dtype in ROW_COLUMNS.items()}


def flat_names(space: spaces.Space, prefix: str = "action") -> list[str]:
    """A name for each entry of the flat action vector, such as "camera.1", or "jump.0" for "jump is not pressed"."""
    if isinstance(space, spaces.Dict):
        parts: list[tuple[str, spaces.Space]] = list(space.spaces.items())
    elif isinstance(space, spaces.Tuple):
        parts = [(f"{prefix}.{i}", part) for i, part in enumerate(space.spaces)]
    else:
        return [f"{prefix}.{i}" for i in range(int(spaces.flatdim(space)))]
    return [name for key, part in parts for name in flat_names(part, key)]


def read_parquet(path: Path, columns: list[str] | None = None, row_group: int | None = None) -> pa.Table:
    """The table, or one row group of it; ValueError if the file is missing or damaged."""
    try:
        if row_group is None:
            return pq.read_table(path, columns=columns)
        with pq.ParquetFile(path) as file:
            return file.read_row_group(row_group, columns)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"{path} is missing or damaged ({error}). Record with the same settings again: "
            "what is lost is made anew, the rest is kept"
        ) from error


class EpisodeDataset:
    """The finished episodes of a recording in the LeRobotDataset v3 layout: `len()`, `[i] -> Episode`, iteration.

    Frames come back exactly as they were recorded, which is checked. ValueError, on opening or on reading: not such a
    directory, another version of the layout, not recorded by this program, damaged files.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        try:
            info = json.loads((self.directory / "meta" / "info.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError(f"{directory} is not a LeRobot dataset: it has no meta/info.json") from None
        except ValueError as error:
            raise ValueError(f"{self.directory / 'meta' / 'info.json'} is damaged: {error}") from error
        version = info.get("codebase_version") if isinstance(info, dict) else None
        if version != CODEBASE_VERSION:
            raise ValueError(
                f"{directory} is a LeRobot dataset of version {version}, but {CODEBASE_VERSION} is needed; "
                "convert it with LeRobot's own converter"
            )
        self.settings: RecordSettings
        self.facts: EnvFacts
        self.settings, self.facts = manifest.parse(manifest.load(self.directory / "meta" / "worldsim.json", KIND, NAME))
        # Where each episode lies: file number, rank and first row in the file, and its line in the episodes file.
        self._places: list[tuple[int, int, int, dict[str, Any]]] = []
        for number in file_numbers(self.directory):
            row = 0
            for rank, line in enumerate(read_episode_lines(self.directory, number)):
                self._places.append((number, rank, row, line))
                row += line["length"]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def lengths(self) -> list[int]:
        """Rows of each episode."""
        return [line["length"] for *_, line in self._places]

    @property
    def seeds(self) -> list[int]:
        """The seed with which the environment was reset for each episode."""
        return [line["seed"] for *_, line in self._places]

    def __getitem__(self, index: int) -> Episode:
        number, rank, first, line = self._places[index]
        length = int(line["length"])
        path = data_file(self.directory, number)
        rows = read_parquet(path, row_group=rank)  # an episode is a row group
        frames = read_video(video_file(self.directory, number), first, length)
        if rows.num_rows != length or zlib.crc32(frames.data) != line["frames_crc32"]:
            raise ValueError(
                f"episode {index} of {self.directory} is damaged: {path} or its video does not hold what was recorded. "
                "Delete them and record with the same settings again"
            )
        actions = rows["action"].combine_chunks()
        flat = actions.flatten() if isinstance(actions, pa.FixedSizeListArray) else actions
        captions = rows["caption"].to_pylist()
        return Episode(
            frames=frames,
            actions=flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(length, self.facts.action_dim),
            rewards=rows["next.reward"].to_numpy().astype(np.float32),
            terminated=rows["next.terminated"].to_numpy().astype(np.bool_),
            truncated=rows["next.truncated"].to_numpy().astype(np.bool_),
            seed=int(line["seed"]),
            captions=list(line["captions"]),
            row_captions=captions if any(captions) else [],
        )


def file_numbers(directory: Path) -> list[int]:
    """The numbers of all finished files, in order."""
    found = (directory / "meta" / "episodes").glob("chunk-*/file-*.parquet")
    return sorted(int(path.parent.name[6:]) * FILES_A_CHUNK + int(path.stem[5:]) for path in found)


def read_episode_lines(directory: Path, number: int) -> list[dict[str, Any]]:
    """The lines of an episodes file that reading needs."""
    columns = ["length", "seed", "captions", "frames_crc32"]
    return read_parquet(episodes_file(directory, number), columns).to_pylist()
