"""What sentences and stories share: batches, the arrays to fill, the check of what is in them."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from lmcortex.errors import InputError

if TYPE_CHECKING:
    from tqdm import tqdm
    from transformers import PreTrainedModel

# Tokens in one forward pass. A constant, so that results do not depend on the free memory.
BATCH_TOKENS = 4096

Arrays = dict[str, np.ndarray]


def batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Yield rows of equal length, together at most `batch_tokens` long (one row at least)."""
    order = np.argsort(lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        step = max(1, batch_tokens // int(lengths[group[0]]))
        for start in range(0, len(group), step):
            yield group[start : start + step]


def empty_arrays(poolings: Sequence[str], layers: Iterable[int], n_rows: int, width: int) -> Arrays:
    return {
        f"{pooling}/{layer:02d}": np.zeros((n_rows, width), np.float32)
        for pooling in poolings
        for layer in layers
    }


def check_finite(arrays: Arrays, labels: Sequence[str], model: "PreTrainedModel") -> None:
    for name, array in arrays.items():
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            raise InputError(
                f"{labels[bad[0]]}: state {name} is not finite in {model.dtype}; "
                f"{len(bad)} rows are affected; use dtype float32 or bfloat16, or check the weights"
            )


def progress(total: int, unit: str) -> "tqdm[NoReturn]":
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, file=sys.stderr, mininterval=5)
