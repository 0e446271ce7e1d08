"""Probes of any World whose simulator can be restored: contrasts of actions, determinism, horizon, surprise."""

from __future__ import annotations

import copy
import math
import tempfile
from typing import ClassVar, Literal

import numpy as np
import torch

from worldsim.probes.heldout import CONTEXT as LONG_CONTEXT
from worldsim.probes.heldout import wander
from worldsim.probes.intervals import with_draws
from worldsim.probes.players import has_opposites, opposite
from worldsim.probes.plots import Line, Plot, banded
from worldsim.probes.probe import Cases, FilmProbe, Lab, Outcome, Probe, Trial
from worldsim.probes.twin import Start, Twin, begin
from worldsim.world import World, load

_PERMUTATIONS = 2000
_TRIES = 20  # seeds that are tried for each start that is wanted


def wandering(lab: Lab, count: int, steps: int = 0) -> tuple[list[Start], np.ndarray]:
    """Starts in the midst of exploration, and the actions that the explorer takes from there, (steps, count, A).

    ValueError if the simulator's episodes end too soon.
    """
    starts, taken = [], []
    for seed in range(lab.seed, lab.seed + _TRIES * count):
        frames: list[np.ndarray] = []
        actions: list[np.ndarray] = []
        snapshot = None
        for frame, action, _ in wander(lab.env, seed):
            if len(frames) < LONG_CONTEXT:
                frames.append(frame)
                if len(frames) == LONG_CONTEXT:
                    snapshot = lab.env.unwrapped.snapshot()  # type: ignore[attr-defined]
            if len(actions) == LONG_CONTEXT - 1 + steps:
                break
            actions.append(lab.spec.flatten(action))
        else:
            continue  # it ended too soon
        past, future = np.stack(actions[: LONG_CONTEXT - 1]), actions[LONG_CONTEXT - 1 :]
        starts.append(Start(np.stack(frames), past, snapshot, seed))
        taken.append(np.array(future, np.float32).reshape(steps, lab.spec.action_dim))
        if len(starts) == count:
            return starts, np.stack(taken, 1)
    raise ValueError(f"hardly any episode of {lab.spec.simulator} lasts {LONG_CONTEXT + steps} frames from here on")


class Contrast(FilmProbe):
    name = "contrast"
    question = (
        "From one start, with the same noise, a random action held for 4 steps or its opposite: the cosine between the "
        "difference that this makes in the simulator and in the World."
    )
    unit = "cosine"
    acts = True
    chance = 0.0
    _ticks = 4  # or a camera would show what nobody has seen

    def trials(self, lab: Lab) -> list[Trial]:
        """At starts of exploration: a random action, and the opposite, or another where there is none."""
        space = copy.deepcopy(lab.spec.action_space)
        space.seed(lab.seed)
        turned = has_opposites(lab.spec)
        found = []
        for start in wandering(lab, lab.starts)[0]:
            action = space.sample()
            other = opposite(space, action) if turned else space.sample()
            pair = np.stack([lab.spec.flatten(action), lab.spec.flatten(other)])
            found.append(Trial(start, np.repeat(pair[:, None], self._ticks, 1)))
        return found

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        raise NotImplementedError  # `trials` makes them all at once

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        return np.diag(_cosines(_contrasts(frames), _contrasts(cases.truth)))

    def note(self, shown: np.ndarray, cases: Cases) -> str:
        """Whether the contrasts fit their own starts better than those of others."""
        cosines = np.nan_to_num(_cosines(_contrasts(shown), _contrasts(cases.truth)))
        rng, rows = np.random.default_rng(0), np.arange(len(cosines))
        mixed = [cosines[rows, rng.permutation(rows)].mean() for _ in range(_PERMUTATIONS)]
        as_good = (np.sum(np.array(mixed) >= np.diag(cosines).mean()) + 1) / (_PERMUTATIONS + 1)
        return f"against contrasts of other starts: permutation p = {as_good:.4f}"

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.8, 1


def _contrasts(frames: np.ndarray) -> np.ndarray:
    """The last frame by the first script less that by the second, as vectors (trials, pixels)."""
    one, other = (frames[:, script, -1].astype(np.float32) / 255 for script in (0, 1))
    return (one - other).reshape(len(frames), -1)


