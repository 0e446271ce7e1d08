"""The LeRobotDataset v3 layout: what is in it, frame-exact reading, and that it survives kills and damage."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.data import lerobot_writer, record
from worldsim.data.lerobot import EpisodeDataset
from worldsim.data.store import FrameStore

HERE = Path(__file__).parent
VIDEO = "videos/observation.image/chunk-000"
EPISODES = "meta/episodes/chunk-000"


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    """Two slots a file, so that a short recording has several files (in this process; workers are not used then)."""
    monkeypatch.setattr(lerobot_writer, "_FRAMES_A_FILE", 100)


def make(out, frames=300, env_id="noise_env:Noise-v0", **options):
    options = {"episode_frames": 50, "workers": 1, "progress": False, **options}
    record.record(env_id, frames, out, **options)
    return EpisodeDataset(out)


def content(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def assert_same_episode(one, two):
    for name in ("frames", "actions", "rewards", "terminated", "truncated"):
        first, second = getattr(one, name), getattr(two, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    assert (one.seed, one.captions, one.row_captions) == (two.seed, two.captions, two.row_captions)


def test_reading_back_is_exact(tmp_path):
    """Frames are noise here, and the store that they are compared with keeps them as they are."""
    dataset = make(tmp_path / "dataset")
    options = {"episode_frames": 50, "workers": 1, "progress": False}
    record.record_store("noise_env:Noise-v0", 300, tmp_path / "store", **options)
    store = FrameStore.open(tmp_path / "store")
    assert len(dataset) == len(store) > 6
    for index in range(len(dataset)):
        assert_same_episode(dataset[index], store.episode(index))


def test_a_store_made_from_a_dataset_is_the_store_that_recording_makes(tmp_path):
    make(tmp_path / "dataset")
    options = {"episode_frames": 50, "workers": 1, "progress": False}
    record.record_store("noise_env:Noise-v0", 300, tmp_path / "store", **options)
    record.store_from_dataset(tmp_path / "dataset", tmp_path / "copy")
    assert content(tmp_path / "copy") == content(tmp_path / "store")


def test_odd_sizes_survive_but_are_told(tmp_path, capsys):
    dataset = make(tmp_path / "dataset", frames=50, env_kwargs={"size": (35, 51)})
    assert dataset[0].frames.shape[1:] == (35, 51, 3)
    assert "note: frames of 35x51 can be recorded, but no World can be trained on them" in capsys.readouterr().err


def test_layout(tmp_path):
    dataset = make(tmp_path / "dataset")
    root = tmp_path / "dataset"
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert info["fps"] == 10
    assert info["total_frames"] == 300
    assert info["total_episodes"] == len(dataset)
    assert info["splits"] == {"train": f"0:{len(dataset)}"}
    assert info["features"]["observation.image"]["dtype"] == "video"
    assert info["features"]["observation.image"]["shape"] == [16, 32, 3]
    names = ["key.0", "key.1", "key.2", "stick.0", "stick.1"]
    assert info["features"]["action"] == {"dtype": "float32", "shape": [5], "names": names}
    rows = [pq.read_table(path) for path in sorted((root / "data").glob("*/*.parquet"))]
    for table in rows:
        assert set(table.column_names) == set(info["features"]) - {"observation.image"}
    np.testing.assert_array_equal(np.concatenate([table["index"].to_numpy() for table in rows]), np.arange(300))
    episodes = [line for path in sorted((root / EPISODES).iterdir()) for line in pq.read_table(path).to_pylist()]
    assert [line["episode_index"] for line in episodes] == list(range(len(dataset)))
    following = 0
    for line in episodes:
        assert line["dataset_from_index"] == following
        following = line["dataset_to_index"]
        assert following - line["dataset_from_index"] == line["length"]
        assert line["tasks"] == ["explore noise_env:Noise-v0"]
        path = info["video_path"].format(
            video_key="observation.image",
            chunk_index=line["videos/observation.image/chunk_index"],
            file_index=line["videos/observation.image/file_index"],
        )
        assert (root / path).exists()
        duration = line["videos/observation.image/to_timestamp"] - line["videos/observation.image/from_timestamp"]
        assert duration == pytest.approx(line["length"] / 10)
    tasks = pq.read_table(root / "meta/tasks.parquet")
    assert tasks.to_pylist() == [{"task_index": 0, "task": "explore noise_env:Noise-v0"}]


def test_statistics_are_those_of_all_rows(tmp_path):
    dataset = make(tmp_path / "dataset")
    stats = json.loads((tmp_path / "dataset/meta/stats.json").read_text())
    episodes = [dataset[index] for index in range(len(dataset))]
    actions = np.concatenate([episode.actions for episode in episodes])
    colours = np.concatenate([episode.frames for episode in episodes]).reshape(-1, 3) / 255
    for name, values, shape in (("action", actions, (5,)), ("observation.image", colours, (3, 1, 1))):
        for kind in ("min", "max", "mean", "std"):
            expected = getattr(values.astype(np.float64), kind)(0).reshape(shape)
            np.testing.assert_allclose(stats[name][kind], expected, atol=1e-6)
        assert stats[name]["count"] == [300]


def test_an_action_of_one_number_is_a_plain_column(tmp_path):
    dataset = make(tmp_path / "dataset", frames=50, env_id="noise_env:NoiseOneKnob-v0")
    assert dataset[0].actions.shape == (len(dataset[0]), 1)
    table = pq.read_table(tmp_path / "dataset/data/chunk-000/file-000.parquet")
    assert str(table["action"].type) == "float"


def test_killed_half_way_and_resumed_equals_an_uninterrupted_run(tmp_path):
    out = tmp_path / "killed"
    kwargs = {"seconds": 0.002}
    (tmp_path / "script.py").write_text(
        "from worldsim.data import lerobot_writer, record\n"
        "if __name__ == '__main__':\n"
        "    lerobot_writer._FRAMES_A_FILE = 100\n"
        f"    record.record('noise_env:Noise-v0', 600, {str(out)!r}, env_kwargs={kwargs}, episode_frames=50,\n"
        "        workers=2, progress=False)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        start_new_session=True,
    )
    listed = out / EPISODES
    deadline = time.monotonic() + 300
    while not (listed.exists() and any(listed.glob("*.parquet"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path.name: path.read_bytes() for path in (out / VIDEO).glob("file-*.mp4")}
    assert 1 <= len(finished) < 6
    options = {"frames": 600, "env_kwargs": kwargs}
    make(out, **options)
    assert all((out / VIDEO / name).read_bytes() == video for name, video in finished.items())
    make(tmp_path / "whole", **options)
    assert content(out) == content(tmp_path / "whole")


def test_killed_before_there_were_settings_and_resumed(tmp_path):
    out = tmp_path / "dataset"
    (out / "meta").mkdir(parents=True)
    (out / "meta" / ".worldsim.json.1.tmp").write_text('{"form')
    make(out)
    make(tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")


def test_reading_an_episode_reads_its_rows_only(tmp_path):
    out = tmp_path / "dataset"
    dataset = make(out, frames=100)
    first = dataset[0]
    path = out / "data/chunk-000/file-000.parquet"
    group = pq.read_metadata(path).row_group(1)
    with path.open("r+b") as file:
        file.seek(group.column(0).dictionary_page_offset or group.column(0).data_page_offset)
        file.write(bytes(64))
    assert_same_episode(dataset[0], first)
    with pytest.raises(ValueError, match="damaged"):
        dataset[1]


@pytest.mark.parametrize(
    "damaged",
    [f"{VIDEO}/file-001.mp4", "data/chunk-000/file-001.parquet", f"{EPISODES}/file-001.parquet"],
)
@pytest.mark.parametrize("missing", [True, False])
def test_damaged_files_are_noticed_and_made_anew(tmp_path, damaged, missing):
    out = tmp_path / "dataset"
    make(out)
    whole = content(out)
    path = out / damaged
    if missing:
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size * 2 // 3)
    if not (missing and damaged.startswith(EPISODES)):  # an unlisted file is not part of the dataset
        with pytest.raises(ValueError, match="damaged"):
            [episode.seed for episode in EpisodeDataset(out)]
    make(out)
    assert content(out) == whole


def test_pixels_that_changed_are_noticed(tmp_path):
    out = tmp_path / "dataset"
    make(out, frames=100)
    path = out / VIDEO / "file-000.mp4"
    other = tmp_path / "other"
    make(other, frames=100, seed=5)
    path.write_bytes((other / VIDEO / "file-000.mp4").read_bytes())
    with pytest.raises(ValueError, match=r"episode 0 .* is damaged"):
        EpisodeDataset(out)[0]


def test_a_finished_recording_can_be_extended(tmp_path):
    make(tmp_path / "grown", frames=150)
    make(tmp_path / "grown", frames=300)
    make(tmp_path / "whole", frames=300)
    assert content(tmp_path / "grown") == content(tmp_path / "whole")


def test_a_gap_is_no_harm_and_numbers_stay_whole(tmp_path, monkeypatch):
    """Ctrl-C while another process is ahead leaves a missing file in the middle."""
    out = tmp_path / "dataset"
    make(out)
    whole = content(out)
    for part in (f"{VIDEO}/file-001.mp4", "data/chunk-000/file-001.parquet", f"{EPISODES}/file-001.parquet"):
        (out / part).unlink()
    lerobot_writer.DatasetWriter(out, EpisodeDataset(out).settings, EpisodeDataset(out).facts).finish()
    info = json.loads((out / "meta/info.json").read_text())
    assert info["total_frames"] == 200
    rows = [pq.read_table(path)["index"].to_numpy() for path in sorted((out / "data").glob("*/*.parquet"))]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(200))
    record.store_from_dataset(out, tmp_path / "store")
    store = FrameStore.open(tmp_path / "store")
    assert store.lengths.sum() == 200
    make(out)
    assert content(out) == whole


def test_interrupting_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    write = lerobot_writer.DatasetWriter.write

    def write_then_interrupt(self, number, episodes):
        if number == 2:
            next(iter(episodes))
            raise KeyboardInterrupt
        write(self, number, episodes)

    monkeypatch.setattr(lerobot_writer.DatasetWriter, "write", write_then_interrupt)
    with pytest.raises(SystemExit) as caught:
        make(tmp_path / "dataset")
    assert caught.value.code == 130
    assert "200 of 300 frames are recorded" in capsys.readouterr().err
    assert sum(EpisodeDataset(tmp_path / "dataset").lengths) == 200


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def no_room(self, number, episodes):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lerobot_writer.DatasetWriter, "write", no_room)
    with pytest.raises(OSError, match="the disk is full: 0 of 300 frames are recorded"):
        make(tmp_path / "dataset")


def test_other_settings_are_refused_and_named(tmp_path):
    make(tmp_path / "dataset", frames=50)
    with pytest.raises(ValueError, match=r"other settings \(seed: 0 there, 3 now\)"):
        make(tmp_path / "dataset", frames=50, seed=3)


def test_directories_that_are_no_such_dataset_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"not a LeRobot dataset: it has no meta/info\.json"):
        EpisodeDataset(tmp_path / "nowhere")
    (tmp_path / "meta").mkdir()
    info = tmp_path / "meta" / "info.json"
    info.write_text("{")
    with pytest.raises(ValueError, match=r"info\.json is damaged"):
        EpisodeDataset(tmp_path)
    info.write_text(json.dumps({"codebase_version": "v2.1"}))
    with pytest.raises(ValueError, match=r"version v2\.1, but v3\.0 is needed"):
        EpisodeDataset(tmp_path)
    info.write_text(json.dumps({"codebase_version": "v3.0"}))
    with pytest.raises(ValueError, match=r"not a recording: it has no worldsim\.json"):
        EpisodeDataset(tmp_path)
    with pytest.raises(ValueError, match="not empty and no recording"):
        make(tmp_path)
