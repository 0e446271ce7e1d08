"""`worldsim eval` of a World that makes films of the block world: does it show what the words say, and do cuts hold?

Films of the simulator, of seeds that nothing was trained on, are what it is asked to continue, to precede and to join;
their captions are what it makes films of. Every figure has beside it what one gets for nothing, and what the
simulator's own films get.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from tqdm import tqdm

from worldsim import studio
from worldsim.agents.policies import make_policy
from worldsim.clip import Clip
from worldsim.envs.blocks.blocks import TIMES
from worldsim.probes.contact_sheet import Row, write_sheet
from worldsim.probes.drift import frechet
from worldsim.probes.heldout import open_simulator
from worldsim.probes.intervals import mean_interval, plain, share_interval
from worldsim.probes.places import SIMULATOR
from worldsim.probes.rollouts import psnr
from worldsim.probes.variety import ATTRIBUTES, THINGS, first_frames, readout, things
from worldsim.probes.walking import change, colours, gradient_energy
from worldsim.studio import Options
from worldsim.world import World

_LEARNED = 1000  # first frames that the readout learns from
_COARSE = 8  # pixels across a patch whose mean colour it sees
_VALUES: dict[str, Sequence[Any]] = ATTRIBUTES | dict.fromkeys(THINGS, (False, True))  # of what is read off frames

# Sentences that no caption is made of; the words in them are those of captions.
_PLACES = {"meadow": "meadow", "forest": "forest", "desert": "desert", "snow": "snowy plain", "islands": "islands"}
_PLACES_CHINESE = {"meadow": "草地", "forest": "森林", "desert": "沙漠", "snow": "雪原", "islands": "海岛"}
_TIMES_CHINESE = {"dawn": "清晨", "day": "白天", "dusk": "黄昏", "night": "夜晚"}
_SKIES = {"clear": "clear sky", "rain": "rain", "snowfall": "snowfall", "fog": "fog"}
_SKIES_CHINESE = {"clear": "晴朗", "rain": "下雨", "snowfall": "下雪", "fog": "有雾"}


def held_out_phrase(scene: dict[str, str], number: int) -> str:
    """Biome, time and weather of a scene in a sentence that no caption is of; four numbers have one each."""
    biome, hour, weather = (scene[name] for name in ATTRIBUTES)
    place, sky = _PLACES[biome], _SKIES[weather]
    return (
        f"please show me what this looks like: {place}, {hour}, {sky}",
        f"{sky}! {hour}! and then, as far as one sees, {place}",
        f"I dreamt of {place} last week; {sky}, and it was {hour}",
        f"请拍一部影片：{_TIMES_CHINESE[hour]}，{_PLACES_CHINESE[biome]}，{_SKIES_CHINESE[weather]}",
    )[number % 4]


def evaluate_films(world: World, name: str, *, starts: int, out: Path, seed: int) -> dict[str, Any]:
    """Score a World that makes films, print a table, write films.json and a contact sheet into `out`.

    starts: how many films of each kind; place i is that of seed + i. ValueError for a World of another simulator.
    """
    if world.spec.simulator != SIMULATOR:
        raise ValueError(f"films are measured for Worlds of the block world, and {name} is of {world.spec.simulator}")
    length = world.spec.context_length * world.tokenizer.config.stride
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with open_simulator(world.spec) as env, tqdm(total=7, desc="evaluating", unit=" parts", leave=False) as bar:
        frames, labels, _ = first_frames(env, range(seed + 100_000, seed + 100_000 + _LEARNED), lambda made: None)
        true = [_filmed(env, seed + number, length) for number in range(2 * starts)]
        bar.update()
        told = _told(world, frames, labels, true[:starts], seed)
        bar.update()
        joins = _joins(world, [clip for clip, _ in true[:starts]], seed)
        bar.update()
        remixed = _remixed(world, told["reader"], true[:starts], seed)
        bar.update()
        looks = _looks(told["films"], [clip for clip, _ in true[:starts]], [clip for clip, _ in true[starts:]])
        bar.update()
        varied = _variations(world, true[: min(starts, 8)], seed)
        bar.update()
        began = time.perf_counter()
        (minute,) = studio.generate(world, true[0][0].prompt, seconds=60, seed=seed)
        took = time.perf_counter() - began
        bar.update()
    rows = told["rows"] + joins["rows"] + remixed["rows"] + looks + varied
    rows.append(_row("a film of 60 seconds", "seconds that it takes", [took]))
    command = ["worldsim", "eval", name, "--starts", str(starts), "--seed", str(seed), "--out", str(out)]
    report = plain({"command": shlex.join(command), "steps": world.spec.steps, "rows": rows})
    (out / "films.json").write_text(json.dumps(report, allow_nan=False) + "\n", encoding="utf-8")
    _write_sheet(out / "films.png", true, told, joins, remixed, minute)
    _print(report)
    print(f"\nwritten: {out / 'films.json'}, {out / 'films.png'}")
    return report


def _filmed(env: gym.Env, seed: int, length: int) -> tuple[Clip, dict[str, Any]]:
    """A film of the simulator, as those that were trained on, with its caption, and what is true at its start."""
    simulator: Any = env.unwrapped
    policy = make_policy("filming", env, np.random.default_rng([seed, 0xF11]))
    frame, begun = env.reset(seed=seed)
    policy.reset(frame, begun)
    said, info, frames = simulator.caption(np.random.default_rng(seed), "long"), begun, []
    there = things(env)
    for _ in range(length):
        frames.append(np.array(frame))
        frame, _, _, _, info = env.step(policy.act(frame, info))
    film = Clip(np.stack(frames), fps=int(env.metadata["render_fps"]), prompt=said)
    return film, {key: begun[key] for key in ATTRIBUTES} | there


class _Reader:
    """Linear readouts of biome, time, weather, and whether there are trees, water, a structure and animals, from the
    mean colours of patches; learned from true first frames."""

    def __init__(self, frames: np.ndarray, labels: torch.Tensor) -> None:
        seen = self._features(frames)
        self._mean, self._deviation = seen.mean(0), seen.std(0).clamp_min(1e-6)
        seen = (seen - self._mean) / self._deviation
        self._read = [readout(seen, labels[:, i], len(values)) for i, values in enumerate(_VALUES.values())]

    @staticmethod
    def _features(frames: np.ndarray) -> torch.Tensor:
        patches = torch.from_numpy(frames).double().permute(0, 3, 1, 2) / 255
        coarse = torch.nn.functional.avg_pool2d(patches, _COARSE)
        rows = torch.cat([coarse.mean(3), coarse.std(3)], 1).flatten(1)
        return torch.cat([rows, torch.from_numpy(colours(frames)).sqrt()], 1)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Places in _VALUES, int (n, 7), of frames uint8 (n, H, W, 3)."""
        seen = (self._features(frames) - self._mean) / self._deviation
        return torch.stack([read(seen) for read in self._read], 1).numpy()


