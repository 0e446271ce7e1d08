"""`worldsim eval` of a World that makes films: its rows, baselines and files, on a World that knows nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

import worldsim
from worldsim.envs.blocks.captions import parse_prompt
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.probes import films
from worldsim.probes.prediction import evaluate
from worldsim.spec import WorldSpec, space_to_json
from worldsim.world import World


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("worlds") / "film"
    spec = WorldSpec(
        name="film", size=(32, 48), fps=20, action=space_to_json(spaces.Discrete(1)), context_length=8, film=True,
        steps=2, simulator="worldsim/BlocksSim-v0", simulator_kwargs={"size": [32, 48], "overlay": False},
    )  # fmt: skip
    tokenizer = TokenizerConfig(
        latent_channels=8, fine_channels=32, fine_layers=1, channels=32, layers=1, head_dim=16, stride=4
    )
    sizes = {"channels": 32, "heads": 2, "layers": 2, "time_every": 2, "text_every": 2, "condition_channels": 32}
    World.random(spec, tokenizer, **sizes, text_channels=64).save(path)
    return path


def test_what_knows_nothing_has_no_better_figures_than_nothing(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films, "_LEARNED", 200)
    report = evaluate(str(untrained), starts=8, out=tmp_path, seed=7_000_000)
    rows = {row["name"]: row for row in report["rows"]}
    kept = rows["what is given"]
    assert kept["mean"] == 1.0
    told = [(name, kind) for name in ("biome", "time", "weather") for kind in ("captions", "other sentences")]
    told += [(name, "captions") for name in ("trees", "water", "structure", "animals")]
    for attribute, kind in told:
        row = rows[f"{attribute} told by {kind}"]
        assert row["mean"] <= row["chance"] + 0.3
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 1
    assert rows["time told by captions"]["ceiling"] >= 0.7, "the readout can tell day from night"
    for name in ("extended", "connected"):
        assert rows[f"{name}: the truth"]["mean"] < rows[f"{name}: the truth"]["chance"]
        assert rows[f"{name}: the seam"]["mean"] > 1.5
    printed = capsys.readouterr().out
    assert printed.startswith("worldsim eval ")
    assert all(row["name"] in printed for row in report["rows"])
    assert json.loads((tmp_path / "films.json").read_text()) == report
    assert (tmp_path / "films.png").stat().st_size > 10_000


@pytest.mark.parametrize("number", range(4))
def test_other_sentences_say_the_same_and_are_no_captions(number: int) -> None:
    scene = {"biome": "snow", "time": "dusk", "weather": "fog"}
    said = films.held_out_phrase(scene, number)
    got, _ = parse_prompt(said)
    assert scene.items() <= got.items(), said
    assert len({films.held_out_phrase(scene, other) for other in range(4)}) == 4


def test_edges_agree_with_themselves_and_not_with_others() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (2, 4, 4, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2) for _ in range(2))
    assert films._edge_agreement(one, one) == pytest.approx(1)
    assert films._edge_agreement(one, one // 3) > 0.95, "darker, and the same"
    assert films._edge_agreement(one, np.roll(other, (3, 3), (1, 2))) < 0.3


def test_a_world_of_another_simulator_is_refused(untrained: Path, tmp_path: Path) -> None:
    world = worldsim.load(untrained, device="cpu", dtype="float32")
    spec = world.spec.model_copy(update={"simulator": "worldsim/BallsSim-v0"})
    other = World(spec, world.tokenizer, world.dynamics, world.starts)
    with pytest.raises(ValueError, match="Worlds of the block world"):
        films.evaluate_films(other, "other", starts=2, out=tmp_path, seed=0)
