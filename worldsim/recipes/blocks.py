"""The block world: walked, dug and built in at 80x128, twenty frames a second."""

from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.loop import Phase

RECIPE = Recipe(
    name="blocks",
    description="A first-person block world at 80x128 pixels, 20 frames a second",
    env_id="worldsim/BlocksSim-v0",
    env_kwargs={"size": [80, 128]},
    frames=256_000,
    dynamics=DynamicsSizes(sees_motion=True),
    tokenizer_phases=[Phase(minutes=24, batch=16, rate=1e-3, rate_end=1e-5)],
    dynamics_phases=[
        # Short clips, because more of them in a batch show more different places.
        Phase(minutes=12, batch=8, time=8, rate=1e-3, rate_end=1e-3, settings={"pure_noise": 0.8, "weight_floor": 1.0}),
        # Once it moves, against drift: a third of the clips continue from frames that the model made itself, and the
        # colours of all lead away from the truth a little.
        Phase(
            minutes=14,
            batch=6,
            time=12,
            rate=9e-4,
            rate_end=6e-4,
            settings={"own": 0.34, "own_depth": 3, "drift": 0.1, "pure_noise": 0.8, "weight_floor": 1.0},
        ),
        Phase(
            minutes=22,
            batch=6,
            time=12,
            rate=6e-4,
            rate_end=1e-5,
            settings={"own": 0.34, "own_depth": 3, "drift": 0.02, "pure_noise": 0.8, "weight_floor": 1.0},
        ),
        Phase(
            minutes=112,
            batch=6,
            time=12,
            rate=6e-4,
            rate_end=1e-5,
            settings={
                "energy_score": True,
                "own": 0.34,
                "own_depth": 3,
                "drift": 0.05,
                "pure_noise": 0.8,
                "weight_floor": 1.0,
                "motion_weight": 0.1,
            },
        ),
    ],
    temperature=0.0,  # of the noise that frames are made from: 1 shows more detail, and is wrong sooner (NOTES.md)
    context_length=11,  # a clip of 12 frames shows no frame more than 11 others
)