def _places(facts: list[dict[str, Any]]) -> np.ndarray:
    return np.array([[values.index(fact[name]) for name, values in _VALUES.items()] for fact in facts])


def _told(
    world: World, frames: np.ndarray, labels: torch.Tensor, true: list[tuple[Clip, dict[str, Any]]], seed: int
) -> dict[str, Any]:
    """Films of captions, and of sentences that no caption is of: what the readout sees in them, and should."""
    reader, facts = _Reader(frames, labels), [fact for _, fact in true]
    wanted = _places(facts)
    texts: dict[str, list[str]] = {
        "captions": [clip.prompt or "" for clip, _ in true],
        "other sentences": [held_out_phrase(fact, number) for number, fact in enumerate(facts)],
    }
    ceiling = reader(np.stack([clip.frames[0] for clip, _ in true])) == wanted
    films = {
        kind: [
            studio.generate(world, text, frames=len(true[0][0]), seed=seed + number)[0].frames
            for number, text in enumerate(said)
        ]
        for kind, said in texts.items()
    }
    rows = []
    for column, attribute in enumerate(_VALUES):
        chance = np.bincount(wanted[:, column]).max() / len(wanted)
        for kind, made in films.items():
            if attribute in THINGS and kind != "captions":  # the other sentences name none
                continue
            right = (reader(np.stack([film[0] for film in made])) == wanted)[:, column]
            best = ceiling[:, column].mean()
            ratio = (right.mean() - chance) / (best - chance) if best > chance else float("nan")
            row = _row(f"{attribute} told by {kind}", "share read right", right, chance=chance, ceiling=best)
            rows.append(row | {"above_chance_by_ceilings": ratio})
    return {"rows": rows, "films": films["captions"], "reader": reader}


