"""TableSim-v0: coloured boxes on a table that a pusher slides and tips; physics and picture by MuJoCo.

The package `mujoco` comes with the extra worldsim[robotics]. Drawing takes OpenGL without a screen, by EGL or OSMesa;
unless MUJOCO_GL says which, what is there is taken.
"""

from __future__ import annotations

import ctypes
import os
import sys
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.spec import check_size

_DEBIAN = (
    "Debian, Ubuntu: apt install libegl1 libgl1 libgl1-mesa-dri, and MUJOCO_GL=egl; or apt install libosmesa6, and "
    "MUJOCO_GL=osmesa"
)


def _offscreen() -> str | None:
    """Which of MuJoCo's ways to draw without a screen has its library here; None if none."""
    for way, library in (("egl", "libEGL.so.1"), ("osmesa", "libOSMesa.so.8")):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return way
    return None


def _no_gl(error: Exception) -> str:
    """What to say where nothing can be drawn."""
    said = f"TableSim draws with OpenGL, by what MUJOCO_GL says ({os.environ.get('MUJOCO_GL', 'nothing')}): {error}. "
    if _too_late:
        return said + "mujoco was imported when MUJOCO_GL said nothing: set it, or import worldsim.envs.table before"
    return said + _DEBIAN


# MuJoCo looks at this once, when it is imported; its own choice on Linux needs a screen.
_too_late = False
if sys.platform.startswith("linux") and "MUJOCO_GL" not in os.environ and (_way := _offscreen()):
    _too_late = "mujoco" in sys.modules
    if not _too_late:
        os.environ["MUJOCO_GL"] = _way

try:
    import mujoco
except ModuleNotFoundError as error:
    raise ModuleNotFoundError('TableSim needs mujoco: pip install "worldsim[robotics]"', name=error.name) from error
except (ImportError, AttributeError, OSError) as error:  # PyOpenGL raises any of these where a library is missing
    raise ImportError(_no_gl(error)) from error

# Lengths are in metres: x to the right, y away from the camera, z upwards from the middle of the table.
FPS = 20
SUBSTEPS = 20
REACH = 0.28  # from the middle of the table to each of its borders
BORDER = 0.02  # how wide the border is, and how high
SPEED = 0.3  # of the pusher along an axis at an action of 1, metres a second
RADIUS = 0.022  # of the pusher
GAP = 0.01  # at least that far apart are things after a reset
# What is above the clearance is what the pusher touches: the flat sides of a low box, but a tall one so far up that it
# tips (a box does when it is pushed higher than half its width over the friction). Boxes lie higher than the clearance.
CLEARANCE = 0.045
FRICTION = 0.7
# Half sides and colours. The last one is tall.
BOXES = (
    ("red", (0.036, 0.036, 0.036), (0.86, 0.20, 0.16)),
    ("yellow", (0.052, 0.032, 0.030), (0.95, 0.76, 0.10)),
    ("blue", (0.030, 0.030, 0.065), (0.16, 0.36, 0.86)),
)
DENSITY = 600.0  # kilogrammes a cubic metre
TILT = np.cos(np.radians(30))  # a box tips when its top leans further than this
ELEVATION, DISTANCE, VIEW = 58.0, 1.5, 27.0  # of the camera: degrees, metres, degrees across the shorter side