def _cosines(shown: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Between all pairs, (trials, trials); 0 where nothing differs in what is shown, nan where nothing truly does."""
    lengths = np.linalg.norm(shown, axis=1)[:, None] * np.linalg.norm(true, axis=1)
    cosines = shown @ true.T / np.maximum(lengths, 1e-9)
    return np.where(np.linalg.norm(true, axis=1) > 1e-3, cosines, np.nan)


class Determinism(Probe):
    name = "determinism"
    question = (
        "The same start, seed and actions for 20 steps: the share of starts whose frames are the same to the bit when "
        "repeated, from the files anew, alone and beside seven others, and after snapshot and restore."
    )
    _starts, _ticks = 8, 20

    def run(self, lab: Lab) -> Outcome:
        starts, actions = wandering(lab, self._starts, self._ticks)
        twin = lab.twin(starts)
        first = twin.shown(actions)
        with tempfile.TemporaryDirectory() as folder:
            lab.world.save(folder, dtype=lab.world.dtype)
            again = load(folder, device=str(lab.world.device), dtype=lab.world.dtype)
        others = {
            "repeated": twin.shown(actions),
            "loaded anew": Twin(lab.env, again, starts).shown(actions),
            "alone": np.concatenate([lab.twin([s]).shown(actions[:, [i]]) for i, s in enumerate(starts)]),
            "restored half way": self._restored(lab, starts, actions),
        }
        same = [(first == other).all((1, 2, 3, 4)) for other in others.values()]
        note = ", ".join(f"{name} {int(one.sum())}/{len(one)}" for name, one in zip(others, same, strict=True))
        spread = lab.twin([Start(s.frames, s.actions, s.snapshot, s.seed + 10_000) for s in starts]).shown(actions)
        apart = float(np.abs(spread.astype(np.float32) - first).mean())
        return Outcome({"World": np.all(same, 0)}, note=f"{note}; other seeds differ by {apart:.2f} of 255 on average")

    def _restored(self, lab: Lab, starts: list[Start], actions: np.ndarray) -> np.ndarray:
        run = begin(lab.world, starts)
        frames, half = [run.frames.cpu().numpy()], self._ticks // 2
        frames += [run.step(flat).frames.cpu().numpy() for flat in actions[:half]]
        kept = run.snapshot()
        for flat in actions[half:]:
            run.step(flat)
        run.restore(kept)
        frames += [run.step(flat).frames.cpu().numpy() for flat in actions[half:]]
        return np.stack(frames, 1)

    def line(self, simulator: float) -> tuple[float, float]:
        return 1, 1


class Horizon(Probe):
    name = "horizon"
    question = (
        "By the explorer's actions for 256 steps: the error against time, and the time until half of the first step's "
        "skill (1 - squared error / that of the last frame of the context) is lost. Four starts are followed for five "
        "minutes, if episodes last as long."
    )
    unit = "s"
    _marks = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    _starts = 32
    _far, _followed = 300, 4  # seconds, and the starts that are followed as long

    def run(self, lab: Lab) -> Outcome:
        starts, actions = wandering(lab, min(self._starts, lab.starts), self._marks[-1])
        twin = lab.twin(starts)
        marks = list(self._marks)
        truth = twin.truth(actions)[:, marks].astype(np.float32)
        errors = {}
        for name, player in ({"World": twin.player} | lab.players.beside(twin, acts=True)).items():
            apart = player.show(actions)[:, marks] - truth
            errors[name] = (apart**2).mean((2, 3, 4))  # (starts, marks)
        copied = errors["copy last frame"]
        seconds = [mark / lab.spec.fps for mark in marks]
        # A root for each start: the error of all together is that of the worst.
        lines = {name: banded(seconds, np.sqrt(wrong)) for name, wrong in errors.items()}
        far, note = self._long(lab)
        draws = with_draws(len(starts))  # one start alone has no skill to speak of
        values = {
            name: np.array([_half_skill(wrong[some].mean(0), copied[some].mean(0), seconds) for some in draws])
            for name, wrong in errors.items()
            if name != "copy last frame"
        }
        plot = Plot("seconds", "error, grey levels of 255", lines | far, logarithmic=True)
        return Outcome(values, plot=plot, note=note, drawn=len(starts))

    def _long(self, lab: Lab) -> tuple[dict[str, Line], str]:
        """Curves of a few starts that are followed much longer, beside no baseline that is stepped, and what to say."""
        steps = round(self._far * lab.spec.fps)
        marks = [*(2**power for power in range(math.ceil(math.log2(steps)))), steps]
        try:
            starts, actions = wandering(lab, self._followed, steps)
        except ValueError as error:
            return {}, f"not followed for {self._far} s: {error}"
        places = {mark: place for place, mark in enumerate(marks)}
        true = np.zeros((len(starts), len(marks), *starts[0].frames.shape[1:]), np.float32)
        for number, start in enumerate(starts):
            lab.env.unwrapped.restore(start.snapshot)  # type: ignore[attr-defined]
            for step, flat in enumerate(actions[:, number], 1):
                frame = lab.env.step(lab.spec.unflatten(flat))[0]
                if step in places:  # all frames of five minutes would fill the memory
                    true[number, places[step]] = frame
        run, shown = begin(lab.world, starts), []
        for step, flat in enumerate(actions, 1):
            frames = run.step(flat).frames
            lab.tick(run.lanes)
            if step in places:
                shown.append(frames.cpu().numpy())
        last = np.stack([start.frames[-1] for start in starts])[:, None]
        films = {"World": np.stack(shown, 1), "copy last frame": last}
        seconds = [mark / lab.spec.fps for mark in marks]
        roots = {name: np.sqrt(((film - true) ** 2).mean((2, 3, 4))) for name, film in films.items()}
        ends = ", ".join(f"{name} {root[:, -1].mean():.0f}" for name, root in roots.items())
        lines = {f"{name}, {len(starts)} starts": banded(seconds, root) for name, root in roots.items()}
        return lines, f"error after {self._far} s, grey levels: {ends} ({len(starts)} starts)"

    def line(self, simulator: float) -> tuple[float, float]:
        return -np.inf, np.inf


def _half_skill(error: np.ndarray, copied: np.ndarray, seconds: list[float]) -> float:
    """Seconds until the skill is half of that of the first mark; 0 without any, the last mark if it never is."""
    skill = 1 - error / np.maximum(copied, 1e-9)
    if skill[0] <= 0:
        return 0.0
    below = np.flatnonzero(skill < skill[0] / 2)
    return seconds[int(below[0])] if len(below) else seconds[-1]


class Surprise(Probe):
    name = "surprise"
    question = (
        "Shown what can be and what cannot (from some moment on the frames run backwards), in pairs of which an "
        "untrained World expects as often the one as the other, by at most 1.5 times the error: the share in which the "
        "World's error of the next frame's latents is not smaller for what can be."
    )
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    chance = 0.5
    _ticks = 8
    _most = 1.5  # times as much may an untrained World err of one of a pair as of the other
    _tried = 5  # so many starts for each that is wanted: of most pairs an untrained World expects what can be
    _fewest = 10  # pairs: of fewer a share says nothing

    def run(self, lab: Lab) -> Outcome:
        starts, actions = wandering(lab, self._tried * lab.starts, self._ticks)
        truth = lab.twin(starts).truth(actions)
        backwards = np.stack([start.frames[::-1][: self._ticks + 1] for start in starts])
        change = np.abs(np.diff(backwards.astype(np.float32), axis=1)).mean((2, 3, 4))
        moving = np.flatnonzero(change.min(1) > 0.05)  # what rests runs backwards too
        if not len(moving):
            raise ValueError(f"nothing moves in {len(starts)} starts: ask for more")

        def errors(world: World, rows: np.ndarray) -> list[np.ndarray]:
            some = [starts[row] for row in rows]
            return [_surprise(world, some, film[rows], actions[:, rows], lab) for film in (truth, backwards)]

        # It expects that what is seen to move goes on: in some simulators enough to tell most pairs apart.
        one, other = errors(lab.players.untrained, moving)
        ratio = np.log(one.clip(1e-9) / other.clip(1e-9))
        alike = np.abs(ratio) < np.log(self._most)
        more, less = np.flatnonzero(alike & (ratio >= 0)), np.flatnonzero(alike & (ratio < 0))
        wanted = max(lab.starts // 2, 1)
        half = min(len(more), len(less), wanted)
        if half < min(self._fewest // 2, wanted):
            raise ValueError(
                f"only {2 * half} fair pairs in {len(starts)} starts ({len(moving)} where something moves): by little, "
                f"an untrained World expects what can be in {len(less)} and what cannot in {len(more)}; ask for more"
            )
        fair = np.sort(np.concatenate([more[:half], less[:half]]))
        rows = moving[fair]
        possible, impossible = errors(lab.world, rows)
        changes = [_change(lab.world, film[rows]) for film in (truth, backwards)]
        values = {
            "World": possible >= impossible,
            "copy last frame": changes[0] >= changes[1],
            "untrained": ratio[fair] >= 0,
        }
        return Outcome(values, note=f"{len(fair)} pairs, from {len(starts)} starts")

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 0.19  # of 100 pairs: fewer than one in five


@torch.inference_mode()
def _surprise(world: World, starts: list[Start], film: np.ndarray, actions: np.ndarray, lab: Lab) -> np.ndarray:
    """Mean squared error of the next frame's latents along films (starts, T + 1, H, W, 3) that are shown: (starts,)."""
    run = begin(world, starts)
    total = np.zeros(len(starts))
    for step, flat in enumerate(actions, 1):
        predicted = run.step(flat).latents.float()
        run.set_frames(film[:, step])
        total += (predicted - run.latents.float()).square().mean((1, 2, 3)).cpu().numpy()
        lab.tick(len(starts))
    return total


@torch.inference_mode()
def _change(world: World, film: np.ndarray) -> np.ndarray:
    """The same of one who expects no change."""
    latents = torch.stack([world.tokenizer.encode(torch.from_numpy(f).to(world.device)).float() for f in film])
    return (latents[:, 1:] - latents[:, :-1]).square().mean((1, 2, 3, 4)).cpu().numpy()


PROBES = (Contrast, Determinism, Horizon, Surprise)
