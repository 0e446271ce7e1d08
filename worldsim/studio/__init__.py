"""The studio: Clips from words, pictures and other Clips.

`generate` and `extend` take any World. Those that are stepped (blocks) stream: a frame after the other, for as long as
one likes, by actions or by the policy of the World's own. Those that make films (blocks_film) make all frames at once,
and so can begin before what is given, lead from one Clip to another, and make a part, or all to a degree, anew.
"""

from worldsim.studio.describing import describe
from worldsim.studio.operations import Card, blend, connect, extend, generate, loop, recut, remix, storyboard
from worldsim.studio.options import Options
from worldsim.studio.prompts import expand, unknown_words
from worldsim.studio.replaying import replay

__all__ = [
    "Card", "Options", "blend", "connect", "describe", "expand", "extend", "generate", "loop", "recut", "remix",
    "replay", "storyboard", "unknown_words",
]  # fmt: skip
