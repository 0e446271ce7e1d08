"""The block world: walked, dug and built in at 80x128, twenty frames a second."""

from worldsim.recipes.recipe import Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="blocks",
    description="A first-person block world at 80x128 pixels, 20 frames a second",
    env_id="worldsim/BlocksSim-v0",
    env_kwargs={"size": [80, 128]},
    frames=256_000,
    tokenizer_phases=[Phase(minutes=24, batch=16, rate=1e-3, rate_end=1e-5)],
    dynamics_phases=[
        Phase(minutes=16, batch=4, time=16, rate=1e-3, rate_end=8.5e-4),
        # Once it moves, against drift: half of the clips continue from frames that the model made itself. Short clips,
        # because more of them in a batch show more different places.
        Phase(
            minutes=44,
            batch=8,
            time=8,
            rate=1e-3,
            rate_end=5e-4,
            settings={"own": 0.5, "own_depth": 3, "pure_noise": 0.8, "weight_floor": 1.0},
        ),
        Phase(
            minutes=50,
            batch=4,
            time=16,
            rate=5e-4,
            rate_end=1e-5,
            settings={"own": 0.5, "own_depth": 6, "pure_noise": 0.8, "weight_floor": 1.0},
        ),
    ],
    context_length=15,  # a clip of 16 frames shows no frame more than 15 others
)
