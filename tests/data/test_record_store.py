"""Recording into a FrameStore: what is in it, that it resumes after a kill, and what it refuses."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from worldsim.data import store as data_store
from worldsim.data.record import record_store
from worldsim.data.store import FrameStore
from worldsim.spec import space_from_json

HERE = Path(__file__).parent
ARRAYS = ("frames.u8", "actions.f32", "rewards.f32", "flags.u8")


def record(out, frames=200, env_id="noise_env:Noise-v0", **options):
    options = {"episode_frames": 50, "workers": 1, "progress": False, **options}
    record_store(env_id, frames, out, **options)
    return FrameStore.open(out)


def content(directory):
    arrays = {name: (directory / name).read_bytes() for name in ARRAYS}
    return arrays, sorted((directory / "episodes.jsonl").read_text().splitlines())


def test_rows_are_what_the_environment_gives_for_these_seeds_and_actions(tmp_path):
    store = record(tmp_path / "store", seed=7)
    assert store.frames.shape == (200, 16, 32, 3)
    assert store.frames.dtype == np.uint8
    assert store.actions.shape == (200, 5)
    assert store.lengths.sum() == 200
    assert store.terminated.any()
    assert not store.truncated.any()
    env = gym.make(store.env_id, **store.env_kwargs)
    assert space_from_json(store.action) == env.action_space
    for e in range(len(store)):
        episode = store.episode(e)
        frame, info = env.reset(seed=episode.seed)
        for t in range(len(episode)):
            np.testing.assert_array_equal(episode.frames[t], frame)
            assert episode.row_captions[t] == info["caption"]
            action = spaces.unflatten(env.action_space, episode.actions[t])
            frame, reward, terminated, truncated, info = env.step(action)
            assert (reward, terminated, truncated) == (
                episode.rewards[t],
                episode.terminated[t],
                episode.truncated[t],
            )


def test_each_slot_starts_with_its_own_seed_and_episodes_fill_it(tmp_path):
    store = record(tmp_path / "store", frames=101, seed=40)
    assert store.lengths.sum() == 150  # rounded up to whole slots
    at_slot_start = store.starts % 50 == 0
    assert store.seeds[at_slot_start].tolist() == [40, 41, 42]
    assert len(set(store.seeds.tolist())) == len(store)
    np.testing.assert_array_equal(store.starts[1:], (store.starts + store.lengths)[:-1])


def test_time_limits_are_kept_as_truncation(tmp_path):
    store = record(tmp_path / "store", frames=50, env_id="noise_env:NoiseLimited-v0")
    assert store.lengths.tolist() == [20, 20, 10]
    assert np.flatnonzero(store.truncated).tolist() == [19, 39]
    assert not store.terminated.any()


def test_captions_are_kept_in_several_wordings(tmp_path):
    store = record(tmp_path / "store", frames=50)
    captions = store.captions(0)
    assert {tuple(text.split()[:2]) for text in captions} == {
        ("short", "en"),
        ("long", "en"),
        ("short", "zh"),
        ("long", "zh"),
    }
    assert store.caption_changes(0)[0] == (0, "the start")


def test_workers_make_no_difference(tmp_path):
    record(tmp_path / "one")
    record(tmp_path / "two", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_killed_half_way_and_resumed_equals_an_uninterrupted_run(tmp_path):
    options = {"frames": 600, "env_kwargs": {"seconds": 0.002}}
    out = tmp_path / "killed"
    script = (
        "from worldsim.data.record import record_store\n"
        "if __name__ == '__main__':\n"
        f"    record_store('noise_env:Noise-v0', 600, {str(out)!r}, env_kwargs={{'seconds': 0.002}},\n"
        "        episode_frames=50, workers=2, progress=False)\n"
    )
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        start_new_session=True,
    )
    journal = out / "episodes.jsonl"
    deadline = time.monotonic() + 300
    while not (journal.exists() and journal.read_text().count("\n") >= 3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with journal.open("a") as file:
        file.write('{"slot": 11, "epis')  # what a kill in the middle of a write leaves
    finished = FrameStore.open(out)
    assert 150 <= finished.lengths.sum() < 600
    before = {int(s): np.array(finished.frames[s]) for s in finished.starts}
    resumed = record(out, **options)
    for start, frame in before.items():
        np.testing.assert_array_equal(resumed.frames[start], frame)
    record(tmp_path / "whole", **options)
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize("survived", ["nothing", "settings", "rows"])
def test_killed_while_the_store_is_made_and_resumed(tmp_path, monkeypatch, survived):
    out = tmp_path / "store"
    if survived == "nothing":
        out.mkdir()
        (out / ".spec.json.1.tmp").write_text('{"form')
    else:
        reserve = data_store._reserve

        def killed(path, size):
            if survived == "settings" or path.name == "rewards.f32":
                raise KeyboardInterrupt
            reserve(path, size)

        with monkeypatch.context() as patch:
            patch.setattr(data_store, "_reserve", killed)
            with pytest.raises(KeyboardInterrupt):
                record(out)
        assert (out / "frames.u8").exists() == (survived == "rows")
    record(out)
    record(tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def test_lost_rows_do_not_count_after_a_kill_while_they_are_made_room_for(tmp_path, monkeypatch):
    out = tmp_path / "store"
    record(out)
    whole = content(out)
    os.truncate(out / "frames.u8", 130 * 16 * 32 * 3)
    reserve = data_store._reserve

    def killed(path, size):
        reserve(path, size)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data_store, "_reserve", killed)
        with pytest.raises(KeyboardInterrupt):
            record(out)
    assert (out / "frames.u8").stat().st_size == 200 * 16 * 32 * 3
    record(out)
    assert content(out) == whole


def test_finished_slots_are_kept_and_not_recorded_again(tmp_path):
    out = tmp_path / "store"
    record(out, frames=100)
    with (out / "rewards.f32").open("r+b") as file:
        file.write(np.full(10, 99, np.float32).tobytes())
    store = record(out, frames=200)
    assert (store.rewards[:10] == 99).all()
    assert store.lengths.sum() == 200
    assert len(record(out, frames=50)) == len(store)  # fewer than there are: nothing happens


def test_a_cut_off_file_is_an_error_that_recording_again_mends(tmp_path):
    out = tmp_path / "store"
    record(out)
    whole = content(out)
    os.truncate(out / "frames.u8", 130 * 16 * 32 * 3)
    with pytest.raises(ValueError, match=r"frames\.u8 is damaged: it holds 130 rows of 200"):
        FrameStore.open(out)
    record(out)
    assert content(out) == whole


def test_other_settings_are_refused_and_named(tmp_path):
    out = tmp_path / "store"
    record(out, seed=1)
    with pytest.raises(ValueError, match=r"\(policy: 'auto' there, 'random' now, seed: 1 there, 2 now\)"):
        record(out, seed=2, policy="random")


def test_directories_that_are_no_store_are_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="not empty and no recording"):
        record(tmp_path)
    with pytest.raises(ValueError, match=r"not a frame store: it has no spec\.json"):
        FrameStore.open(tmp_path)
    (tmp_path / "spec.json").write_text("{}")
    with pytest.raises(ValueError, match="of another kind"):
        FrameStore.open(tmp_path)
    (tmp_path / "spec.json").write_text(json.dumps({"format": "worldsim-frames", "version": 99}))
    with pytest.raises(ValueError, match="version 99"):
        FrameStore.open(tmp_path)


def test_a_store_without_a_finished_episode_says_so(tmp_path):
    out = tmp_path / "store"
    record(out, frames=50)
    (out / "episodes.jsonl").write_text("")
    with pytest.raises(ValueError, match="no finished episode yet"):
        FrameStore.open(out)


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("worldsim/Nowhere-v0", {}, "unknown environment 'worldsim/Nowhere-v0'"),
        ("no_such_module:Env-v0", {}, "cannot be made with {}: .*no_such_module"),
        ("CartPole-v1", {}, "has no image observations"),
        ("noise_env:Noise-v0", {"env_kwargs": {"colour": 1}}, "cannot be made with {'colour': 1}"),
        (
            "noise_env:Noise-v0",
            {"policy": "genius"},
            "unknown policy 'genius'; there are auto, blocks, building, crafter, editing, filming, own, pauses, random",
        ),
        ("noise_env:Noise-v0", {"policy": "blocks"}, "are for worldsim/BlocksSim-v0, not for"),
        ("noise_env:Noise-v0", {"frames": 0}, "number of frames to record must be positive"),
        ("noise_env:Noise-v0", {"episode_frames": 1}, "episode_frames must be at least 2"),
        ("noise_env:Noise-v0", {"seed": -1}, "seed must not be negative"),
        ("noise_env:Noise-v0", {"workers": 0}, "workers must be at least 1"),
    ],
)
def test_what_cannot_be_recorded_is_a_clear_error(tmp_path, env_id, options, message):
    with pytest.raises(ValueError, match=message.replace("{", r"\{")):
        record(tmp_path / "store", env_id=env_id, **options)


def test_errors_in_a_worker_process_arrive(tmp_path):
    with pytest.raises(ValueError, match="unknown policy 'genius'"):
        record(tmp_path / "store", policy="genius", workers=2)


def test_too_little_space_is_noticed_at_the_start(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 9 * 10**8, 10**8))
    with pytest.raises(OSError, match=r"needs 15\.\d GB more in .*, but only 0\.0 GB can be used") as caught:
        record(tmp_path / "store", frames=500_000, env_kwargs={"size": (80, 128)})
    assert caught.value.errno == errno.ENOSPC


def test_interrupting_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    from worldsim.data.store import StoreWriter

    commit = StoreWriter.commit

    def commit_then_interrupt(self, slot, lines):
        commit(self, slot, lines)
        if slot == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(StoreWriter, "commit", commit_then_interrupt)
    with pytest.raises(SystemExit) as caught:
        record(tmp_path / "store")
    assert caught.value.code == 130
    assert "50 of 200 frames" in capsys.readouterr().err
    assert FrameStore.open(tmp_path / "store").lengths.sum() == 100


def test_stores_need_neither_av_nor_pyarrow():
    """Training machines have no more than numpy, gymnasium and torch."""
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('av', 'pyarrow', 'numba', 'pymunk', 'pygame')))\n"
        "import worldsim.data.record, worldsim.data.store\n"
        "assert 'torch' not in sys.modules, 'recorders should start fast'\n"
        "import worldsim.agents\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
