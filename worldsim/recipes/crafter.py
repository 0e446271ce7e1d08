"""Crafter, 64x64 pixels: an island seen from above, on which one collects, makes tools and stays alive.

Needs worldsim[crafter].
"""

from worldsim.model.forcing import ForcingConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="crafter",
    description="Crafter, an island to survive on, seen from above, 64x64 pixels, 10 frames a second",
    env_id="worldsim/CrafterSim-v0",
    frames=90_000,  # with the 9,600 of the start contexts fewer than 100,000 real steps
    episode_frames=600,
    # 7-pixel tiles lie in 16-pixel tokens in many ways: 64 components keep 24.8 dB of them, 128 keep 28.2.
    tokenizer=TokenizerConfig(
        latent_channels=128, channels=128, layers=2, fine_channels=64, fine_layers=1, head_dim=32, carries=True
    ),
    # The map moves by a tile at once, or does not where a step is barred, and has no speed that were to be told.
    jumps=True,
    dynamics=DynamicsSizes(
        channels=160, heads=5, layers=4, time_every=2, shares_motion=True, condition_channels=160, text_channels=64
    ),
    forcing=ForcingConfig(
        pure_noise=0.95,
        remembered=0.1,
        context=0.05,
        weight_floor=1.0,
        motion_weight=0.05,
        motion_squared=0.3,
        head_weight=0.3,
    ),
    temperature=0.0,
    tokenizer_phases=[Phase(minutes=10, batch=32, rate=2e-3, rate_end=1e-4)],
    dynamics_phases=[
        Phase(minutes=40, batch=12, time=12, rate=1.5e-3, rate_end=3e-4),
        # Then against drift: half of the clips go on from what the model made.
        Phase(
            minutes=30,
            batch=12,
            time=12,
            rate=6e-4,
            rate_end=1e-5,
            settings={"own": 0.5, "own_depth": 16, "own_fade": 0.5},
        ),
    ],
    average=0.995,
    context_length=11,
    start_episode_frames=300,  # from morning to night, with full pockets and empty ones
)
