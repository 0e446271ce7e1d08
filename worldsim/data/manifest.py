"""The JSON file in a recording that says how it was made: what decides whether a recording can be continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worldsim.data.episodes import EnvFacts, RecordSettings

VERSION = 1
_SETTINGS = ("env_id", "env_kwargs", "policy", "seed", "episode_frames")
_FACTS = ("size", "fps", "action", "action_dim")


def describe(kind: str, settings: RecordSettings, facts: EnvFacts) -> dict[str, Any]:
    """The manifest as plain JSON values; ValueError if env_kwargs are not."""
    manifest: dict[str, Any] = {"format": kind, "version": VERSION}
    manifest |= {key: getattr(settings, key) for key in _SETTINGS} | {key: getattr(facts, key) for key in _FACTS}
    try:
        return json.loads(json.dumps(manifest))
    except TypeError as error:
        raise ValueError(f"env_kwargs must be plain JSON values to be recorded: {error}") from error


def load(path: Path, kind: str, name: str) -> dict[str, Any]:
    """Read a manifest; ValueError if it is missing, damaged, or not of that kind (called `name` in the message)."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path.parent} is not a {name}: it has no {path.name}") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != kind:
        raise ValueError(f"{path.parent} is not a {name}: its {path.name} is of another kind")
    if manifest.get("version") != VERSION:
        raise ValueError(
            f"{path.parent} is a {name} of version {manifest.get('version')}; this program reads {VERSION}"
        )
    return manifest


def parse(manifest: dict[str, Any]) -> tuple[RecordSettings, EnvFacts]:
    """The inverse of `describe`."""
    settings = RecordSettings(**{key: manifest[key] for key in _SETTINGS})
    return settings, EnvFacts(**{key: manifest[key] for key in _FACTS} | {"size": tuple(manifest["size"])})


def check_same(directory: Path, have: dict[str, Any], want: dict[str, Any]) -> None:
    """ValueError that names what differs, unless both manifests are the same."""
    differing = sorted(key for key in want.keys() | have.keys() if want.get(key) != have.get(key))
    if differing:
        listing = ", ".join(f"{key}: {have.get(key)!r} there, {want.get(key)!r} now" for key in differing)
        raise ValueError(
            f"{directory} is a recording with other settings ({listing}); "
            "use those settings to continue it, or another directory"
        )
