"""The laboratory of balls, 64x64 pixels: three laws of motion, and the World that the physics probes ask about them."""

from worldsim.model.forcing import ForcingConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="balls",
    description="Balls in space, on a table or in a room, the white one pushed, 64x64 pixels",
    env_id="worldsim/BallsLabSim-v0",
    env_kwargs={"size": [64, 64]},
    policy="pauses",
    frames=200_000,
    episode_frames=128,
    tokenizer=TokenizerConfig(
        latent_channels=64, channels=128, layers=2, fine_channels=64, fine_layers=1, head_dim=32, carries=True
    ),
    dynamics=DynamicsSizes(
        channels=128, heads=4, layers=4, time_every=2, sees_motion=True, condition_channels=128, text_channels=64
    ),
    tokenizer_phases=[Phase(minutes=4, batch=32, rate=2e-3, rate_end=1e-4)],
    # Frames from noise alone, as they are when stepped, and without a draw: what happens here is certain.
    forcing=ForcingConfig(pure_noise=0.95, remembered=0.1, context=0.05, weight_floor=1.0, motion_weight=0.3),
    temperature=0.0,
    dynamics_phases=[
        Phase(minutes=33, batch=8, time=16, rate=1.5e-3, rate_end=4e-4),
        # Then against drift: half of the clips go on from what the model made, and the decoder drew. For long they must
        # not: a squared error asks for the mean of where a ball may be, and a mean of balls is none (NOTES.md).
        Phase(
            minutes=24,
            batch=8,
            time=16,
            rate=8e-4,
            rate_end=1e-5,
            settings={"own": 0.5, "own_depth": 16, "own_fade": 0.5, "previous_noise": 0.02},
        ),
        # And true pixels beside it: after this phase what moves by itself was off by half as much. With them from the
        # beginning it may take less time: not tried.
        Phase(
            minutes=27,
            batch=8,
            time=16,
            rate=6e-4,
            rate_end=1e-5,
            settings={"own": 0.25, "own_depth": 16, "own_fade": 0.5, "previous_noise": 0.02, "pixel_weight": 10.0},
        ),
    ],
    average=0.995,
    context_length=15,
    starts=32,
)
