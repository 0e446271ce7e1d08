"""The block world: walked, dug and built in at 80x128, twenty frames a second."""

from worldsim.model.forcing import ForcingConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, PainterRecipe, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="blocks",
    description="A first-person block world at 80x128 pixels, 20 frames a second",
    env_id="worldsim/BlocksSim-v0",
    env_kwargs={"size": [80, 128]},
    policy="building",
    frames=256_000,
    tokenizer=TokenizerConfig(carries=True),
    dynamics=DynamicsSizes(sees_motion=True),
    tokenizer_phases=[
        Phase(minutes=20, batch=16, rate=1e-3, rate_end=1e-5),
        # The decoder learns to draw textures, also from the blur that a World fades to.
        Phase(minutes=7, batch=16, rate=7e-4, rate_end=1e-5, settings={"blur": 3.0, "adversarial": 1e-3}),
    ],
    # Frames from noise alone, as they are when stepped; rare keys, and what they do; and every pixel is to follow the
    # flow if it can.
    forcing=ForcingConfig(
        pure_noise=0.95,
        remembered=0.1,
        context=0.05,
        rare=0.5,
        rare_weight=4.0,
        weight_floor=1.0,
        motion_weight=0.1,
        pixel_weight=10.0,
        follow_weight=0.03,
    ),
    dynamics_phases=[
        # Short clips, because more of them in a batch show more different places.
        Phase(minutes=26, batch=8, time=8, rate=8e-4, rate_end=6e-4, settings={"drift": 0.02}),
        # Once it moves, against drift: half of the clips go on from what the model made and the decoder drew.
        Phase(
            minutes=75,
            batch=8,
            time=12,
            rate=6e-4,
            rate_end=1e-5,
            settings={"own": 0.5, "own_depth": 64, "own_floor": 0.0, "drift": 0.02, "rare_weight": 2.0},
        ),
    ],
    # Then the decoder learns to draw what is made and painted, twice, because what it draws is what goes on. A
    # discriminator that has its way for longer makes ornaments and coloured glitter (NOTES.md).
    decoder_phases=[
        Phase(minutes=20, batch=12, rate=5e-4, rate_end=2e-5, settings={"adversarial": 3e-3, "gridless": 1.0}),
        Phase(minutes=9, batch=12, rate=4e-4, rate_end=1e-5, settings={"adversarial": 3e-4, "gridless": 1.0}),
    ],
    average=0.995,  # of 200 steps: a longer one lags behind in the last minutes
    temperature=0.0,  # of the noise that frames are made from: 1 shows more detail, and is wrong sooner (NOTES.md)
    field_of_view=70.0,
    # What comes into view, and first frames from text: learned from single frames of as many places as may be.
    painter=PainterRecipe(
        frames=256_000,
        episode_frames=40,
        policy="blocks",
        env_kwargs={"overlay": False},
        sizes=DynamicsSizes(channels=192, heads=3, layers=6, time_every=2, condition_channels=192),
        film="blocks_film",  # which has learned for an hour and a half what places look like
        steps=8,
    ),
    painter_phases=[Phase(minutes=55, batch=48, rate=1.5e-3, rate_end=5e-5)],
    start_frames=4,  # what ships is to be small
    guidance_scale=2.5,
    context_length=11,  # a clip of 12 frames shows no frame more than 11 others
)
