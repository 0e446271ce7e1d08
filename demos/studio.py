"""All that the studio does, as one page of clips with the calls that made them: `python demos/studio.py gallery`.

Makes everything with the World blocks_film and writes gallery/index.html. A film of the simulator is what is changed,
continued and cut; all else comes from words. The picture in the README is gallery/films.webp.
"""

import html
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np

import worldsim
from worldsim import studio
from worldsim.agents import make_policy
from worldsim.clip import Clip
from worldsim.studio import Card

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else "gallery")
PROMPTS = (
    "a meadow by day", "a snowy plain at night", "a desert at dusk", "a forest by day, rain",
    "islands by day, water", "a meadow by day, thick fog", "a desert by day, a stone tower", "日落时分，雪地，晴天",
)  # fmt: skip


def filmed(seed: int, frames: int = 64) -> Clip:
    """A film of the simulator."""
    env = gym.make("worldsim/BlocksSim-v0", overlay=False, disable_env_checker=True).unwrapped
    policy = make_policy("filming", env, np.random.default_rng(seed))
    frame, info = env.reset(seed=seed)
    policy.reset(frame, info)
    prompt, seen = env.caption(np.random.default_rng(0), "short"), []
    for _ in range(frames):
        seen.append(np.array(frame))
        frame, _, _, _, info = env.step(policy.act(frame, info))
    return Clip(np.stack(seen), fps=20, prompt=prompt)


world = worldsim.load("blocks_film")
OUT.mkdir(parents=True, exist_ok=True)
real, other = filmed(9_000_019), filmed(9_000_011)
items: list[tuple[str, str, list[Clip]]] = [("films of the simulator, for what follows", "", [real, other])]


def show(title: str, call: str, clips: list[Clip]) -> list[Clip]:
    print(title, flush=True)
    items.append((title, call, clips))
    return clips


told = [studio.generate(world, prompt, seconds=3.2, seed=n)[0] for n, prompt in enumerate(PROMPTS)]
show("words", "studio.generate(world, prompt, seconds=3.2)  # " + "; ".join(PROMPTS), told)
show(
    "variations", 'studio.generate(world, "a snowy plain by day", variations=4)',
    studio.generate(world, "a snowy plain by day", seconds=3.2, variations=4),
)  # fmt: skip
show(
    "a picture that moves", 'studio.generate(world, image=real.frames[0], prompt="...")',
    studio.generate(world, real.prompt, image=real.frames[0], seconds=3.2, variations=2),
)  # fmt: skip
show(
    "a minute", 'studio.generate(world, "a meadow by day", seconds=60)', studio.generate(world, PROMPTS[0], seconds=60)
)
first = Clip(real.frames[:32], fps=20, prompt=real.prompt)
show(
    "longer, at its end", "studio.extend(world, clip, after=1.6)", studio.extend(world, first, after=1.6, variations=2)
)
show(
    "longer, at its beginning: three ways to one end", "studio.extend(world, clip, before=1.6, variations=3)",
    studio.extend(world, first, before=1.6, variations=3),
)  # fmt: skip
show("a loop", "studio.loop(world, clip, seconds=1.2)", studio.loop(world, first, seconds=1.2))
show(
    "one leads to the other",
    "studio.connect(world, one, two, seconds=2)",
    studio.connect(world, real, other, seconds=2),
)
show("one turns into the other", "studio.blend(world, one, two)", studio.blend(world, real, other))
for prompt in ("a snowy plain at night", "a desert at dusk"):
    show(f"restyled: {prompt}", f'studio.remix(world, clip, "{prompt}")', studio.remix(world, real, prompt))
show(
    "cut anew: the middle stays", 'studio.recut(world, clip, keep=(1, 2.2), prompt="...")',
    studio.recut(world, real, keep=(1, 2.2), variations=2),
)  # fmt: skip
show(
    "a storyboard", 'studio.storyboard(world, [Card(0, "a meadow by day"), Card(2, "a meadow at night"), '
    'Card(4, "a desert by day", cut=True)], seconds=6)',
    studio.storyboard(
        world, [Card(0, "a meadow by day"), Card(2, "a meadow at night"), Card(4, "a desert by day", cut=True)],
        seconds=6,
    ),
)  # fmt: skip

page = ["<!doctype html><meta charset=utf-8><title>worldsim: the studio</title>"]
page.append(
    "<style>body{background:#18181c;color:#ddd;font:15px sans-serif;margin:2em}"
    "img{image-rendering:pixelated;margin:2px}</style>"
)
for number, (title, call, clips) in enumerate(items):
    page.append(f"<h2>{html.escape(title)}</h2><pre>{html.escape(call)}</pre>")
    for index, clip in enumerate(clips):
        name = f"{number:02d}-{index}"
        clip.save(OUT / f"{name}.webp", scale=2)
        strip = np.concatenate(list(clip.frames[np.linspace(0, len(clip) - 1, 8).astype(int)]), 1)
        Clip(strip[None], fps=clip.fps).save(OUT / f"{name}-strip.png")
        page.append(f'<div><img src="{name}.webp"> <img src="{name}-strip.png"></div>')
(OUT / "index.html").write_text("\n".join(page), encoding="utf-8")

rows = [np.concatenate([clip.frames for clip in told[row : row + 4]], 2) for row in (0, 4)]
Clip(np.concatenate(rows, 1), fps=20, world=world.spec.name).save(OUT / "films.webp", quality=70)
print(f"written: {OUT / 'index.html'}")
