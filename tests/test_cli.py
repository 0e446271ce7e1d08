"""The command line: helpful help, one sentence for what went wrong, and the exit status that says so."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import gymnasium as gym
import pytest
from safetensors import SafetensorError

import worldsim  # noqa: F401, registers the environments
from worldsim.checkpoint import load_tensors
from worldsim.cli import main
from worldsim.recipes import load_recipe

COMMANDS = [
    "play", "record", "train", "eval", "bench", "worlds", "generate", "extend", "loop", "blend", "remix", "recut",
    "storyboard", "describe", "replay",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main([command, "--help"])
    assert status.value.code == 0
    assert f"Example: `worldsim {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "eval"])
def test_help_of_agents_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(["agent", command, "--help"])
    assert status.value.code == 0
    assert f"Example: `worldsim agent {command}" in capsys.readouterr().out


def test_an_agent_that_plays_prints_what_it_gains(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["agent", "eval", "scripted", "--env", "worldsim/BallsGoalSim-v0", "--episodes", "5"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "scripted in worldsim/BallsGoalSim-v0, 5 episodes" in printed
    assert "interquartile mean" in printed
    kept = json.loads((tmp_path / "returns.json").read_text())
    assert len(kept["returns"]) == 5
    assert kept["mean"]["mean"] == pytest.approx(sum(kept["returns"]) / 5)
    assert (tmp_path / "episodes.mp4").stat().st_size > 1000


def test_several_agents_are_also_taken_together(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["agent", "eval", "scripted", "random", "--env", "worldsim/BallsGoalSim-v0", "--episodes", "4"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "all 2 together [95% interval over agents and episodes]" in printed
    kept = [json.loads((tmp_path / number / "returns.json").read_text())["mean"]["mean"] for number in ("1", "2")]
    assert f"{'mean return':<20}{sum(kept) / 2:8.3f}" in printed.split("all 2 together")[1]


def test_what_an_agent_cannot_do_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    check_sentence(["agent", "train", "--out", str(tmp_path)], "give one of the two", capsys)
    check_sentence(["agent", "eval", "--env", "worldsim/BallsSim-v0"], "name a policy", capsys)
    check_sentence(["agent", "eval", "nobody", "--env", "worldsim/BallsSim-v0"], "unknown policy 'nobody'", capsys)
    check_sentence(["agent", "eval", "own", "--env", "worldsim/BallsSim-v0"], "is none", capsys)
    dreaming = ["agent", "train", "--world", "balls_goal", "--real-steps", "900", "--out", str(tmp_path)]
    check_sentence([*dreaming, "--rounds", "0"], "too few for 0 rounds", capsys)
    check_sentence([*dreaming, "--horizon", "0"], "must be positive", capsys)
    check_sentence(["agent", "train", "--world", "blocks", "--rounds", "2"], "they go with --real-steps", capsys)
    there = ["agent", "train", "worldsim/BallsGoalSim-v0", "--real-steps", "900", "--out", str(tmp_path)]
    check_sentence(there, "--real-steps goes with --world RECIPE", capsys)


def test_how_an_agent_learns_is_said_by_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    learning = ["agent", "train", "worldsim/BallsGoalSim-v0", "--lanes", "2", "--out", str(tmp_path)]
    sizes = ["--steps", "32", "--rollout", "8", "--channels", "4", "--hidden", "8", "--learning-rate", "1e-3"]
    assert main([*learning, *sizes]) == 0
    _, facts = load_tensors(tmp_path / "checkpoint.safetensors", "cpu")
    told = json.loads(facts["learned"])
    assert (told["steps"], told["rollout"], told["channels"], told["learning_rate"]) == (32, 8, 4, 1e-3)
    with pytest.raises(SystemExit):
        main([*learning, "--discount", "2"])
    assert "less than or equal to 1" in capsys.readouterr().err


def test_help_lists_the_commands_at_once() -> None:
    """Help loads neither torch nor pygame nor av: each room is imported when its command runs."""
    script = (
        "import sys\nfrom worldsim.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'pygame', 'av', 'numba', 'pyarrow'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert all(f"• {command} " in output for command in [*COMMANDS, "agent"])
    assert output.splitlines()[-1] == "[]"


def check_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    lines = [line for line in error.splitlines() if line.startswith("worldsim: ")]
    assert len(lines) == 1, error
    assert said in lines[0]
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["eval", "bench"])
def test_unknown_world(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_sentence([command, "atlantis"], "atlantis", capsys)


def test_unknown_world_to_play(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    check_sentence(["play", "atlantis", "--headless", "--out", str(tmp_path / "clip.mp4")], "atlantis", capsys)


def test_unknown_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    check_sentence(["train", "atlantis", "--out", str(tmp_path)], "atlantis", capsys)


def test_unknown_environment(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    check_sentence(["record", "Atlantis-v0", "--frames", "8", "--out", str(tmp_path)], "Atlantis", capsys)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{size", "--env-kwargs is not JSON"), ("[64]", "--env-kwargs must be a JSON object such as")],
)
def test_arguments_of_the_environment_must_be_a_json_object(
    text: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["record", "worldsim/BallsSim-v0", "--frames", "8", "--out", str(tmp_path), "--env-kwargs", text]
    check_sentence(arguments, said, capsys)


def test_minutes_must_be_positive(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    for minutes in ("0", "-3", "nan"):
        arguments = ["train", "balls_quick", "--out", str(out), "--minutes", minutes]
        check_sentence(arguments, "--minutes must be more", capsys)
    assert not out.exists()


def test_arguments_that_a_simulator_does_not_take(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["play", "CartPole-v1", "--simulator", "--headless", "--size", "32", "32"]
    check_sentence(arguments, "CartPole-v1 cannot be made with {'size': (32, 32)}", capsys)


def test_what_goes_wrong_in_a_recording_process(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty_env.py").write_text(
        "import gymnasium as gym, numpy as np\n"
        "class Faulty(gym.Env):\n"
        "    observation_space = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)\n"
        "    action_space = gym.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        return np.zeros((16, 16, 3), np.uint8), {}\n"
        "    def step(self, action):\n"
        "        raise RuntimeError('out of order')\n"
        "gym.register('Faulty-v0', Faulty)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = ["record", "faulty_env:Faulty-v0", "--frames", "8", "--episode-frames", "4", "--out"]
    check_sentence([*arguments, str(tmp_path / "two"), "--workers", "2"], "RuntimeError: out of order", capsys)
    # In this process it is a mistake in the program, or in the environment: where it is must be seen.
    with pytest.raises(RuntimeError, match="out of order"):
        main([*arguments, str(tmp_path / "one"), "--workers", "1"])


@pytest.mark.parametrize("kind", [FloatingPointError, SafetensorError])
def test_errors_of_training_are_a_sentence(
    kind: type[Exception], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise kind("the loss is nan")

    monkeypatch.setattr("worldsim.training.run.train", fail)
    check_sentence(["train", "balls_quick", "--out", str(tmp_path)], "the loss is nan", capsys)


def test_a_disk_that_is_too_small_is_told_with_both_amounts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=3 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    arguments = ["record", "worldsim/BlocksSim-v0", "--frames", "500000", "--out", str(tmp_path / "much")]
    check_sentence(arguments, "GB can be used there", capsys)


def test_record_and_train_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording of an environment with a recipe of one's own in JSON, by the commands alone."""
    data, out = tmp_path / "data", tmp_path / "run"
    options = ["--frames", "64", "--episode-frames", "32", "--workers", "1", "--env-kwargs", '{"size": [32, 32]}']
    assert main(["record", "worldsim/BallsSim-v0", "--out", str(data), *options]) == 0
    mine = tmp_path / "mine.json"
    mine.write_text(load_recipe("balls_quick").model_copy(update={"name": "mine", "starts": 2}).model_dump_json())
    # Long enough for ten steps, after which figures are shown, on a slow machine too.
    assert main(["train", str(mine), "--data", str(data), "--out", str(out), "--minutes", "0.3"]) == 0
    assert re.search(r"dynamics 1 [^\r]*fps=\d+[^\r]*loss=[^\r]*machine=\d+%[^\r]*step=\d+", capsys.readouterr().err)
    env = gym.make("worldsim/World-v0", world=str(out / "world"))
    frame, _ = env.reset(seed=0)
    assert frame.shape == (32, 32, 3)
    check_sentence(
        ["play", "worldsim/BallsSim-v0", "--simulator", "--headless", "--prompt", "snow"], "no prompt", capsys
    )
    check_sentence(["play", "--simulator", "--headless", "--steps", "2"], "a simulator has none", capsys)


