"""Tensors on disk: safetensors written under a temporary name and renamed, so that a kill never leaves half a file."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from worldsim.files import free_space_or_error, replacing


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, str] | None = None) -> None:
    """Write tensors and a few strings; OSError that says what to do when the disk is too small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = sum(value.nbytes for value in tensors.values())
    free_space_or_error(
        path.parent, size, f"saving {path.name}",
        "free some space and start the same command again: it goes on from the last checkpoint",
    )  # fmt: skip
    with replacing(path) as temporary:
        # With no tensors and an empty dictionary of facts safetensors 0.8 writes a file that it cannot read.
        save_file({key: value.contiguous().cpu() for key, value in tensors.items()}, temporary, facts or None)
        temporary.chmod(0o666 & ~_umask())  # safetensors makes files that only their owner can read


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load_tensors(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and strings of a file; FileNotFoundError, or ValueError if it is damaged."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt", device=str(torch.device(device))) as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error
