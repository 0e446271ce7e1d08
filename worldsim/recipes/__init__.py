"""One small file per World; `load_recipe` finds it by name, or reads a recipe of the user's own from a JSON file."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from worldsim.recipes.recipe import Recipe


def available_recipes() -> list[str]:
    """Names of the recipes in the package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "recipe")


def load_recipe(name_or_path: str) -> Recipe:
    """The recipe of that name, or in that JSON file; ValueError that lists the names there are."""
    if name_or_path in available_recipes():
        return importlib.import_module(f"{__name__}.{name_or_path}").RECIPE
    path = Path(name_or_path)
    if path.suffix == ".json" and path.exists():
        return Recipe.model_validate_json(path.read_text())
    raise ValueError(
        f"unknown recipe {name_or_path!r}: give one of {', '.join(available_recipes())}, or the path of a JSON file"
    )
