"""A ball to be pushed onto a mark, 48x48 pixels: a World that an agent can learn in, trained in minutes."""

from worldsim.model.forcing import ForcingConfig
from worldsim.recipes.balls_quick import RECIPE as BALLS
from worldsim.recipes.recipe import Recipe
from worldsim.training.loop import Phase

RECIPE: Recipe = BALLS.model_copy(
    update={
        "name": "balls_goal",
        "description": "Two balls in a box; the white one is to be pushed onto the mark, 48x48 pixels",
        "env_id": "worldsim/BallsGoalSim-v0",
        "episode_frames": 60,
        "forcing": ForcingConfig(head_weight=1.0),
        "tokenizer_phases": [Phase(minutes=3, batch=32, rate=2e-3, rate_end=1e-4)],
        "dynamics_phases": [Phase(minutes=9, batch=16, time=12, rate=2e-3, rate_end=1e-5)],
        "average": 0.995,
        "compiled": True,
        "starts": 32,
    }
)
