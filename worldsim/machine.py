"""What this machine can do: its matrix product rate, and the number format in which it is fastest."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import time
from functools import lru_cache
from pathlib import Path

import torch


def _seconds(device: torch.device, dtype: torch.dtype, size: int, repeats: int) -> float:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    a @ b
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        a @ b
    wait()
    return (time.perf_counter() - start) / repeats


@lru_cache
def matmul_flops(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> float:
    """Floating point operations a second of a large matrix product on the device, measured."""
    size = 8192 if device.type == "cuda" else 1024
    return 2 * size**3 / min(_seconds(device, dtype, size, 3) for _ in range(3))


@lru_cache
def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 if the device multiplies matrices of the sizes used here clearly faster in it than in float32.

    The margin is wide, so that a busy moment does not change the choice, and with it the frames: native bfloat16 takes
    half the time, emulated a multiple.
    """
    if device.type == "cuda":
        return torch.bfloat16
    measured = {
        dtype: min(_seconds(device, dtype, 256, 5) for _ in range(3)) for dtype in (torch.float32, torch.bfloat16)
    }
    return torch.bfloat16 if 1.2 * measured[torch.bfloat16] < measured[torch.float32] else torch.float32


def pick_device(name: str) -> torch.device:
    """ "auto" (CUDA if there is one, else the CPU) or a PyTorch device name; ValueError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}: use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("this machine has no CUDA device: use --device cpu")
    return device


def compiler_lacks() -> list[str]:
    """What `torch.compile` needs and this machine lacks, in words; [] if it can be tried."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # as PyTorch chooses it
    lacks = [] if shutil.which(compiler) else [f"a C++ compiler ({compiler})"]
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    return lacks if headers.exists() else [*lacks, "the header files of Python"]
