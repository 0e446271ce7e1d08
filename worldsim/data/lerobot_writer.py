"""Writing recordings in the LeRobotDataset v3 layout, file by file, so that a kill costs one unfinished file a worker.

A file holds the episodes of some slots: rows as parquet, frames as video, and last its list of episodes, which makes it
count. Numbers that run through all files (of episodes and rows) are put right by `finish`, since only then is known
how many episodes came before.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldsim.data import lerobot, manifest
from worldsim.data.episodes import EnvFacts, Episode, RecordSettings
from worldsim.data.video import count_frames, write_video
from worldsim.files import TEMPORARY, replacing, write_atomically

_FRAMES_A_FILE = 2048
_COMPRESSION = 0.25  # bytes of video for a byte of frames in block worlds: a guess for the space that is needed
_KEY = f"videos/{lerobot.IMAGE}"


class DatasetWriter:
    """A dataset opened for writing its files, in any order and from several processes."""

    def __init__(self, directory: Path, settings: RecordSettings, facts: EnvFacts) -> None:
        self.directory = directory
        self.settings = settings
        self.facts = facts
        self.slots_a_file = max(1, _FRAMES_A_FILE // settings.episode_frames)

    def slots(self, number: int, slots: int) -> range:
        """The slots that file `number` holds, of a recording that is `slots` slots long."""
        return range(number * self.slots_a_file, min((number + 1) * self.slots_a_file, slots))

    def prepare(self, slots: int) -> list[int]:
        """Make or check the directory; the numbers of the files that are missing, damaged, or shorter than wanted.

        ValueError if the directory holds something else or a recording with other settings; OSError if the disk is
        too small.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        wanted = manifest.describe(lerobot.KIND, self.settings, self.facts)
        path = self.directory / "meta" / "worldsim.json"
        if path.exists():
            manifest.check_same(self.directory, manifest.load(path, lerobot.KIND, lerobot.NAME), wanted)
        elif not all(file.is_dir() or file.match(f".*{TEMPORARY}") for file in self.directory.rglob("*")):
            raise ValueError(f"{self.directory} is not empty and no recording; choose another directory")
        for leftover in self.directory.rglob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)
        todo = []
        rows = 0
        for number in range(-(-slots // self.slots_a_file)):
            wanted_rows = len(self.slots(number, slots)) * self.settings.episode_frames
            have = self._finished_rows(number)
            if not have:  # what is damaged does not count from now on, even if this run is cut short
                lerobot.episodes_file(self.directory, number).unlink(missing_ok=True)
            if have < wanted_rows:
                todo.append(number)
                rows += wanted_rows
        height, width = self.facts.size
        manifest.room_or_error(self.directory, int(rows * height * width * 3 * _COMPRESSION))
        write_atomically(path, json.dumps(wanted, indent=1))
        self._write_tasks()
        return todo

    def write(self, number: int, episodes: Iterable[Episode]) -> None:
        """Write one file's video, rows and list of episodes; it counts from the moment this returns."""
        tables: list[pa.Table] = []
        lines: list[dict[str, Any]] = []
        first = number * self.slots_a_file * self.settings.episode_frames
        first_episode = number * self.slots_a_file  # right if no episode ends early; else `finish` corrects it

        def frames() -> Iterator[np.ndarray]:
            row = 0
            for rank, episode in enumerate(episodes):
                tables.append(self._rows(episode, first_episode + rank, first + row))
                lines.append(self._line(episode, number, first_episode + rank, first, row))
                row += len(episode)
                yield episode.frames

        with replacing(lerobot.video_file(self.directory, number)) as path:
            write_video(path, frames(), self.facts.fps)
        _write_parquet(lerobot.data_file(self.directory, number), tables)
        _write_parquet(lerobot.episodes_file(self.directory, number), [_table(lines)])

    def finish(self) -> None:
        """Number episodes and rows through all finished files, and write the facts and statistics of the whole."""
        episodes = rows = 0
        summaries: list[dict[str, Any]] = []
        for number in lerobot.file_numbers(self.directory):
            table = lerobot.read_parquet(lerobot.episodes_file(self.directory, number))
            lengths = table["length"].to_numpy()
            if table["episode_index"][0].as_py() != episodes or table["dataset_from_index"][0].as_py() != rows:
                self._renumber(number, table, episodes, rows)
            episodes += len(lengths)
            rows += int(lengths.sum())
            summaries += table.select([name for name in table.column_names if name.startswith("stats/")]).to_pylist()
        info = {
            "codebase_version": lerobot.CODEBASE_VERSION,
            "robot_type": None,
            "total_episodes": episodes,
            "total_frames": rows,
            "total_tasks": 1,
            "chunks_size": lerobot.FILES_A_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self.facts.fps,
            "splits": {"train": f"0:{episodes}"},
            "data_path": lerobot.DATA_PATH,
            "video_path": lerobot.VIDEO_PATH,
            "features": lerobot.features(self.facts),
        }
        if summaries:
            write_atomically(self.directory / "meta" / "stats.json", json.dumps(_merge(summaries), indent=1))
        write_atomically(self.directory / "meta" / "info.json", json.dumps(info, indent=1))

    # Inside

    def _task(self) -> str:
        return f"explore {self.settings.env_id}"

    def _finished_rows(self, number: int) -> int:
        """Rows of a finished file, 0 if it is missing or if its three parts do not agree."""
        try:
            lines = lerobot.read_episode_lines(self.directory, number)
            rows = sum(line["length"] for line in lines)
            data = pq.read_metadata(lerobot.data_file(self.directory, number)).num_rows
        except (ValueError, OSError, pa.ArrowException):
            return 0
        return rows if data == rows == count_frames(lerobot.video_file(self.directory, number)) else 0

    def _rows(self, episode: Episode, index: int, first: int) -> pa.Table:
        count = len(episode)
        frame_index = np.arange(count)
        actions = pa.array(episode.actions.ravel(), pa.float32())
        if self.facts.action_dim > 1:  # the layout wants a vector of one entry as a plain number
            actions = pa.FixedSizeListArray.from_arrays(actions, self.facts.action_dim)
        columns = {
            "action": actions,
            "timestamp": (frame_index / self.facts.fps).astype(np.float32),
            "frame_index": frame_index,
            "episode_index": np.full(count, index),
            "index": first + frame_index,
            "task_index": np.zeros(count, np.int64),
            "next.reward": episode.rewards,
            "next.done": episode.terminated | episode.truncated,
            "next.terminated": episode.terminated,
            "next.truncated": episode.truncated,
            "caption": pa.array(episode.row_captions or [""] * count, pa.string()),
        }
        return pa.table(columns)

    def _line(self, episode: Episode, number: int, index: int, first: int, row: int) -> dict[str, Any]:
        place = lerobot.locate(number)
        fps = self.facts.fps
        line = {
            "episode_index": index,
            "tasks": [self._task()],
            "length": len(episode),
            "seed": episode.seed,
            "captions": episode.captions,
            "frames_crc32": zlib.crc32(np.ascontiguousarray(episode.frames).data),
            "data/chunk_index": place["chunk_index"],
            "data/file_index": place["file_index"],
            "dataset_from_index": first + row,
            "dataset_to_index": first + row + len(episode),
            f"{_KEY}/chunk_index": place["chunk_index"],
            f"{_KEY}/file_index": place["file_index"],
            f"{_KEY}/from_timestamp": row / fps,
            f"{_KEY}/to_timestamp": (row + len(episode)) / fps,
            "meta/episodes/chunk_index": place["chunk_index"],
            "meta/episodes/file_index": place["file_index"],
        }
        for feature, values in _statistics(episode).items():
            line |= {f"stats/{feature}/{name}": value.tolist() for name, value in values.items()}
        return line

    def _renumber(self, number: int, table: pa.Table, first_episode: int, first_row: int) -> None:
        lengths = table["length"].to_numpy()
        ends = first_row + np.cumsum(lengths)
        indices = first_episode + np.arange(len(lengths))
        path = lerobot.data_file(self.directory, number)
        data = lerobot.read_parquet(path)
        data = _with(data, "episode_index", np.repeat(indices, lengths))
        data = _with(data, "index", first_row + np.arange(data.num_rows))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        # The rows before the list: a kill between the two leaves the list's old numbers, and all is numbered again.
        _write_parquet(path, [data.slice(a, b - a) for a, b in pairwise(starts)])
        table = _with(table, "episode_index", indices)
        table = _with(table, "dataset_from_index", ends - lengths)
        table = _with(table, "dataset_to_index", ends)
        _write_parquet(lerobot.episodes_file(self.directory, number), [table])

    def _write_tasks(self) -> None:
        # LeRobot reads this table with pandas and looks tasks up by its index, which pandas finds by this description.
        column = {"field_name": "task", "name": "task", "pandas_type": "unicode", "numpy_type": "object"}
        index = {"field_name": "task_index", "name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
        described = {"index_columns": ["task"], "column_indexes": [], "columns": [index, column], "pandas_version": "2"}
        table = pa.table({"task_index": pa.array([0], pa.int64()), "task": [self._task()]})
        _write_parquet(
            self.directory / "meta" / "tasks.parquet",
            [table.replace_schema_metadata({"pandas": json.dumps(described)})],
        )


def _table(lines: list[dict[str, Any]]) -> pa.Table:
    columns = {name: [line[name] for line in lines] for name in lines[0]}
    arrays = {name: pa.array(values) for name, values in columns.items()}
    arrays["captions"] = pa.array(columns["captions"], pa.list_(pa.string()))  # no captions have no type of their own
    return pa.table(arrays)


def _with(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, pa.int64()))


def _write_parquet(path: Path, row_groups: list[pa.Table]) -> None:
    with replacing(path) as temporary, pq.ParquetWriter(temporary, row_groups[0].schema) as writer:
        for table in row_groups:  # a row group an episode: readers that want one episode read no more
            writer.write_table(table, table.num_rows)


def _statistics(episode: Episode) -> dict[str, dict[str, np.ndarray]]:
    """Least, greatest, mean, standard deviation and count, of colours (in 0..1), actions and outcomes."""
    done = episode.terminated | episode.truncated
    columns = {
        "action": episode.actions,
        "next.reward": episode.rewards[:, None],
        "next.done": done[:, None],
        "next.terminated": episode.terminated[:, None],
        "next.truncated": episode.truncated[:, None],
    }
    count = np.array([len(episode)])
    found = {}
    for name, values in columns.items():
        numbers = values.astype(np.float64)
        found[name] = {
            "min": numbers.min(0),
            "max": numbers.max(0),
            "mean": numbers.mean(0),
            "std": numbers.std(0),
            "count": count,
        }
    levels = np.arange(256) / 255
    counts = np.stack([np.bincount(episode.frames[..., channel].ravel(), minlength=256) for channel in range(3)])
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ levels
    colours = {
        "min": levels[(counts > 0).argmax(1)],
        "max": levels[255 - (counts > 0)[:, ::-1].argmax(1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(share @ levels**2 - mean**2, 0)),
    }
    found[lerobot.IMAGE] = {name: value.reshape(3, 1, 1) for name, value in colours.items()} | {"count": count}
    return found


def _merge(summaries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Statistics of all rows from those of the episodes."""
    merged: dict[str, dict[str, Any]] = {}
    for feature in sorted({name.split("/")[1] for name in summaries[0]}):
        stack = {
            name: np.array([summary[f"stats/{feature}/{name}"] for summary in summaries], np.float64)
            for name in ("min", "max", "mean", "std", "count")
        }
        count = stack["count"]
        weight = (count / count.sum()).reshape(-1, *([1] * (stack["mean"].ndim - 1)))
        mean = (weight * stack["mean"]).sum(0)
        square = (weight * (stack["std"] ** 2 + stack["mean"] ** 2)).sum(0)
        merged[feature] = {
            "min": stack["min"].min(0).tolist(),
            "max": stack["max"].max(0).tolist(),
            "mean": mean.tolist(),
            "std": np.sqrt(np.maximum(square - mean**2, 0)).tolist(),
            "count": [int(count.sum())],
        }
    return merged
