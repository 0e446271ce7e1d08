"""Crafter at 144x144 pixels: an island seen from above, on which one collects, makes tools and stays alive.

Needs worldsim[crafter].
"""

from worldsim.model.forcing import ForcingConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="crafter",
    description="Crafter, an island to survive on, seen from above, 144x144 pixels, 10 frames a second",
    env_id="worldsim/CrafterSim-v0",
    # Its 9x9 tiles are 16 pixels wide then, as its textures are, and a token is a tile: as the map moves by a tile,
    # latents move by a token. At 64x64 a tile of 7 pixels lies in tokens in many ways, and was not learned (NOTES.md).
    env_kwargs={"size": [144, 144]},
    frames=90_000,  # with the 9,600 of the start contexts fewer than 100,000 real steps
    episode_frames=300,  # what happens for the first time, and is rewarded, happens early
    tokenizer=TokenizerConfig(latent_channels=48, channels=96, layers=1, fine_channels=64, fine_layers=1, head_dim=32),
    dynamics=DynamicsSizes(
        channels=192, heads=6, layers=4, time_every=2, moves=False, condition_channels=192, text_channels=64
    ),
    # What lies beyond the edge may be anything, and is to be something: so all levels of noise.
    forcing=ForcingConfig(
        pure_noise=0.3, remembered=0.2, context=0.15, previous_noise=0.1, weight_floor=1.0, head_weight=0.3, rare=0.25
    ),
    steps=2,  # more make more of it, and crowds of cows and zombies (NOTES.md)
    tokenizer_phases=[Phase(minutes=3, batch=16, rate=2e-3, rate_end=1e-4)],
    dynamics_phases=[
        Phase(minutes=45, batch=8, time=8, rate=1.5e-3, rate_end=5e-4),
        Phase(minutes=25, batch=8, time=12, rate=5e-4, rate_end=1e-5),
    ],
    average=0.995,
    context_length=11,
    start_episode_frames=300,  # from morning to night, with full pockets and empty ones
)
