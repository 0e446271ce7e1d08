"""Boxes on a table that a pusher slides and tips over, 64x64 pixels, twenty frames a second.

Needs worldsim[robotics].
"""

from worldsim.model.forcing import ForcingConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="table",
    description="Three boxes on a table that a pusher slides and tips over, 64x64 pixels, 20 frames a second",
    env_id="worldsim/TableSim-v0",
    env_kwargs={"size": [64, 64]},
    frames=90_000,
    episode_frames=200,
    tokenizer=TokenizerConfig(
        latent_channels=64, channels=128, layers=2, fine_channels=64, fine_layers=1, head_dim=32, carries=True
    ),
    dynamics=DynamicsSizes(
        channels=128,
        heads=4,
        layers=4,
        time_every=2,
        sees_motion=True,
        shares_motion=True,
        condition_channels=128,
        text_channels=64,
    ),
    # Frames from noise alone, as they are when stepped, and without a draw: what happens here is certain. True pixels
    # too, because boxes came apart into shreds that their latents did not show.
    forcing=ForcingConfig(
        pure_noise=0.95, remembered=0.1, context=0.05, weight_floor=1.0, motion_weight=0.3, pixel_weight=10.0
    ),
    temperature=0.0,
    tokenizer_phases=[Phase(minutes=5, batch=32, rate=2e-3, rate_end=1e-4)],
    dynamics_phases=[
        Phase(minutes=55, batch=8, time=16, rate=1.5e-3, rate_end=4e-4),
        # Then against drift: half of the clips go on from what the model made.
        Phase(
            minutes=30,
            batch=8,
            time=16,
            rate=8e-4,
            rate_end=1e-5,
            settings={"own": 0.5, "own_depth": 16, "own_fade": 0.5, "previous_noise": 0.02},
        ),
    ],
    average=0.995,
    context_length=15,
)
