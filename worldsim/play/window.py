"""The pygame window: shows a Player's frames at a steady rate, turns keys and mouse into actions, draws the HUD.

Imported only by who opens a window. One tick is: read the input, step, draw, flip.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from statistics import median

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import numpy as np
import pygame

from worldsim.play.keymap import Keymap
from worldsim.play.player import Clock, Player

WINDOW = (1024, 640)  # width and height to fill at most, in pixels, by enlarging frames a whole number of times
HINT_SECONDS = 8.0
TOAST_SECONDS = 3.0
BUTTONS = {1: "mouse left", 2: "mouse middle", 3: "mouse right"}
MORE_STEPS, FEWER_STEPS = ("+", "=", "[+]", "keypad +"), ("-", "[-]", "keypad -")
WHITE, YELLOW, RED, SHADE = (240, 240, 240), (255, 214, 90), (235, 60, 50), (0, 0, 0, 170)
HELP_STEPS = ("+ -", "denoising steps a frame (K)")
HELP = [
    ("Backspace", "hold to go back in time, up to 10 seconds"),
    ("O or Pause", "pause"),
    (".", "one step while paused"),
    ("R", "start anew somewhere else"),
    ("T", 'say what is to happen: "at night, in snow"'),
    ("G", "let it play by itself, until a key is pressed"),
    ("P", "save a picture"),
    ("V", "start or stop a video"),
    ("F3", "figures"),
    ("F11", "full screen"),
    ("Esc", "free the mouse, then quit"),
    ("H", "this help"),
]


# Keys that do not take over from a session that plays by itself.
COMMANDS = ("f3", "f11", "h", "p", "v", "t", "o", "pause", ".", "backspace", "r", *MORE_STEPS, *FEWER_STEPS)


class NoDisplayError(RuntimeError):
    """There is no screen to open a window on."""


class Window:
    """A window that plays a Player: `play` is the whole loop; `poll`, `tick` and `draw` are its parts.

    Raises NoDisplayError where no window can be opened.
    """

    def __init__(self, title: str = "worldsim") -> None:
        wanted = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
        displays = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if sys.platform.startswith("linux") and not wanted and not displays:
            raise NoDisplayError("neither DISPLAY nor WAYLAND_DISPLAY is set")
        try:
            pygame.display.init()
            pygame.display.set_caption(title)
            pygame.display.set_mode(self._largest(), pygame.RESIZABLE)
        except pygame.error as error:
            raise NoDisplayError(str(error)) from error
        pygame.font.init()
        self._small, self._large = pygame.font.Font(None, 22), pygame.font.Font(None, 30)
        self._held: set[str] = set()
        self._pressed: set[str] = set()  # since the last tick: a key may go down and up between two ticks
        self._arrivals: list[float] = []  # of key presses that no frame shows yet, seconds
        self._latencies: deque[float] = deque(maxlen=50)  # key to frame, seconds
        self._flips: deque[float] = deque(maxlen=40)
        self._polled = time.perf_counter()
        self._toast, self._toast_until = "", 0.0
        self._windowed = WINDOW
        self.open = True
        self._grab_again = False  # the mouse was grabbed when the window lost the focus
        self.paused = self.show_figures = self.show_help = self.grabbed = self.fullscreen = False
        self.autoplay = False  # the session's own policy is at the controls
        self._typed: str | None = None  # what is being typed after T; the game waits

    def message(self, text: str) -> None:
        """Fill the window with one line of text; used while there is no frame yet."""
        screen = self._screen()
        screen.fill((18, 20, 26))
        line = self._large.render(text, True, WHITE)
        screen.blit(line, line.get_rect(center=screen.get_rect().center))
        pygame.display.flip()
        pygame.event.pump()

    def attach(self, player: Player, keymap: Keymap) -> None:
        """Make the window fit the player's frames and give it the controls."""
        self.player, self.keymap = player, keymap
        height, width = player.frame.shape[:2]
        most = self._largest()
        scale = max(1, min(most[0] // width, most[1] // height))
        self._windowed = width * scale, height * scale
        if pygame.display.get_window_size() != self._windowed:
            pygame.display.set_mode(self._windowed, pygame.RESIZABLE)
        self._grab(keymap.look is not None)
        self.open = not pygame.event.peek(pygame.QUIT)
        pygame.event.clear()  # keys that were hit while it loaded
        self._polled = time.perf_counter()
        self._clock = Clock(player.session.fps)
        how = "WASD to walk, mouse to look, H for help" if keymap.look else "H shows the keys"
        self._say("the mouse says where to go, H for help" if keymap.points else how, HINT_SECONDS)
        self.draw()
        if keymap.points and pygame.mouse.get_focused():
            self._point(pygame.mouse.get_pos())

    def play(self, player: Player, keymap: Keymap) -> None:
        """Play until the window is closed."""
        self.attach(player, keymap)
        while self.open:
            # Events are read as they come, so that their times are true; the step waits for its turn.
            self.poll(self._clock.remaining())
            if self.open and not self._clock.remaining():
                self._clock.tick()
                self.tick()

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()

    def poll(self, wait: float = 0.0) -> None:
        """Handle the events there are; if there are none, wait for one, at most `wait` seconds."""
        events = pygame.event.get()
        # pygame does not say when an event happened: some time since the last look, so half of that is the fair guess.
        arrival = (self._polled + time.perf_counter()) / 2
        if not events and wait >= 0.001:
            event = pygame.event.wait(int(wait * 1000))
            events = [] if event.type == pygame.NOEVENT else [event]
            arrival = time.perf_counter()
        elif not events:
            time.sleep(wait)
        for event in events:
            if event.type in (pygame.KEYDOWN, pygame.MOUSEBUTTONDOWN):
                self._arrivals.append(arrival)
            self._handle(event)
        self._polled = time.perf_counter()

    def tick(self) -> None:
        """Make one tick with the keys that are held, or were pressed since the last one, and show its frame."""
        keys = self._held | self._pressed
        one_step = "." in self._pressed  # however long it is held
        self._pressed.clear()
        if "backspace" in keys:
            self.player.back()
        elif self._typed is None and (not self.paused or one_step):
            own = self.autoplay and not self.player.session.ended
            if own:
                self.player.resume()  # what it would do is asked of the frame that is shown
            self.player.tick(self.player.session.policy_action() if own else self.keymap.action(keys))
            if self.player.session.ended:
                self._say("the episode is over: a new start follows")
        self.draw()
        flipped = time.perf_counter()
        self._flips.append(flipped)
        self._latencies.extend(flipped - arrival for arrival in self._arrivals)
        self._arrivals.clear()

    def figures(self) -> list[str]:
        """The lines of the HUD: rate, latency, denoising steps, ticks, seed."""
        session = self.player.session
        span = self._flips[-1] - self._flips[0] if len(self._flips) > 1 else 0.0
        rate = f"{(len(self._flips) - 1) / span:.1f}" if span else "-"
        latency = f"{1000 * median(self._latencies):.0f} ms (median)" if self._latencies else "-"
        steps = "" if session.steps is None else f"   K {session.steps}"
        return [
            session.name,
            f"{rate} frames/s of {session.fps}",
            f"key to frame {latency}",
            f"step {self.player.ticks}   seed {session.seed}{steps}",
        ]

    def draw(self) -> None:
        """Draw the player's frame and what lies over it, and flip."""
        frame = np.ascontiguousarray(self.player.frame)
        height, width = frame.shape[:2]
        screen = self._screen()
        across, down = screen.get_size()
        picture = pygame.image.frombuffer(frame.tobytes(), (width, height), "RGB")
        scale = min(across // width, down // height)
        # Whole multiples keep pixels square and equal; a window smaller than the frame is all that needs shrinking.
        factor = scale or min(across / width, down / height)
        size = max(1, int(width * factor)), max(1, int(height * factor))
        picture = pygame.transform.scale(picture, size)
        screen.fill((0, 0, 0))
        self._picture = screen.blit(picture, ((across - size[0]) // 2, (down - size[1]) // 2))
        self._draw_overlay(across, down)
        pygame.display.flip()

    def _draw_overlay(self, across: int, down: int) -> None:
        if self.show_figures:
            self._box([(line, WHITE) for line in self.figures()], (10, 10))
        state = []
        if (seconds := self.player.recording_seconds) is not None:
            state.append((f"REC {int(seconds) // 60:02}:{int(seconds) % 60:02}", RED))
        if self.player.rewinding:
            state.append(("<< rewind", YELLOW))
        elif self.paused:
            state.append(("paused   O: go on   . : one step", YELLOW))
        if state:
            self._box(state, (across - 10, 10), anchor="topright")
        if self._typed is not None:
            line = [(f"what is to happen?  {self._typed}_", YELLOW), ("Enter says it, Esc drops it", WHITE)]
            self._box(line, (across // 2, down - 12), anchor="midbottom")
        elif time.perf_counter() < self._toast_until:
            self._box([(self._toast, WHITE)], (across // 2, down - 12), anchor="midbottom")
        if self.show_help:
            denoising = [] if self.player.session.steps is None else [HELP_STEPS]
            lines = [*self.keymap.help, *denoising, *HELP]
            widest = max(self._small.size(keys)[0] for keys, _ in lines)
            self._box([(what, WHITE) for _, what in lines], (across // 2, down // 2), "center", lines, widest + 24)

    def _box(
        self,
        lines: list[tuple[str, tuple[int, int, int]]],
        at: tuple[int, int],
        anchor: str = "topleft",
        keys: list[tuple[str, str]] | None = None,
        indent: int = 0,
    ) -> None:
        """Text on a dark ground; `keys` adds a yellow column on the left."""
        rendered = [self._small.render(text, True, colour) for text, colour in lines]
        pitch = self._small.get_linesize() + 2
        size = indent + max(line.get_width() for line in rendered) + 16, pitch * len(rendered) + 12
        ground = pygame.Surface(size, pygame.SRCALPHA)
        ground.fill(SHADE)
        for row, line in enumerate(rendered):
            ground.blit(line, (8 + indent, 7 + row * pitch))
            if keys:
                ground.blit(self._small.render(keys[row][0], True, YELLOW), (8, 7 + row * pitch))
        place = ground.get_rect()
        setattr(place, anchor, at)
        self._screen().blit(ground, place)

    def _handle(self, event: pygame.event.Event) -> None:
        match event.type:
            case pygame.QUIT:
                self.open = False
            case pygame.KEYDOWN if self._typed is not None:
                self._type(event)
            case pygame.KEYDOWN:
                name = pygame.key.name(event.key)
                if self.autoplay and name != "g" and name not in COMMANDS:
                    self._let_play(False)
                self._held.add(name)
                self._pressed.add(name)
                self._command(name)
            case pygame.TEXTINPUT if self._typed is not None:
                self._typed += event.text
            case pygame.KEYUP if event.key == pygame.K_t and "t" in self._held:
                self._typed = ""  # now, and not as it goes down: its own letter would be the first
                self._held.clear()
                pygame.key.start_text_input()
            case pygame.KEYUP:
                self._held.discard(pygame.key.name(event.key))
            case pygame.MOUSEBUTTONDOWN if event.button in BUTTONS:
                if self.keymap.look and not self.grabbed:
                    self._grab(True)  # the click that comes back to the game is not a blow
                else:
                    self._held.add(BUTTONS[event.button])
                    self._pressed.add(BUTTONS[event.button])
            case pygame.MOUSEBUTTONUP if event.button in BUTTONS:
                self._held.discard(BUTTONS[event.button])
            case pygame.MOUSEWHEEL:
                self.keymap.turn_wheel(-event.y)
            case pygame.MOUSEMOTION if self.grabbed and self.keymap.look and self._typed is None:
                self.keymap.look.move(*event.rel)
            case pygame.MOUSEMOTION if self.keymap.points:
                self._point(event.pos)
            case pygame.WINDOWFOCUSLOST:
                self._held.clear()  # their releases go to another window
                self._grab_again = self.grabbed
                self._grab(False)
            case pygame.WINDOWFOCUSGAINED if self._grab_again:
                self._grab(True)

    def _point(self, place: tuple[int, int]) -> None:
        """The mouse is at this place of the window."""
        corner, size = self._picture.topleft, self._picture.size
        self.keymap.point(*((at - first) / length for at, first, length in zip(place, corner, size, strict=True)))

    def _command(self, name: str) -> None:
        match name:
            case "escape" if self.grabbed:
                self._grab(False)
                self._say("mouse freed: click to go on, Esc to quit")
            case "escape":
                self.open = False
            case "f3":
                self.show_figures = not self.show_figures
            case "f11":
                self._toggle_fullscreen()
            case "h":
                self.show_help = not self.show_help
            case "o" | "pause":
                self.paused = not self.paused
            case "g":
                self._let_play(not self.autoplay)
            case "r":
                self.player.restart(self.player.session.seed + 1)
                self._say(f"a new start, seed {self.player.session.seed}")
            case "p" | "v":
                try:
                    self._say(self._save(name))
                except OSError as error:
                    self._say(f"cannot save to {self.player.folder.absolute()}: {error.strerror or error}")
            case _ if name in MORE_STEPS + FEWER_STEPS:
                steps = self.player.change_steps(1 if name in MORE_STEPS else -1)
                self._say("nothing is denoised here" if steps is None else f"K = {steps} denoising steps a frame")
            case "backspace" if not self.player.session.can_rewind:
                self._say("this environment cannot go back in time")

    def _let_play(self, by_itself: bool) -> None:
        self.autoplay = by_itself
        if self.keymap.look:
            self.keymap.look.clear()
        self._say("it plays by itself: any key that moves takes over" if by_itself else "you play")

    def _type(self, event: pygame.event.Event) -> None:
        """A key while a line of text is typed: Enter says it, Esc drops it."""
        assert self._typed is not None
        name = pygame.key.name(event.key)
        if name == "backspace":
            self._typed = self._typed[:-1]
        elif name in ("return", "enter", "escape"):
            said, self._typed = self._typed.strip(), None
            pygame.key.stop_text_input()
            if said and name != "escape":
                self.message(f"{said} ...")
                try:
                    self._say(said if self.player.set_prompt(said) else "nothing comes of words here")
                except (ValueError, OSError) as error:  # the World that paints is not there
                    self._say(str(error))

    def _save(self, name: str) -> str:
        """What P (a picture) and V (begin or end a video) do; what to tell the player."""
        if name == "p":
            return f"saved {self.player.save_picture()}"
        if path := self.player.stop_video():
            return f"saved {path}"
        return f"recording {self.player.start_video()}; V stops"

    def _say(self, text: str, seconds: float = TOAST_SECONDS) -> None:
        self._toast, self._toast_until = text, time.perf_counter() + seconds

    def _grab(self, grab: bool) -> None:
        self.grabbed = grab
        self._grab_again = self._grab_again and not grab
        pygame.event.set_grab(grab)
        pygame.mouse.set_visible(not grab)  # hidden and grabbed: SDL then reports endless relative movement
        if self.keymap.look:
            self.keymap.look.clear()

    def _toggle_fullscreen(self) -> None:
        self.fullscreen = not self.fullscreen
        if self.fullscreen:
            self._windowed = pygame.display.get_window_size()
            pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        else:
            pygame.display.set_mode(self._windowed, pygame.RESIZABLE)

    @staticmethod
    def _screen() -> pygame.Surface:
        """What is drawn on; asked for each time, because it changes when the window is resized."""
        screen = pygame.display.get_surface()
        assert screen is not None
        return screen

    @staticmethod
    def _largest() -> tuple[int, int]:
        """The largest window that leaves some room on this desktop."""
        across, down = pygame.display.get_desktop_sizes()[0]
        return min(WINDOW[0], across), min(WINDOW[1], max(down - 80, 160))
