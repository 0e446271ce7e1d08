"""The task PushT, 64x64 pixels, ten frames a second: a grey T is to be pushed onto a green one.

Needs worldsim[robotics].
"""

from worldsim.model.forcing import ForcingConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="pusht",
    description="A grey T that a blue disc pushes onto a green one, 64x64 pixels, 10 frames a second",
    env_id="worldsim/PushTSim-v0",
    env_kwargs={"size": [64, 64]},
    frames=80_000,
    episode_frames=128,
    tokenizer=TokenizerConfig(
        # With 64 the disc, four pixels wide, is lost before anything is learned (13 dB; 18 dB with these).
        latent_channels=192,
        channels=128,
        layers=2,
        fine_channels=64,
        fine_layers=1,
        head_dim=32,
        carries=True,
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
    # Frames from noise alone, as they are when stepped, and without a draw: what happens here is certain. The loss of
    # the reward, how much is covered, is some five times all others together, and so weighs little.
    forcing=ForcingConfig(
        pure_noise=0.95,
        remembered=0.1,
        context=0.05,
        weight_floor=1.0,
        motion_weight=0.3,
        pixel_weight=10.0,
        head_weight=0.03,
    ),
    temperature=0.0,
    tokenizer_phases=[Phase(minutes=5, batch=32, rate=2e-3, rate_end=1e-4)],
    dynamics_phases=[
        Phase(minutes=34, batch=8, time=12, rate=1.5e-3, rate_end=4e-4),
        # Then against drift: half of the clips go on from what the model made.
        Phase(
            minutes=19,
            batch=8,
            time=12,
            rate=8e-4,
            rate_end=1e-5,
            settings={"own": 0.5, "own_depth": 8, "own_fade": 0.5, "previous_noise": 0.02},
        ),
    ],
    average=0.995,
    context_length=11,
)