_SCENE = """
<mujoco model="table">
  <option timestep="{timestep}" integrator="implicitfast" cone="elliptic" impratio="5"/>
  <visual>
    <global offwidth="{width}" offheight="{height}"/>
    <quality offsamples="4"/>
    <headlight ambient="0.5 0.5 0.5" diffuse="0 0 0" specular="0 0 0"/>
    <map znear="0.1" zfar="10"/>
  </visual>
  <statistic extent="1" center="0 0 0"/>
  <default><geom friction="{friction} 0.005 0.0001" solref="0.006 1"/></default>
  <asset><texture type="skybox" builtin="flat" rgb1="0.1 0.11 0.15" rgb2="0.1 0.11 0.15" width="8" height="8"/></asset>
  <worldbody>
    <light directional="true" castshadow="false" dir="0.45 0.3 -0.85" diffuse="0.6 0.6 0.6" specular="0 0 0"/>
    <camera name="view" pos="0 {camera_y} {camera_z}" xyaxes="1 0 0 0 {up_y} {up_z}" fovy="{fovy}"/>
    <geom name="table" type="plane" size="{reach} {reach} 0.1" rgba="0.80 0.78 0.73 1"/>
    {borders}
    <body name="pusher" pos="0 0 {pusher_z}">
      <joint name="right" type="slide" axis="1 0 0" range="-{free} {free}"/>
      <joint name="away" type="slide" axis="0 1 0" range="-{free} {free}"/>
      <geom name="pusher" type="cylinder" size="{radius} 0.04" mass="0.3" rgba="0.13 0.13 0.15 1" contype="2"
            conaffinity="1" friction="0.15 0.005 0.0001" priority="1"/>
    </body>
    {boxes}
  </worldbody>
  <actuator>
    <velocity joint="right" kv="60" forcelimited="true" forcerange="-5 5"/>
    <velocity joint="away" kv="60" forcelimited="true" forcerange="-5 5"/>
  </actuator>
</mujoco>
"""


def _scene(size: tuple[int, int], boxes: int) -> str:
    """The scene in MuJoCo's own XML."""
    height, width = size
    borders, edge = "", REACH + BORDER
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        # What holds is a plane, which nothing gets through however thin it is; what is seen is a bar.
        where = f"{x * (REACH + BORDER / 2)} {y * (REACH + BORDER / 2)} {BORDER / 2}"
        half = f"{BORDER / 2 if x else edge} {BORDER / 2 if y else edge} {BORDER / 2}"
        borders += (
            f'<geom type="plane" pos="{x * REACH} {y * REACH} 0" zaxis="{-x} {-y} 0" size="1 1 0.1" group="4"/>'
            f'<geom type="box" pos="{where}" size="{half}" rgba="0.40 0.32 0.27 1" contype="0" conaffinity="0"/>'
        )
    bodies = ""
    for name, half_sides, colour in BOXES[:boxes]:
        half, rgba = " ".join(map(str, half_sides)), " ".join(map(str, colour))
        bodies += (
            f'<body name="{name}"><freejoint/><geom name="{name}" type="box" size="{half}" density="{DENSITY}" '
            f'rgba="{rgba} 1" conaffinity="3"/></body>'
        )
    across = np.tan(np.radians(VIEW / 2)) * max(1.0, height / width)
    sine, cosine = np.sin(np.radians(ELEVATION)), np.cos(np.radians(ELEVATION))
    return _SCENE.format(
        timestep=1 / FPS / SUBSTEPS,
        width=width,
        height=height,
        friction=FRICTION,
        camera_y=-DISTANCE * cosine,
        camera_z=DISTANCE * sine,
        up_y=sine,
        up_z=cosine,
        fovy=2 * np.degrees(np.arctan(across)),
        reach=REACH,
        borders=borders,
        pusher_z=CLEARANCE + 0.04,
        free=REACH - RADIUS,
        radius=RADIUS,
        boxes=bodies,
    )


