"""A policy for recording worldsim/CrafterSim-v0: it goes to things of all kinds, uses them, and makes what it can.

Random actions there reach a handful of the 22 achievements, and what is hardly ever seen is not learned. This one reads
the truth in `info`, never the picture. It drinks, eats and sleeps when it has to, and fights what comes near. Between
all that it presses any key for some ticks: a World that saw keys only where they work takes them to work everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Info = dict[str, Any]
Cell = tuple[int, int]  # column and row

# What `info["semantic"]` says of a cell: the materials in the package's order, then the creatures.
_NAMES = (  # noqa: SIM905
    "none water grass stone path sand tree lava coal iron diamond table furnace player cow zombie skeleton arrow plant"
).split()
_MOVES = {"move_left": (-1, 0), "move_right": (1, 0), "move_up": (0, -1), "move_down": (0, 1)}
_WALKABLE = ("grass", "sand", "path")
# What takes what: of the inventory, and what must be beside the player.
_TOOLS: dict[str, tuple[dict[str, int], tuple[str, ...]]] = {
    "make_wood_pickaxe": ({"wood": 1}, ("table",)),
    "make_wood_sword": ({"wood": 1}, ("table",)),
    "make_stone_pickaxe": ({"wood": 1, "stone": 1}, ("table",)),
    "make_stone_sword": ({"wood": 1, "stone": 1}, ("table",)),
    "make_iron_pickaxe": ({"wood": 1, "coal": 1, "iron": 1}, ("table", "furnace")),
    "make_iron_sword": ({"wood": 1, "coal": 1, "iron": 1}, ("table", "furnace")),
}
# Things to go to, the tool that they take, and how often they are chosen.
_THINGS: dict[str, tuple[str | None, float]] = {
    "tree": (None, 3.0),
    "grass": (None, 1.0),
    "water": (None, 1.0),
    "cow": (None, 1.0),
    "zombie": (None, 1.0),
    "skeleton": ("stone_sword", 1.0),
    "stone": ("wood_pickaxe", 2.0),
    "coal": ("wood_pickaxe", 2.0),
    "iron": ("stone_pickaxe", 4.0),
    "diamond": ("iron_pickaxe", 4.0),
    "table": (None, 1.0),
}
_ANYTHING = 0.13  # share of the other ticks after which it presses any one key
_AGAIN = 3  # ticks at most for which it presses that: what works once seldom works twice
_CRAFTS = 0.3  # share of ticks in which something is made or placed that can be
_PATIENCE = 40  # ticks for one thing
_REACH = 18  # cells that it looks ahead


class CrafterExplorer:
    """Goes to one kind of thing after another and uses it; makes tools and places things when it has what they take.

    Args:
        names: The environment's `action_names`, by the place of which actions are numbered.
        rng: Decides what it goes to and when.
    """

    def __init__(self, names: list[str], rng: np.random.Generator) -> None:
        self._number = {name: index for index, name in enumerate(names)}
        self._rng = rng

    def reset(self, obs: np.ndarray, info: Info) -> None:
        """Begin in a new place."""
        self._left, self._wants = 0, "tree"
        self._any, self._any_left = "noop", 0

    def act(self, obs: np.ndarray, info: Info) -> int:
        """The action at this tick."""
        here, facing = (tuple(info[key].tolist()) for key in ("player_pos", "facing"))
        return self._number[self._name(info["semantic"], here, facing, info["inventory"])]

    def _name(self, cells: np.ndarray, here: Cell, facing: Cell, has: dict[str, int]) -> str:
        if not self._any_left and self._rng.random() < _ANYTHING:
            self._any, self._any_left = str(self._rng.choice(list(self._number))), int(self._rng.integers(_AGAIN)) + 1
        if self._any_left:
            self._any_left -= 1
            return self._any
        if self._rng.random() < _CRAFTS and (could := self._could(cells, here, has)):
            return str(self._rng.choice(could))
        self._left -= 1
        if "zombie" in _around(cells, here, 3):
            self._left, self._wants = 2, "zombie"  # it comes anyway
        elif self._left <= 0:
            self._left, self._wants = _PATIENCE, self._choose(has)
        if self._wants == "sleep":
            return "sleep"
        ahead = (here[0] + facing[0], here[1] + facing[1])
        if self._wants == "grass" and _name_at(cells, ahead) == "grass":
            return "do"  # again and again: only one time in ten there is a sapling
        way = _first_step(cells, here, self._wants, digs=has["wood_pickaxe"] > 0)
        if way is None:
            self._left = min(self._left, 8)  # there is none near: wander a little, and think again
            return str(self._rng.choice([*_MOVES, *[move for move in _MOVES if _MOVES[move] == facing] * 12]))
        there = _name_at(cells, (here[0] + way[0], here[1] + way[1]))
        if way == facing and there not in _WALKABLE:
            if there == self._wants and self._rng.random() < 0.3:
                self._left = 0  # used, as soon as that is done
            return "do"
        return next(name for name, move in _MOVES.items() if move == way)

    def _choose(self, has: dict[str, int]) -> str:
        """What to do next: what it needs to live, or anything that it has the tool for."""
        for need, thing in (("drink", "water"), ("food", "cow"), ("energy", "sleep")):
            if has[need] < 4:
                return thing
        if not (has["wood_pickaxe"] and has["wood_sword"]) and self._rng.random() < 0.7:
            return "tree"  # without them there is little to see, and not for long
        things = [name for name, (tool, _) in _THINGS.items() if tool is None or has[tool]]
        chances = np.array([_THINGS[name][1] for name in things])
        return str(self._rng.choice(things, p=chances / chances.sum()))

    def _could(self, cells: np.ndarray, here: Cell, has: dict[str, int]) -> list[str]:
        """What can be made and placed here and now and is not there yet."""
        beside = _around(cells, here, 1)
        could = [
            name
            for name, (takes, needs) in _TOOLS.items()
            if not has[name.removeprefix("make_")]
            and all(has[thing] >= number for thing, number in takes.items())
            and all(thing in beside for thing in needs)
        ]
        in_view = _around(cells, here, 4)
        if has["wood"] >= 4 and "table" not in in_view:
            could.append("place_table")
        if has["stone"] >= 6 and "table" in beside and "furnace" not in in_view:
            could.append("place_furnace")
        if has["sapling"]:
            could.append("place_plant")
        if has["stone"] > 7:
            could.append("place_stone")
        return could


def _name_at(cells: np.ndarray, cell: Cell) -> str:
    inside = 0 <= cell[0] < cells.shape[0] and 0 <= cell[1] < cells.shape[1]
    return _NAMES[cells[cell]] if inside else "none"


def _around(cells: np.ndarray, here: Cell, reach: int) -> set[str]:
    """What there is within so many cells."""
    columns, rows = (slice(max(middle - reach, 0), middle + reach + 1) for middle in here)
    return {_NAMES[number] for number in np.unique(cells[columns, rows])}


def _first_step(cells: np.ndarray, here: Cell, wants: str, digs: bool) -> Cell | None:
    """The direction of the first step on a shortest way to the nearest cell of that kind, None if none is near."""
    reached = np.pad(cells == _NAMES.index(wants), 1)  # a border, so that every cell has four neighbours
    through = np.pad(np.isin(cells, [_NAMES.index(name) for name in (*_WALKABLE, *["stone"] * digs)]), 1)
    for _ in range(_REACH):  # from the things outwards, until that comes to the player
        for step in _MOVES.values():
            if reached[here[0] + 1 + step[0], here[1] + 1 + step[1]]:
                return step
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        reached |= grown & through
    return None
