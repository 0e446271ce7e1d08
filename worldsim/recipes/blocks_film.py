"""Films of the block world at 80x128, twenty frames a second, from words, pictures and other films."""

from worldsim.model.filming import FilmConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="blocks_film",
    description="Films of a block world at 80x128 pixels, 20 frames a second; four frames are made as one",
    env_id="worldsim/BlocksSim-v0",
    env_kwargs={"size": [80, 128], "overlay": False},
    policy="filming",
    frames=256_000,
    episode_frames=64,  # many places, each for three seconds
    tokenizer=TokenizerConfig(stride=4),
    tokenizer_phases=[
        Phase(minutes=15, batch=16, rate=1e-3, rate_end=1e-5),
        # The decoder learns to draw edges, also from latents that are a little wrong.
        Phase(
            minutes=12,
            batch=4,
            rate=4e-4,
            rate_end=1e-5,
            settings={"blur": 2.0, "latent_noise": 0.2, "adversarial": 2e-3},
        ),
    ],
    dynamics=DynamicsSizes(channels=192, heads=3, layers=6, time_every=2, condition_channels=192),
    film=FilmConfig(),
    # What a place looks like is learned from single frames, of which many more are seen in the time.
    dynamics_phases=[
        Phase(minutes=35, batch=48, time=1, rate=2e-3, rate_end=1e-3),
        Phase(minutes=60, batch=8, time=16, rate=1e-3, rate_end=1e-5),
    ],
    # Then the decoder learns to draw what is made, where tokens do not quite fit together.
    decoder_phases=[
        Phase(
            minutes=17,
            batch=8,
            rate=3e-4,
            rate_end=1e-5,
            settings={"adversarial": 1e-3, "gridless": 1.0, "latent_noise": 0.2},
        )
    ],
    average=0.998,
    steps=24,
    guidance_scale=2.5,
)
