"""What all kinds of recordings have: a JSON file that says how they were made, and a need for room on the disk.

The file decides whether a recording can be continued.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worldsim.data.episodes import EnvFacts, RecordSettings
from worldsim.files import differences, free_space_or_error

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


def room_or_error(directory: Path, needed: int) -> None:
    """OSError (ENOSPC) if the disk of `directory` has no room for `needed` bytes more of a recording."""
    advice = "record fewer frames, or choose a directory on another disk"
    free_space_or_error(directory, needed, "the recording", advice)


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
    if differing := differences(have, want):
        raise ValueError(
            f"{directory} is a recording with other settings ({differing}); "
            "use those settings to continue it, or another directory"
        )
