"""Kinds of arguments that several commands take."""

from __future__ import annotations

import json
from typing import Any, Literal

Device = Literal["auto", "cpu", "cuda"]


def json_object(text: str | None, option: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{option} is not JSON ({error}); write for example '{{\"size\": [64, 64]}}'") from error
    if not isinstance(value, dict):
        raise ValueError(f"{option} must be a JSON object such as '{{\"size\": [64, 64]}}', got {text}")
    return value
