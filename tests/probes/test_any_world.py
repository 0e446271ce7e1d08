"""Probes of any World, of a simulator in the World's place and of Worlds that know nothing."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from worldsim.probes import any_world
from worldsim.probes.heldout import open_simulator
from worldsim.probes.players import Backwards, Blind, Frozen, Retrieved, has_opposites, opposite
from worldsim.probes.probe import Lab
from worldsim.probes.twin import Simulator, Start, Twin, WorldPlayer
from worldsim.spec import WorldSpec, space_to_json
from worldsim.world import World


@pytest.fixture(scope="module")
def lab(lab_balls: World) -> Iterator[Lab]:
    with open_simulator(lab_balls.spec) as env:
        yield Lab(lab_balls, env, starts=5)


def test_opposite_actions_make_a_contrast_that_the_simulator_has_and_a_frozen_world_has_not(lab: Lab) -> None:
    outcome = any_world.Contrast().run(lab)
    assert outcome.values["simulator"] == pytest.approx(np.ones(5), abs=1e-3)
    assert outcome.values["copy last frame"] == pytest.approx(np.zeros(5))
    assert outcome.values["wrong direction"] == pytest.approx(-outcome.values["World"])
    assert "permutation p" in outcome.note


def test_a_world_is_deterministic_in_every_way(lab: Lab) -> None:
    outcome = any_world.Determinism().run(lab)
    assert outcome.values["World"].all(), outcome.note


def test_the_horizon_is_when_half_of_the_skill_is_lost() -> None:
    seconds = [0.05, 0.1, 0.2]
    copied = np.full(3, 100.0)
    assert any_world._half_skill(np.array([20, 50, 90]), copied, seconds) == 0.2
    assert any_world._half_skill(np.array([20, 30, 40]), copied, seconds) == 0.2  # never
    assert any_world._half_skill(np.array([20, 80, 40]), copied, seconds) == 0.1
    assert any_world._half_skill(np.array([120, 80, 40]), copied, seconds) == 0


def test_errors_grow_from_nothing_for_one_who_shows_the_truth(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(any_world.Horizon, "_marks", (1, 2, 4))
    monkeypatch.setattr(any_world.Horizon, "_far", 1.2)
    monkeypatch.setattr(Frozen, "show", lambda self, actions: truths[-1].simulate(actions)[0])
    truths: list[Twin] = []
    twin_of = lab.twin
    monkeypatch.setattr(lab, "twin", lambda starts: truths.append(twin_of(starts)) or truths[-1])
    outcome = any_world.Horizon().run(lab)
    assert outcome.plot is not None
    lines = outcome.plot.lines
    assert set(lines) == {
        "World", "copy last frame", "no actions", "wrong direction", "nearest recorded", "untrained",
        "World, 4 starts", "copy last frame, 4 starts",
    }  # fmt: skip
    assert lines["World, 4 starts"][0] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.2]
    starts, actions = any_world.wandering(lab, 4, 24)
    truth, shown = (film.astype(np.float32) for film in twin_of(starts).play(actions))
    errors = np.sqrt(((shown - truth) ** 2).mean((2, 3, 4)))[:, [1, 2, 4, 8, 16, 24]]
    np.testing.assert_allclose(lines["World, 4 starts"][1], errors.mean(0), rtol=1e-3)
    assert f"error after 1.2 s, grey levels: World {errors[:, -1].mean():.0f}" in outcome.note
    nothing = [0, 0, 0]  # it showed the truth this time
    assert lines["copy last frame"] == ([0.05, 0.1, 0.2], nothing, nothing, nothing)
    assert min(lines["World"][1]) > 0
    assert outcome.drawn == 5


def test_where_episodes_are_short_there_is_less_to_recall_and_nobody_is_followed_for_minutes(lab: Lab) -> None:
    brief = Lab(lab.world, gym.wrappers.TimeLimit(lab.env, 120), starts=2)
    assert 34 + 16 <= brief.players.recorded.shape[1] <= 68 + 16
    assert len(any_world.Contrast().run(brief).values["World"]) == 2
    lines, note = any_world.Horizon()._long(brief)
    assert not lines
    assert note.startswith("not followed for 300 s: hardly any episode of worldsim/BallsLabSim-v0 lasts")


def test_who_expects_what_happens_is_surprised_by_what_cannot(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    real = any_world._surprise

    def error(world: World, starts: list[Start], film: np.ndarray, actions: np.ndarray, lab: Lab) -> np.ndarray:
        if world is not lab.world:
            return real(world, starts, film, actions, lab)
        seen.append((film, real(lab.players.untrained, starts, film, actions, lab)))
        return np.abs(film.astype(float) - lab.twin(starts).simulate(actions)[0]).mean((1, 2, 3, 4))

    monkeypatch.setattr(any_world, "_surprise", error)
    outcome = any_world.Surprise().run(lab)
    (possible, one), (impossible, other) = seen
    assert np.array_equal(possible[:, 0], impossible[:, 0])
    assert not outcome.values["World"].any()
    assert outcome.values["untrained"].mean() == 0.5
    np.testing.assert_allclose(np.abs(np.log(one / other)), 0, atol=np.log(1.52))  # lanes beside others: about the same
    assert len(possible) == len(outcome.values["copy last frame"]) <= lab.starts


@pytest.mark.parametrize(("impossible", "counted"), [(1.2, "25 and what cannot in 0"), (2.0, "0 and what cannot in 0")])
def test_pairs_that_an_untrained_world_tells_apart_are_not_asked(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, impossible: float, counted: str
) -> None:
    errors = iter([1.0, impossible])
    monkeypatch.setattr(any_world, "_surprise", lambda world, starts, *_: np.full(len(starts), next(errors)))
    with pytest.raises(ValueError, match=f"only 0 fair pairs in 25 starts .* expects what can be in {counted}"):
        any_world.Surprise().run(lab)


def test_who_is_told_nothing_shows_its_film_again_as_long_as_it_is_long_enough(lab: Lab) -> None:
    starts, actions = any_world.wandering(lab, 2, 6)
    asked: list[int] = []

    class Counting(WorldPlayer):
        def show(self, actions: np.ndarray) -> np.ndarray:
            asked.append(len(actions))
            return super().show(actions)

    blind = Blind(Counting(lab.world, starts, lambda frames: None), lab.spec)
    short = blind.show(actions[:2])
    long = blind.show(actions)
    assert np.array_equal(long[:, :3], short)
    long[:] = 0  # whoever asked may write to it
    assert np.array_equal(blind.show(actions[:2]), short)
    assert asked == [2, 6]


def test_understudies_show_what_their_names_say(lab: Lab) -> None:
    starts, actions = any_world.wandering(lab, 2, 6)
    twin = Twin(lab.env, lab.world, starts)
    truth = twin.truth(actions)
    assert np.array_equal(Simulator(twin).show(actions), truth)
    assert np.array_equal(Frozen(starts).show(actions), truth[:, :1].repeat(7, 1))
    undone = Backwards(Simulator(twin), lab.spec).show(actions)
    assert np.array_equal(undone, twin.truth(-actions))
    kept = np.stack([start.frames for start in starts])
    recalled = Retrieved(starts, np.concatenate([kept, truth[:, 1:], truth[:, ::-1]], 1)).show(actions)
    assert np.array_equal(recalled, truth)  # what followed in the recording
    at_the_end = Retrieved(starts, np.concatenate([truth[:, :0:-1], kept], 1)).show(actions)
    assert not np.array_equal(at_the_end[:, 0], kept[:, -1])  # nothing follows there: another moment stands in


def test_opposite_turns_numbers_round_and_exchanges_keys(blocks: World) -> None:
    space = blocks.spec.action_space
    action = space.sample() | {"forward": 1, "back": 0, "left": 0, "right": 1, "camera": np.array((3, -4), np.float32)}
    other = opposite(space, action)
    assert [other[key] for key in ("forward", "back", "left", "right")] == [0, 1, 1, 0]
    assert other["camera"].tolist() == [-3, 4]
    assert other["hotbar"] == action["hotbar"]
    assert space.contains(other)


def test_doing_nothing_is_always_the_same_and_who_cannot_turn_round_is_left_out(blocks: World) -> None:
    with open_simulator(blocks.spec) as env:
        blocks_lab = Lab(blocks, env)
        assert np.array_equal(blocks_lab.idle(3), blocks_lab.idle(3))
    assert has_opposites(blocks.spec)
    one_of_four = space_to_json(spaces.Discrete(4))
    assert not has_opposites(WorldSpec(name="four", size=(64, 64), fps=20, action=one_of_four, context_length=4))


def test_a_twin_says_what_it_is_to_be_played_by(lab: Lab) -> None:
    starts, _ = any_world.wandering(lab, 2)
    with pytest.raises(ValueError, match=r"flat actions \(T, 2\) or \(T, 2, 2\), got \(3, 4\)"):
        Twin(lab.env, lab.world, starts).play(np.zeros((3, 4)))
