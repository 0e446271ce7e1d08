"""Two balls in a box, one of them pushed: small enough to be recorded and trained inside the test suite."""

from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="balls_quick",
    description="Two balls in a box, one of them pushed, 48x48 pixels",
    env_id="worldsim/BallsSim-v0",
    env_kwargs={"size": [48, 48]},
    frames=20_000,
    episode_frames=100,
    tokenizer=TokenizerConfig(latent_channels=32, channels=128, layers=1, fine_channels=64, fine_layers=1, head_dim=32),
    dynamics=DynamicsSizes(channels=128, heads=4, layers=3, condition_channels=128, text_channels=64),
    tokenizer_phases=[Phase(minutes=0.4, batch=32, rate=2e-3, rate_end=2e-4)],
    dynamics_phases=[Phase(minutes=0.8, batch=8, time=12, rate=2e-3, rate_end=1e-4)],
    average=0.99,
    compiled=False,
    context_length=11,
    starts=8,
)
