"""Cross-validation folds: which samples are tested together, and which may train for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# A fold is only useful if a correlation can be taken over it.
MIN_SAMPLES = 2
# Outer folds double as inner folds, so that one must be left to train on when two are held out.
MIN_FOLDS = 3


@dataclass(frozen=True)
class Folds:
    """Outer folds; the inner folds of one are all the others.

    Attributes
    ----------
    test : int array (n_samples,), the fold in which each sample is tested.
    train : bool array (n_folds, n_samples), the samples that may train when a fold is tested:
        not in the fold, nor within the gap on either side of it.
    """

    test: np.ndarray
    train: np.ndarray

    @property
    def n(self) -> int:
        return len(self.train)

    def outer(self, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the training and of the test samples of a fold."""
        return np.flatnonzero(self.train[fold]), np.flatnonzero(self.test == fold)

    def inner(self, fold: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Split the training samples of a fold by the other folds, the gap kept to both.

        Returns
        -------
        One (training, validation) pair of index arrays for each other fold. The indices count
        within the training samples of `fold`.
        """
        kept = self.train[fold]
        return [
            (
                np.flatnonzero(self.train[other][kept]),
                np.flatnonzero(self.test[kept] == other),
            )
            for other in range(self.n)
            if other != fold
        ]


def make_folds(spec: Mapping[str, Any], items: "pd.DataFrame") -> Folds:
    """Assign samples to folds.

    Parameters
    ----------
    spec : `scheme` is `shuffled` (`n` folds of whole items in an order drawn from `seed`),
        `blocks` (`n` contiguous blocks) or `runs` (leave one run out). `gap` is how much lies at
        least between a training and a test sample of one run: seconds (story) or items.
    items : one row per sample in order, with columns `item`, `run` and `time`.

    Raises
    ------
    InputError : fewer than three folds, or a fold that leaves fewer than two samples to test, to
        choose the penalty on or to train on.
    """
    test = _test_fold(spec, items)
    gap = float(spec.get("gap", 0))
    runs, times = items["run"].to_numpy(), items["time"].to_numpy(float)
    train = np.stack(
        [_train_mask(test == fold, runs, times, gap) for fold in range(test.max() + 1)]
    )
    folds = Folds(test, train)
    _check(folds, spec)
    return folds


def _test_fold(spec: Mapping[str, Any], items: "pd.DataFrame") -> np.ndarray:
    scheme = spec["scheme"]
    if scheme not in ("shuffled", "blocks", "runs"):
        raise InputError(f"folds: unknown scheme `{scheme}`; use shuffled, blocks or runs")
    codes, units = items["run" if scheme == "runs" else "item"].factorize()
    n = len(units) if scheme == "runs" else spec["n"]
    order = np.arange(len(units))
    if scheme == "shuffled":
        order = np.random.default_rng(spec["seed"]).permutation(len(units))
    fold_of_unit = np.empty(len(units), dtype=int)
    for fold, members in enumerate(np.array_split(order, n)):
        fold_of_unit[members] = fold
    return fold_of_unit[codes]


def _train_mask(test: np.ndarray, runs: np.ndarray, times: np.ndarray, gap: float) -> np.ndarray:
    """Return which samples lie outside a test set and further than `gap` from it in time."""
    train = ~test
    for run in np.unique(runs[test]):
        here = np.flatnonzero(runs == run)
        held_out = np.sort(times[here][test[here]])
        after = np.searchsorted(held_out, times[here]).clip(1, len(held_out) - 1)
        nearest = np.minimum(
            np.abs(times[here] - held_out[after - 1]),
            np.abs(times[here] - held_out[after]),
        )
        # Sample times are sums of the repetition time: a rounding error must not shorten the gap.
        train[here] &= (nearest > gap + 1e-6) | (gap == 0)
    return train


def _check(folds: Folds, spec: Mapping[str, Any]) -> None:
    settings = ", ".join(f"{key}: {value}" for key, value in spec.items())
    if folds.n < MIN_FOLDS:
        raise InputError(
            f"folds ({settings}): {folds.n} fold(s), expected at least {MIN_FOLDS}; "
            "use another scheme or more runs"
        )
    for fold in range(folds.n):
        train, test = folds.outer(fold)
        sizes = {"test": len(test), "training": len(train)}
        for inner_train, validation in folds.inner(fold):
            sizes["inner training"] = min(sizes.get("inner training", len(train)), len(inner_train))
            sizes["validation"] = min(sizes.get("validation", len(train)), len(validation))
        for name, size in sizes.items():
            if size < MIN_SAMPLES:
                raise InputError(
                    f"folds ({settings}): fold {fold} leaves {size} {name} sample(s) of "
                    f"{len(folds.test)}, expected at least {MIN_SAMPLES}; use fewer folds or a "
                    "shorter gap"
                )
