"""Where encoders are computed: numpy arrays on the processor, torch tensors on a GPU."""

import os
from typing import Any

import numpy as np

from lmcortex.errors import InputError

CARDS = ("/dev/nvidiactl", "/dev/kfd")  # device files of NVIDIA and AMD cards on Linux

# numpy arrays or torch tensors: what follows uses only what both can do.
Array = Any


def use_device(device: str) -> str:
    """Choose where to compute, for this process.

    Parameters
    ----------
    device : `cpu`, `cuda`, or `auto` (cuda where there is a GPU).

    Returns
    -------
    `cpu` or `cuda`.

    Raises
    ------
    InputError : `cuda` was asked for and there is no GPU.
    """
    # Importing torch takes seconds, so `auto` first looks whether there is a card at all.
    if device == "cuda" or (device == "auto" and any(map(os.path.exists, CARDS))):
        import torch

        if torch.cuda.is_available():
            torch.backends.cuda.matmul.allow_tf32 = False
            return "cuda"
        if device == "cuda":
            raise InputError("device: cuda was asked for, no GPU is visible; use cpu or auto")
    return "cpu"


def put(values: np.ndarray, device: str, dtype: str = "float64") -> Array:
    """Return an array of `dtype` on a device."""
    if device == "cpu":
        return np.ascontiguousarray(values, dtype=dtype)
    import torch

    return torch.as_tensor(np.asarray(values), device=device).to(getattr(torch, dtype))


def take(array: Array) -> np.ndarray:
    """Return an array as one of numpy."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def library(array: Array) -> Any:
    """Return the module whose functions take this array: numpy or torch."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def columns_of(array: Array, index: np.ndarray) -> Array:
    """Return some columns, each row of them side by side in memory."""
    if isinstance(array, np.ndarray):
        return np.take(array, index, axis=1)
    return array[:, index].contiguous()


def cast(array: Array, dtype: str) -> Array:
    """Return the array in another precision, where it is."""
    wanted = getattr(library(array), dtype)
    return array.astype(wanted) if isinstance(array, np.ndarray) else array.to(wanted)