class TableSimEnv(gym.Env[np.ndarray, np.ndarray]):
    """Boxes on a table with borders, seen from above at a slant; the action moves a round pusher among them.

    Args:
        size: (height, width) of a frame in pixels, multiples of 16. All of the table is in view whatever the size.
        boxes: how many boxes, 1 to 3: a red and a yellow one that slide, and a tall blue one that tips over.
        render_mode: None or "rgb_array".

    Observation: uint8 (height, width, 3) RGB. Action: float32 (2,) in [-1, 1], the velocity of the pusher to the right
    and away from the camera, in 0.3 metres a second. A step is 1/20 second. Reward is always 0.0 and an episode never
    terminates. `info` holds, float64, in metres from the middle of the table (right, away, up) and in seconds:
    `pusher_position` and `pusher_velocity` (2,), `box_positions` (boxes, 3) of their centres, `box_quaternions`
    (boxes, 4) = (w, x, y, z), `box_velocities` (boxes, 6), linear and then angular in radians; and `contacts` bool
    (boxes,), whether the pusher touches them, and `caption`.

    Raises ValueError for a wrong size, number of boxes, render mode or action, and at the first frame, where OpenGL is
    missing, gymnasium.error.DependencyNotInstalled.

    >>> env = TableSimEnv()
    >>> frame, info = env.reset(seed=0)
    >>> frame, reward, terminated, truncated, info = env.step(np.array([1.0, 0.0], np.float32))
    >>> frame.shape, info["box_positions"].shape
    ((64, 64, 3), (3, 3))
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (gymnasium's own convention)

    def __init__(self, size: tuple[int, int] = (64, 64), boxes: int = 3, render_mode: str | None = None) -> None:
        self.size = check_size(size)
        if not 1 <= boxes <= len(BOXES):
            raise ValueError(f"boxes must be 1 to {len(BOXES)}, got {boxes}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.boxes = int(boxes)
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._model = mujoco.MjModel.from_xml_string(_scene(self.size, self.boxes))
        self._data = mujoco.MjData(self._model)
        self._pusher = self._model.geom("pusher").id
        self._box_geoms = [self._model.geom(name).id for name, _, _ in BOXES[: self.boxes]]
        self._renderer: Any = None
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Stand the boxes and the pusher apart from each other at random places and angles; returns (frame, info).

        ValueError for a prompt: nothing in this world can be chosen by words.
        """
        super().reset(seed=seed)
        if options and options.get("prompt") is not None:
            raise ValueError("TableSim takes no prompt: nothing in it can be chosen by words")
        spots = self._apart([float(np.hypot(*half[:2])) for _, half, _ in BOXES[: self.boxes]] + [RADIUS])
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:2] = spots[-1]
        poses = self._data.qpos[2:].reshape(-1, 7)
        for pose, spot, (_, half, _) in zip(poses, spots[:-1], BOXES[: self.boxes], strict=True):
            yaw = self.np_random.uniform(-np.pi, np.pi)
            pose[:] = (*spot, half[2], np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        self._running = True
        return self._look(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the pusher at the velocity `action`, float32 (2,) in [-1, 1] times 0.3 m/s, for 1/20 second."""
        if not self._running:
            raise gym.error.ResetNeeded("call reset() before step()")
        if not self.action_space.contains(action):
            raise ValueError(
                f"action {action!r} is outside the action space: expected a float32 array of shape (2,) in [-1, 1]"
            )
        self._data.ctrl[:] = SPEED * np.asarray(action, np.float64)
        mujoco.mj_step(self._model, self._data, SUBSTEPS)
        return self._look(), 0.0, False, False, self._info()

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 (height, width, 3), if the render mode is "rgb_array"; otherwise None."""
        return self._draw() if self.render_mode == "rgb_array" and self._running else None

    def close(self) -> None:
        """Free what draws; it comes back when it is needed."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def snapshot(self) -> dict[str, Any]:
        """The whole state, plain arrays and values; any env with as many boxes can restore it, whatever its size.

        What follows a `restore` is the same to the bit; its frames to the pixel, with the same OpenGL.
        """
        if not self._running:
            raise gym.error.ResetNeeded("call reset() before snapshot()")
        kind = int(mujoco.mjtState.mjSTATE_INTEGRATION)
        state = np.empty(mujoco.mj_stateSize(self._model, kind))
        mujoco.mj_getState(self._model, self._data, state, kind)
        return {"boxes": self.boxes, "state": state, "random": deepcopy(self.np_random.bit_generator.state)}

    def restore(self, snapshot: dict[str, Any]) -> np.ndarray:
        """Go back to what `snapshot()` returned; returns the frame there, uint8 (height, width, 3).

        ValueError if it has another number of boxes.
        """
        if snapshot["boxes"] != self.boxes:
            raise ValueError(
                f"the snapshot has {snapshot['boxes']} boxes, but this environment has {self.boxes}; "
                "make it with the same `boxes`"
            )
        kind = int(mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_setState(self._model, self._data, snapshot["state"], kind)
        self.np_random.bit_generator.state = deepcopy(snapshot["random"])
        self._running = True
        return self._look()

    def _apart(self, radii: list[float]) -> list[np.ndarray]:
        """Places on the table for discs of these radii that do not touch each other, (2,) in metres each."""
        placed: list[np.ndarray] = []
        failures = 0
        while len(placed) < len(radii):
            radius = radii[len(placed)]
            spot = self.np_random.uniform(-1, 1, 2) * (REACH - radius - GAP)
            far = [np.hypot(*(spot - other)) > radius + r + GAP for other, r in zip(placed, radii, strict=False)]
            if all(far):
                placed.append(spot)
            else:
                failures += 1
                if failures % 50 == 0:  # the first few may leave no room for the last: begin again
                    placed.clear()
        return placed

    def _look(self) -> np.ndarray:
        # A step leaves places and contacts as they were before its last substep. This updates them and not the forces
        # that the solver starts from in the next step.
        mujoco.mj_fwdPosition(self._model, self._data)
        return self._draw()

    def _draw(self) -> np.ndarray:
        if self._renderer is None:
            # At the first frame, and not before: OpenGL must not be taken along into forked processes.
            try:
                self._renderer = mujoco.Renderer(self._model, *self.size, max_geom=64)
            except Exception as error:  # ImportError, AttributeError, mujoco.FatalError, PyOpenGL's own
                raise gym.error.DependencyNotInstalled(_no_gl(error)) from error
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self._renderer.scene.flags[flag] = False
        self._renderer.update_scene(self._data, camera="view")
        return self._renderer.render()

    def _info(self) -> dict[str, Any]:
        data = self._data
        poses, velocities = data.qpos[2:].reshape(-1, 7), data.qvel[2:].reshape(-1, 6).copy()
        turns = data.geom_xmat[self._box_geoms].reshape(-1, 3, 3)
        velocities[:, 3:] = np.einsum("bij,bj->bi", turns, velocities[:, 3:])  # MuJoCo's are in the frame of the box
        pairs = data.contact.geom
        touched = set(pairs[(pairs == self._pusher).any(1)].ravel().tolist())
        contacts = np.array([geom in touched for geom in self._box_geoms])
        return {
            "pusher_position": data.qpos[:2].copy(),
            "pusher_velocity": data.qvel[:2].copy(),
            "box_positions": poses[:, :3].copy(),
            "box_quaternions": poses[:, 3:].copy(),
            "box_velocities": velocities,
            "contacts": contacts,
            "caption": self._caption(contacts, turns[:, 2, 2]),
        }

    def _caption(self, contacts: np.ndarray, upright: np.ndarray) -> str:
        """What is on the table and what is done to it; `upright` (boxes,) is the cosine of how far each leans."""
        names = [name for name, _, _ in BOXES[: self.boxes]]
        tipped = [" tipped over" if up < TILT else "" for up in upright]
        things = [f"a {name} box{how}" for name, how in zip(names, tipped, strict=True)]
        caption = " and ".join(filter(None, (", ".join(things[:-1]), things[-1]))) + " on a table"
        pushed = [name for name, touched in zip(names, contacts, strict=True) if touched]
        return caption + (f", the {' and the '.join(pushed)} one pushed" if pushed else "")