def test_wrong_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(["play", "--speed", "3"])
    assert status.value.code == 2
    assert "--speed" in capsys.readouterr().err


def test_debugging_keeps_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_DEBUG", "1")
    with pytest.raises(ValueError, match="frames must be at least 2, got 1"):
        main(["bench", "--frames", "1"])


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_stop_with_130(sent: signal.Signals, tiny_world_dir: Path, tmp_path: Path) -> None:
    # In a process of its own: an interrupt in the middle of an import would leave half a module behind for other tests.
    out = tmp_path / "clip.mp4"
    command = [sys.executable, "-m", "worldsim.cli", "play", str(tiny_world_dir), "--headless", "--frames", "100000"]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests started in the background ignore it
    with subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        while not any(tmp_path.iterdir()) and process.poll() is None:  # until the video has been begun
            time.sleep(0.05)
        process.send_signal(sent)
        try:
            error = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "worldsim: stopped"
    assert "Traceback" not in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_bench_prints_a_table_and_writes_json_unless_the_disk_is_full(
    tiny_world_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "figures" / "bench.json"
    assert main(["bench", str(tiny_world_dir), "--frames", "2", "--device", "cpu", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    table = capsys.readouterr().out
    assert all(row["what"] in table for row in rows)
    rates = [row["frames_per_second"] for row in rows if "frames_per_second" in row]
    assert len(rates) == 10
    assert min(rates) > 0
    assert all(row["p50_ms"] <= row["p99_ms"] for row in rows if "p50_ms" in row)
    products = ["matrix product, float32", "matrix product, bfloat16"]
    assert [row["what"] for row in rows if "gflops" in row and "share" not in row] == products
    check_sentence(
        ["bench", str(tiny_world_dir), "--frames", "2", "--device", "cpu", "--out", "/dev/full"],
        "the disk is full: free some space",
        capsys,
    )


def test_worlds_reads_what_training_saves(
    tiny_world_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worldsim.world.WORLDS", tiny_world_dir.parent)
    assert main(["worlds"]) == 0
    assert re.search(r"^tiny +32x48  20 fps  \d+\.\d MB  random weights, for tests$", capsys.readouterr().out, re.M)


def test_worlds_lists_name_size_rate_and_megabytes(capsys: pytest.CaptureFixture[str]) -> None:
    from worldsim.world import available_worlds

    assert main(["worlds"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "blocks" in available_worlds()
    for name, line in zip(available_worlds(), lines, strict=True):
        assert line.startswith(name)
        assert " fps " in line
        assert " MB " in line
