"""A planner: in every step it tries out futures inside a World, and takes the first action of the best.

The cross-entropy method (Rubinstein 1999; for planning in learned models as in PETS, arXiv 1805.12114), over the same
categoricals that the World's policy head has, so that it plans in any action space.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.world import World

_KEPT = 0.2  # of the probabilities of the round before
_FLOOR = 1e-3  # no choice becomes impossible


class Planner:
    """A policy (`worldsim.agents.Policy`) of the environment that `world` was learned from, or of the World itself.

    horizon: steps that it looks ahead; candidates: futures that are tried at once, as lanes; elite: how many of them
    the next round draws from; rounds: how often. What is gained counts `discount` less a step later.
    """

    def __init__(
        self, world: World, rng: np.random.Generator, *, horizon: int = 12, candidates: int = 64, elite: int = 8,
        rounds: int = 3, discount: float = 0.97,
    ) -> None:  # fmt: skip
        if not 1 <= elite <= candidates or horizon < 1 or rounds < 1:
            raise ValueError(
                "a planner needs a horizon and rounds of at least 1, and 1 to `candidates` elite futures; got "
                f"horizon {horizon}, rounds {rounds}, elite {elite} of {candidates}"
            )
        self.world, self.rng = world, rng
        self.horizon, self.candidates, self.elite, self.rounds = horizon, candidates, elite, rounds
        self.discount = discount
        self._frames: list[np.ndarray] = []
        self._actions: list[np.ndarray] = []
        self._plan: Tensor | None = None  # (horizon, logits): the probabilities of the plan in hand

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """An episode begins: nothing is known of it but its first frame."""
        self._frames, self._actions, self._plan = [], [], None

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> Any:
        """The first action of the best future that was found, an element of the action space."""
        spec = self.world.spec
        seen = spec.context_length + 1
        self._frames = [*self._frames, np.array(obs)][-seen:]
        actions = np.array(self._actions[len(self._actions) - len(self._frames) + 1 :], np.float32)
        now = self.world.start(
            1, int(self.rng.integers(2**31)), context=np.stack(self._frames),
            actions=actions.reshape(-1, spec.action_dim),
        )  # fmt: skip
        plan = self._begin()
        best, most = torch.zeros(spec.action_dim), -torch.inf
        for _ in range(self.rounds):
            uniform = self.rng.random((self.candidates, self.horizon, spec.action_dim), np.float32)
            tried = spec.layout.sample(plan.log().expand(self.candidates, -1, -1), torch.from_numpy(uniform))
            gained = self._gained(now.branch(self.candidates), tried)
            order = gained.argsort(descending=True)
            if gained[order[0]] > most:
                best, most = tried[order[0], 0], float(gained[order[0]])
            chosen = spec.layout.chosen(spec.layout.scale(tried[order[: self.elite]])).mean(0)
            plan = (_KEPT * plan + (1 - _KEPT) * chosen).clamp_min(_FLOOR)
        self._plan = plan
        self._actions = [*self._actions, best.numpy()][-seen:]
        return spec.unflatten(best.numpy())

    def _begin(self) -> Tensor:
        """The plan of the step before, a step later, or all that can be done, equally likely: (horizon, logits)."""
        layout = self.world.spec.layout
        anything = layout.probabilities(torch.zeros(1, layout.logits))
        return anything.repeat(self.horizon, 1) if self._plan is None else torch.cat([self._plan[1:], anything])

    def _gained(self, run: Any, plans: Tensor) -> Tensor:
        """What each lane gains by its plan (lanes, horizon, A): float32 (lanes,)."""
        gained, going = torch.zeros(len(plans)), torch.ones(len(plans))
        for step in range(plans.shape[1]):
            result = run.step(plans[:, step])
            gained += going * self.discount**step * result.rewards.cpu()
            going *= (~result.ends).float().cpu()
        return gained
