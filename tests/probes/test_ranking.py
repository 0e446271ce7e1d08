"""Policies that see a mark and a ball, and what their order inside a World says of their order outside."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.envs.balls_goal import BallsGoalSimEnv
from worldsim.probes import ranking
from worldsim.probes.heldout import open_simulator
from worldsim.probes.probe import Lab
from worldsim.world import World


def test_the_seeker_finds_the_mark_by_what_it_sees_and_less_often_by_chance() -> None:
    env = BallsGoalSimEnv()

    def gained(policy: tuple[float, float, float]) -> float:
        total = 0.0
        for seed in range(12):
            frame, _ = env.reset(seed=seed)
            seeker = ranking.Seeker(policy, seed)
            for _ in range(60):
                frame, reward, ended, _, _ = env.step(seeker.act(frame))
                total += reward
                if ended:
                    break
        return total / 12

    best, last = gained(ranking.POLICIES[0]), gained(ranking.POLICIES[-1])
    assert best > 1.2  # 1 for the mark, and the way there
    assert last < best - 0.3


def test_rank_violation_is_the_most_that_is_lost_by_following_a_wrong_order() -> None:
    true = np.array([0.0, 1.0, 3.0])
    assert ranking.rank_violation(true, true) == 0
    assert ranking.rank_violation(np.array([0.0, 2.0, 1.0]), true) == pytest.approx((0 + 2 + 2) / 3)
    assert ranking.rank_violation(np.array([2.0, 1.0, 0.0]), true) == pytest.approx((3 + 2 + 3) / 3)


def test_an_untrained_world_ranks_nothing(goal_balls: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_STEPS", 8)
    with open_simulator(goal_balls.spec) as env:
        outcome = ranking.Ranking().run(Lab(goal_balls, env, starts=6))
    assert outcome.values["World"].shape == outcome.values["untrained"].shape == (1001,)
    assert outcome.values["World"][0] < 0.9
    assert outcome.drawn == 6
    assert "12 policies, 6 starts" in outcome.note
