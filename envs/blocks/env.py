"""worldsim/BlocksSim-v0: the ground-truth block world as a Gymnasium environment."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.envs.blocks import animals, physics, spawn, views
from worldsim.envs.blocks.blocks import (
    ANIMALS,
    BIOMES,
    BLOCK_ID,
    BLOCK_NAMES,
    CAMERA_LIMIT,
    HOTBAR,
    KEYS,
    STRUCTURES,
    TIMES,
    WATER,
    WEATHERS,
)
from worldsim.envs.blocks.captions import caption, parse_prompt, short_caption
from worldsim.envs.blocks.render import Rendering, cell_tops, render
from worldsim.envs.blocks.terrain import TERRAINS, generate, terrain_at
from worldsim.spec import check_size

# Share of the picture from which on something counts as in view.
_IN_VIEW = 0.01
# Chances of the weathers (clear, rain, snowfall, fog) in a biome; a prompt may ask for any.
_WEATHER = {"desert": (0.88, 0.0, 0.0, 0.12), "snow": (0.5, 0.0, 0.38, 0.12)}
_MILD = (0.63, 0.25, 0.0, 0.12)
_PROMPT_TRIES = 8


@dataclass
class State:
    """All that a step reads or changes, as plain arrays and values; a snapshot is a deep copy of it."""

    voxels: np.ndarray  # uint8 (128, 48, 128)
    heights: np.ndarray  # int16 (128, 128), the ground as it was made
    biomes: np.ndarray  # uint8 (128, 128)
    built: np.ndarray  # uint8 (128, 128)
    body: np.ndarray  # float64 (physics.BODY,)
    herd: np.ndarray  # float64 (n, animals.ANIMAL)
    stream: np.ndarray  # uint64 (1,), random stream of the animals
    falling: np.ndarray  # int16 (physics.FALLING, 2)
    part: int  # index into TIMES
    time: float  # fraction of the day
    weather: int  # index into WEATHERS
    tick: int
    rng: dict[str, Any]  # state of `np_random`, filled in by `snapshot`

    def copy(self) -> State:
        return State(**{field.name: copy.deepcopy(getattr(self, field.name)) for field in fields(self)})


class BlocksSimEnv(gym.Env[np.ndarray, dict[str, Any]]):
    """A first-person block world, 20 ticks a second, drawn by a ray caster.

    Observation: uint8 (height, width, 3). Action: a Dict of eight binary keys, `hotbar` (the slot held from now on) and
    `camera`, float32 (yaw, pitch) degrees this tick: positive yaw turns right, positive pitch looks down. The reward is
    always 0 and episodes do not terminate. x and z wrap around at 128 blocks.

    size: (height, width), multiples of 16. auto_jump: walking against a ledge of one block steps up by itself.
    overlay: False leaves out crosshair, block in hand and the outline of the targeted block, as films do.
    ValueError on a wrong size or render_mode.

    `reset(options={"prompt": text})` builds a world that fulfils the text, as far as it is understood; its info lists
    what was not understood ("prompt_unknown") and what could not be built ("prompt_unmet"), tuples of str.

    info, after every reset and step: pose float64 (5,) x, y, z in blocks (y up, feet), yaw in [0, 360), pitch in
    [-90, 90]; velocity float64 (3,) blocks a second; on_ground, in_water, blocked (a wall cut the walk) bool;
    target_block name of the block in reach or "", target_distance in blocks or inf; visible_blocks int32 (17,) pixel
    counts by block id; visible_animals int; animal_bearings float64 (8, 2) yaw in degrees relative to the view in
    (-180, 180] and distance of the nearest animals, nan where there are fewer; held, biome, time, weather, caption str.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        size: tuple[int, int] = (80, 128),
        render_mode: str | None = None,
        auto_jump: bool = True,
        overlay: bool = True,
    ) -> None:
        self.size = check_size(size)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.render_mode = render_mode
        self.auto_jump = bool(auto_jump)
        self.overlay = bool(overlay)
        self.observation_space = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        entries: OrderedDict[str, spaces.Space] = OrderedDict((key, spaces.Discrete(2)) for key in KEYS)
        entries["hotbar"] = spaces.Discrete(len(HOTBAR))
        entries["camera"] = spaces.Box(-CAMERA_LIMIT, CAMERA_LIMIT, (2,), np.float32)
        self.action_space = spaces.Dict(entries)
        self._controls = np.zeros(physics.CONTROLS)
        self._state: State | None = None
        self._rendering: Rendering
        self._tops: np.ndarray
        self._blocks: np.ndarray
        self._kinds: np.ndarray
        self._structures: np.ndarray
        self._caption: tuple[Any, str] = (None, "")

    # -- stepping ------------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in a new world; options may hold "prompt" (str).

        ValueError on other options, TypeError if the prompt is not a string.
        """
        options = options or {}
        if unknown := sorted(set(options) - {"prompt"}):
            raise ValueError(f"unknown reset options {unknown}; BlocksSim takes only 'prompt'")
        prompt = options.get("prompt")
        if prompt is not None and not isinstance(prompt, str):
            raise TypeError(f"options['prompt'] must be a string, got {type(prompt).__name__}")
        super().reset(seed=seed)
        if prompt is None:
            self._state = self._make({})
            return self._look().frame, self._info()
        wanted, strange = parse_prompt(prompt)
        unmet = self._fulfil(wanted)
        if strange:
            gym.logger.warn(f"the prompt has words that BlocksSim does not know: {', '.join(strange)}")
        if unmet:
            gym.logger.warn(f"the world does not fulfil all of the prompt: {', '.join(unmet)}")
        return self._rendering.frame, self._info() | {"prompt_unmet": tuple(unmet), "prompt_unknown": tuple(strange)}

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Advance by one tick (1/20 s). ValueError if the action lies outside the action space."""
        state = self._running()
        self._read(action)
        changed = physics.tick(state.voxels, state.body, self._controls, state.herd, state.falling, self.auto_jump)
        animals.tick(state.voxels, state.herd, state.stream, state.body)
        state.tick += 1
        frame = self._look(changed).frame
        return frame, 0.0, False, False, self._info()

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 (H, W, 3), if render_mode is "rgb_array", else None."""
        if self.render_mode is None:
            gym.logger.warn('render() shows nothing: make the environment with render_mode="rgb_array"')
            return None
        self._running()
        return self._rendering.frame.copy()

    # -- state ---------------------------------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """An independent copy of the whole state; `restore` continues from it exact to the pixel."""
        state = self._running()
        state.rng = dict(self.np_random.bit_generator.state)
        return state.copy()

    def restore(self, snapshot: State) -> np.ndarray:
        """Go back to a snapshot, of this or of another BlocksSimEnv; returns the frame there, uint8 (H, W, 3)."""
        self._state = snapshot.copy()
        self.np_random.bit_generator.state = self._state.rng
        return self._look().frame

    def depth_map(self) -> np.ndarray:
        """Distance of each pixel of the present frame in blocks, float32 (H, W), as the renderer measures it."""
        self._running()
        return self._rendering.depth.copy()

    def block_map(self) -> np.ndarray:
        """Block id of each pixel of the present frame, uint8 (H, W): 0 is sky, 255 an animal."""
        self._running()
        return self._rendering.ids.copy()

    def attributes(self) -> dict[str, Any]:
        """What is in view and going on now, in the words that captions and prompts use."""
        return self._describe(self._attribute_key())

    def caption(self, rng: np.random.Generator, style: str = "short", language: str = "en") -> str:
        """A description of the view; style "short" or "long", language "en" or "zh"; `rng` picks the phrasing."""
        return caption(self.attributes(), rng, style, language)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _running(self) -> State:
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() before anything that needs a world")
        return self._state

    def _make(self, wanted: dict[str, Any]) -> State:
        """A new world, all of it drawn from `np_random`, with what is wanted forced."""
        rng = self.np_random
        structure = wanted.get("structure")
        biome = BIOMES.index(wanted["biome"]) if "biome" in wanted else None
        terrain = TERRAINS.index(wanted["terrain"]) if "terrain" in wanted else None
        land = generate(rng, biome=biome, terrain=terrain, structure=structure)
        sites = [site for site in land.sites if site[0] == structure]
        anchor = (0, 0)
        if sites:
            _, x, _, z = sites[int(rng.integers(len(sites)))]
            anchor = (x, z)
        body = spawn.place_player(
            land, rng,
            biome=-1 if biome is None else biome,
            terrain=-1 if terrain is None else terrain,
            water=int(wanted.get("water", -1)),
            trees=int(wanted.get("trees", -1)),
            structure=STRUCTURES.index(structure) if sites else -1,
            anchor=anchor,
        )  # fmt: skip
        herd = spawn.place_herd(land, body, rng, wanted.get("animals"))
        part = int(rng.choice(len(TIMES), p=(0.2, 0.5, 0.2, 0.1)))
        part = TIMES.index(wanted["time"]) if "time" in wanted else part
        jitter = float(rng.uniform(-1, 1))
        time = (0.25 + 0.012 * jitter, 0.5 + 0.15 * jitter, 0.75 + 0.012 * jitter, 0.03 * jitter)[part] % 1.0
        here = BIOMES[land.biomes[int(body[physics.X]), int(body[physics.Z])]]
        weather = int(rng.choice(len(WEATHERS), p=_WEATHER.get(here, _MILD)))
        if wanted:  # a prompt that does not speak of the weather means a clear sky
            weather = WEATHERS.index(wanted.get("weather", "clear"))
        return State(
            voxels=land.voxels, heights=land.heights, biomes=land.biomes, built=land.built, body=body, herd=herd,
            stream=rng.integers(2**63, size=1).astype(np.uint64),
            falling=np.full((physics.FALLING, 2), -1, np.int16),
            part=part, time=time, weather=weather, tick=int(rng.integers(10_000)), rng={},
        )  # fmt: skip

    def _fulfil(self, wanted: dict[str, Any]) -> list[str]:
        """Try worlds until one shows all that is wanted; keep the best and return what it lacks."""
        best: tuple[list[str], State] | None = None
        for _ in range(_PROMPT_TRIES):
            self._state = self._make(wanted)
            self._look()
            lacking = _lacking(wanted, self.attributes())
            if best is None or len(lacking) < len(best[0]):
                best = lacking, self._state
            if not lacking:
                break
        assert best is not None
        self._state = best[1]
        self._look()
        return best[0]

    def _read(self, action: dict[str, Any]) -> None:
        """Check an action by hand (the space's own check is slow) and write it into the control vector."""
        try:
            values = [action[key] for key in (*KEYS, "hotbar")]
            turn, tilt = action["camera"]
            valid = len(action) == len(KEYS) + 2 and -CAMERA_LIMIT <= turn <= CAMERA_LIMIT
            valid = valid and -CAMERA_LIMIT <= tilt <= CAMERA_LIMIT and 0 <= values[-1] < len(HOTBAR)
            valid = valid and all(value == 0 or value == 1 for value in values[:-1]) and int(values[-1]) == values[-1]
        except (TypeError, ValueError, KeyError, IndexError):
            valid = False
        if not valid:
            raise ValueError(
                f"the action is outside the action space: got {action!r}; expected a dict of {', '.join(KEYS)} "
                f"(each 0 or 1), hotbar (0 to {len(HOTBAR) - 1}) and camera (2 numbers from "
                f"-{CAMERA_LIMIT:g} to {CAMERA_LIMIT:g})"
            )
        self._controls[:9] = values
        self._controls[9] = turn
        self._controls[10] = tilt

    def _look(self, changed: bool = True) -> Rendering:
        """Draw the present state and measure what is in view; `changed`: blocks are not where they were last time."""
        state = self._running()
        body = state.body
        if changed:
            self._tops = cell_tops(state.voxels)
        found, x, y, z, distance = views.target_of(state.voxels, body)
        self._target = (BLOCK_NAMES[state.voxels[x, y, z]], float(distance)) if found else ("", float("inf"))
        self._rendering = render(
            state.voxels, views.eye_of(body), body[physics.YAW], body[physics.PITCH], size=self.size, time=state.time,
            weather=state.weather, tick=state.tick, animals=state.herd[:, :5],
            target=(x, y, z) if found and self.overlay else None, held=HOTBAR[int(body[physics.SLOT])],
            swing=float(body[physics.SWING]), overlay=self.overlay, tops=self._tops,
        )  # fmt: skip
        self._blocks, self._kinds, self._structures, self._bearings = views.observe(
            body, state.herd, state.built, self._rendering.ids, self._rendering.depth, self._rendering.animal_index
        )
        return self._rendering

    def _activity(self) -> str:
        body = self._running().body
        if body[physics.DUG] > 0:
            return "digging"
        if body[physics.BUILT] > 0:
            return "building"
        if body[physics.WET] > 0:
            return "swimming"
        if body[physics.GROUND] == 0 and body[physics.CLIMB] < 0 and abs(body[physics.VY]) > 0.2:
            return "jumping" if body[physics.VY] > 0 else "falling"
        if body[physics.MOVING] > 0:
            return "sneaking" if body[physics.SNEAKING] > 0 else "walking"
        return "standing"

    def _attribute_key(self) -> tuple[Any, ...]:
        """Everything a caption depends on, cheap to compare: most ticks change none of it."""
        state = self._running()
        x, z = int(state.body[physics.X]), int(state.body[physics.Z])
        enough = _IN_VIEW * self.size[0] * self.size[1]
        blocks = self._blocks
        structure = int(self._structures.argmax())
        return (
            int(state.biomes[x, z]), state.part, state.weather,
            structure if self._structures[structure] > enough else -1,
            tuple(self._kinds.tolist()),
            bool(blocks[WATER] > enough),
            bool(blocks[BLOCK_ID["leaves"]] > enough),
            int(terrain_at(state.heights, x & ~3, z & ~3)),
            self._activity(),
        )  # fmt: skip

    def _describe(self, key: tuple[Any, ...]) -> dict[str, Any]:
        biome, part, weather, structure, kinds, water, trees, terrain, activity = key
        return {
            "biome": BIOMES[biome],
            "time": TIMES[part],
            "weather": WEATHERS[weather],
            "structure": None if structure < 0 else STRUCTURES[structure],
            "animals": {ANIMALS[n]: count for n, count in enumerate(kinds) if count},
            "water": water,
            "trees": trees,
            "terrain": TERRAINS[terrain],
            "activity": activity,
        }

    def _info(self) -> dict[str, Any]:
        state = self._running()
        body = state.body
        key = self._attribute_key()
        if key != self._caption[0]:
            self._caption = key, short_caption(self._describe(key))
        return {
            "pose": body[:5].copy(),
            "velocity": body[physics.VX : physics.VZ + 1] * 20.0,
            "on_ground": bool(body[physics.GROUND]),
            "in_water": bool(body[physics.WET]),
            "blocked": bool(body[physics.BLOCKED]),
            "target_block": self._target[0],
            "target_distance": self._target[1],
            "visible_blocks": self._blocks,
            "visible_animals": sum(key[4]),
            "animal_bearings": self._bearings,
            "held": BLOCK_NAMES[HOTBAR[int(body[physics.SLOT])]],
            "biome": BIOMES[key[0]],
            "time": TIMES[state.part],
            "weather": WEATHERS[state.weather],
            "caption": self._caption[1],
        }


def _lacking(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """What of the wanted attributes a view does not show, as "water: True" or "sheep: 3"; [] if it shows all."""
    lacking = [f"{key}: {value}" for key, value in wanted.items() if key != "animals" and got[key] != value]
    animals_wanted = wanted.get("animals", {})
    lacking += [f"{kind}: {n}" for kind, n in animals_wanted.items() if got["animals"].get(kind, 0) != n]
    if "animals" in wanted and not animals_wanted and got["animals"]:
        lacking.append("animals: none")
    return lacking
