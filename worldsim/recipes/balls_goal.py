"""A ball to be pushed onto a mark, 48x48 pixels: a World that an agent can learn in, trained in minutes."""

from worldsim.model.forcing import ForcingConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="balls_goal",
    description="Two balls in a box; the white one is to be pushed onto the mark, 48x48 pixels",
    env_id="worldsim/BallsGoalSim-v0",
    env_kwargs={"size": [48, 48]},
    frames=40_000,
    episode_frames=60,
    tokenizer=TokenizerConfig(
        latent_channels=64, channels=128, layers=1, fine_channels=64, fine_layers=1, head_dim=32, carries=True
    ),
    dynamics=DynamicsSizes(
        channels=128, heads=4, layers=4, time_every=2, sees_motion=True, condition_channels=128, text_channels=64
    ),
    # Frames from noise alone, as they are when stepped, and without a draw: what happens here is certain.
    forcing=ForcingConfig(
        pure_noise=0.95, remembered=0.1, context=0.05, weight_floor=1.0, motion_weight=0.1, head_weight=0.3
    ),
    temperature=0.0,
    tokenizer_phases=[Phase(minutes=5, batch=32, rate=2e-3, rate_end=1e-4)],
    dynamics_phases=[
        Phase(minutes=20, batch=8, time=12, rate=1.5e-3, rate_end=1e-5),
        # Then against drift, from clips that go on; and of the others every second one shows an arrival: who pushes at
        # random gets to the mark in one of 150 frames, and from clips drawn evenly that was not learned (NOTES.md).
        Phase(
            minutes=14,
            batch=8,
            time=12,
            rate=8e-4,
            rate_end=1e-5,
            settings={"own": 0.5, "own_depth": 8, "own_fade": 0.5, "rare": 0.5},
        ),
    ],
    average=0.995,
    context_length=11,
    starts=32,
)