def _joins(world: World, true: list[Clip], seed: int) -> dict[str, Any]:
    """Half of a film is given, or both of its ends: what is made beside it, by what is there and by how it joins on."""
    half, third = len(true[0]) // 2, 3 * len(true[0]) // 8
    scores: dict[str, list[float]] = {}
    shown: dict[str, list[np.ndarray]] = {"after": [], "before": [], "between": []}

    def score(name: str, value: float) -> None:
        scores.setdefault(name, []).append(value)

    for number, clip in enumerate(true):
        frames = clip.frames
        how: Options = {"seed": seed + number}
        usual = float(np.median(_steps(frames)))
        first, last = replace(clip, frames=frames[:half]), replace(clip, frames=frames[half:])
        seconds = half / clip.fps
        after = studio.extend(world, first, after=seconds, **how)[0].frames
        before = studio.extend(world, last, before=seconds, **how)[0].frames
        ends = replace(clip, frames=frames[:third]), replace(clip, frames=frames[-third:])
        gap = len(frames) - 2 * third
        between = studio.connect(world, *ends, seconds=gap / clip.fps, **how)[0].frames
        looped = studio.loop(world, first, seconds=1.0, **how)[0].frames
        other = true[(number + 1) % len(true)].frames
        for name, made in (("after", after), ("before", before), ("between", between)):
            shown[name].append(made)
        kept = (after[:half], frames[:half]), (before[half:], frames[half:]), (looped[:half], frames[:half])
        ends_kept = (between[:third], frames[:third]), (between[-third:], frames[-third:])
        score("kept", float(all(np.array_equal(*pair) for pair in (*kept, *ends_kept))))
        score("seam after", _steps(after[half - 1 : half + 1])[0] / usual)
        score("seam before", _steps(before[half - 1 : half + 1])[0] / usual)
        score(
            "seam loop",
            max(_steps(np.stack([looped[-1], looped[0]]))[0], _steps(looped[half - 1 : half + 1])[0]) / usual,
        )
        score("seam between", max(_steps(between[cut - 1 : cut + 1])[0] for cut in (third, third + gap)) / usual)
        score("seam cut", _steps(np.stack([frames[half - 1], other[0]]))[0] / usual)
        near = slice(half, half + 4)
        score("after", _psnr(after[near], frames[near]))
        score("after copied", _psnr(np.repeat(frames[half - 1 : half], 4, 0), frames[near]))
        near = slice(half - 4, half)
        score("before", _psnr(before[near], frames[near]))
        score("before copied", _psnr(np.repeat(frames[half : half + 1], 4, 0), frames[near]))
        middle = slice(third + gap // 2 - 2, third + gap // 2 + 2)
        faded = (frames[third - 1].astype(float) + frames[-third]) / 2
        score("between", _psnr(between[middle], frames[middle]))
        score("between faded", _psnr(np.repeat(faded[None], 4, 0), frames[middle]))
    names = {"after": "extended", "before": "extended backwards", "loop": "looped", "between": "connected"}
    rows = [_row("what is given", "share of films in which it stays bit for bit", scores["kept"], wanted="1")]
    rows += [
        _row(
            f"{label}: the seam", "step there / usual step", scores[f"seam {name}"], chance=np.mean(scores["seam cut"]),
            ceiling=1.0, wanted="at most 1.5",
        )
        for name, label in names.items()
    ]  # fmt: skip
    for name, nothing in (("after", "copied"), ("before", "copied"), ("between", "faded")):
        row = _row(f"{names[name]}: the truth", "PSNR in dB", scores[name], chance=np.mean(scores[f"{name} {nothing}"]))
        rows.append(row)
    return {"rows": rows, "shown": shown}


def _remixed(world: World, reader: _Reader, true: list[tuple[Clip, dict[str, Any]]], seed: int) -> dict[str, Any]:
    """Films of the day are made of the night, and others of the day: what the readout sees, and whether edges stay."""
    asked, made, edges, others = [], [], [], []
    for number, (clip, fact) in enumerate(true):
        target = fact | {"time": "night" if fact["time"] == "day" else "day"}
        prompt = held_out_phrase(target, 0)
        (new,) = studio.remix(world, clip, prompt, seed=seed + number)
        (free,) = studio.generate(world, prompt, frames=1, seed=seed + number)
        asked.append(TIMES.index(target["time"]))
        made.append(new.frames)
        edges.append(_edge_agreement(clip.frames[::8], new.frames[::8]))
        others.append(_edge_agreement(clip.frames[:1], free.frames))
    read = reader(np.stack([film[0] for film in made]))[:, list(ATTRIBUTES).index("time")]
    chance = np.bincount(asked).max() / len(asked)
    rows = [
        _row("restyled: the time of day", "share read right", read == np.array(asked), chance=chance),
        _row("restyled: the layout", "correlation of edges with the source's", edges, chance=np.mean(others)),
    ]
    return {"rows": rows, "films": made}


def _looks(made: list[np.ndarray], true: list[Clip], other: list[Clip]) -> list[dict[str, Any]]:
    """Films from words beside those of the simulator: detail, motion, and how far the one are from the other."""
    films, real, more = np.stack(made), *(np.stack([clip.frames for clip in part]) for part in (true, other))
    detail = gradient_energy(films).mean(1) / gradient_energy(real).mean()
    motion = change(films).mean(1) / change(real).mean()
    far = frechet(_patches(films), _patches(real)) / frechet(_patches(more), _patches(real))
    return [
        _row("from words: detail", "gradient energy / true films'", detail, wanted="0.5 to 2"),
        _row("from words: motion", "change a frame / true films'", motion, wanted="0.5 to 2"),
        _row("from words: distance", "Frechet, of mean colours / two sets of true films", [far]),
    ]


def _variations(world: World, true: list[tuple[Clip, dict[str, Any]]], seed: int) -> list[dict[str, Any]]:
    """How far four films of one caption lie apart, by how far true films of different captions do."""
    firsts = np.stack([clip.frames[0] for clip, _ in true]).astype(float)
    usual = _apart(firsts)
    apart = [
        _apart(
            np.stack(
                [
                    made.frames[0]
                    for made in studio.generate(world, clip.prompt, frames=1, variations=4, seed=seed + 4 * number)
                ]
            ).astype(float)
        )
        / usual
        for number, (clip, _) in enumerate(true)
    ]
    return [_row("variations", "difference / true films of other captions", apart)]


def _apart(frames: np.ndarray) -> float:
    pairs = [np.abs(one - other).mean() for i, one in enumerate(frames) for other in frames[:i]]
    return float(np.mean(pairs))


def _steps(frames: np.ndarray) -> np.ndarray:
    """Mean absolute change from each frame to the next, (T - 1,)."""
    return np.abs(np.diff(frames.astype(np.int16), axis=0)).mean((1, 2, 3))


def _psnr(shown: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean(psnr(np.asarray(shown, np.uint8), target)))


def _edge_agreement(source: np.ndarray, made: np.ndarray) -> float:
    """Correlation of how strong edges are, place by place."""
    one, other = (_edges(frames).ravel() for frames in (source, made))
    return float(np.corrcoef(one, other)[0, 1])


def _edges(frames: np.ndarray) -> np.ndarray:
    grey = torch.from_numpy(frames).float().mean(-1)[:, None]
    across, down = grey.diff(dim=3)[:, :, 1:], grey.diff(dim=2)[..., 1:]
    return torch.nn.functional.avg_pool2d((across.square() + down.square()).sqrt(), 3, 1).numpy()


def _patches(films: np.ndarray) -> np.ndarray:
    """Mean colours of 2 x 2 neighbouring patches of every eighth frame, (films, n, 12)."""
    frames = torch.from_numpy(films[:, ::8].reshape(-1, *films.shape[2:])).double().permute(0, 3, 1, 2)
    coarse = torch.nn.functional.avg_pool2d(frames, _COARSE)
    parts = (coarse[..., :-1, :-1], coarse[..., 1:, :-1], coarse[..., :-1, 1:], coarse[..., 1:, 1:])
    return torch.cat(parts, 1).permute(0, 2, 3, 1).reshape(len(films), -1, 12).numpy()


def _row(name: str, measure: str, values: Any, **more: Any) -> dict[str, Any]:
    """A line of the table; values: one a film, a share if they are bool."""
    values = np.asarray(values)
    interval = share_interval(values) if values.dtype == bool else mean_interval(values)
    return {"name": name, "measure": measure, **interval._asdict(), "values": values.tolist(), **more}


def _print(report: dict[str, Any]) -> None:
    print(report["command"])
    print(f"\n{'':<36}{'measure':<52}{'value [95% interval]':<24}{'for nothing':>12}{'simulator':>11}  wanted")
    for row in report["rows"]:
        value = f"{row['mean']:.2f}"
        if len(row["values"]) > 1:
            value += f" [{row['low']:.2f}, {row['high']:.2f}]"
        beside = "".join(
            f"{'-' if row.get(key) is None else format(row[key], '.2f'):>{width}}"
            for key, width in (("chance", 12), ("ceiling", 11))
        )
        print(f"{row['name']:<36}{row['measure']:<52}{value:<24}{beside}  {row.get('wanted', '')}".rstrip())


def _write_sheet(
    path: Path, true: list[tuple[Clip, dict[str, Any]]], told: dict[str, Any], joins: dict[str, Any],
    remixed: dict[str, Any], minute: Clip,
) -> None:  # fmt: skip
    """Eight frames of each film: true ones, and what is made of their words, halves and ends."""
    columns = np.linspace(0, len(true[0][0]) - 1, 8).astype(int)
    groups: list[list[Row]] = []
    for number, (clip, _) in enumerate(true[: min(6, len(told["films"]))]):
        rows = [("truth", clip.frames), ("its words", told["films"][number]), ("other hour", remixed["films"][number])]
        rows += [(name, films[number]) for name, films in joins["shown"].items()]
        groups.append([(name, frames[columns]) for name, frames in rows])
    groups.append([("a minute", minute.frames[np.linspace(0, len(minute) - 1, 8).astype(int)])])
    write_sheet(path, [f"frame {column}" for column in columns], groups)
