"""Ridge with two bands of features: a model beside what is known already.

The kernels of the model and of the nuisance are mixed in several shares, and each target takes the
share and the penalty of the least squared error on the inner folds (banded ridge; Nunez-Elizalde et
al. 2019, NeuroImage 197:482; solved as himalaya's random search does it on the same shares). The
prediction of such an encoder is the sum of what each band predicts. What is scored is the model's
part, held against the responses less the nuisance's part. What both know may go to either band,
so that this is no unique contribution.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lmcortex.encoding.devices import Array, cast, put, take
from lmcortex.encoding.ridge import Batches, inner_scores
from lmcortex.encoding.rotations import (
    Rotation,
    Stimulus,
    choosing,
    rotate_outer,
    rotate_pairs,
    rotate_samples,
)
from lmcortex.folds import Folds
from lmcortex.inference import correlate

# Shares of the model in the mixed kernel, the rest is the nuisance's.
SHARES = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)


class BandedFit(NamedTuple):
    """All targets' cross-validated banded ridge on one layer.

    `r_test`, `r_inner` (of both bands together) and `alpha_index` are (n_folds, n_targets);
    `prediction`, of the model alone, and `response`, less what the nuisance predicts, (n_samples,
    n_targets), out of fold.
    """

    r_test: np.ndarray
    r_inner: np.ndarray
    alpha_index: np.ndarray
    prediction: np.ndarray
    response: np.ndarray


class Chosen(NamedTuple):
    """The best share and penalty so far, by fold and target: their places, loss and inner r."""

    share: np.ndarray
    alpha: np.ndarray
    loss: np.ndarray
    r: np.ndarray


def fit_banded(
    model: Array,
    nuisance: Array,
    batches: Batches,
    n_targets: int,
    folds: Folds,
    grid: np.ndarray,
    *,
    shares: Sequence[float] = SHARES,
    device: str = "cpu",
    dtype: str = "float64",
) -> BandedFit:
    """Cross-validate one layer beside a nuisance.

    Parameters
    ----------
    model, nuisance : kernels (n_samples, n_samples); each is divided by its mean diagonal.
    n_targets : of all batches.
    batches : see `lmcortex.encoding.ridge.fit_layer`.
    grid : (n_alphas,), multiples of the mean diagonal of the mixed kernel.
    shares : of the model in the mixture; 0 alone for features without columns.
    """
    kernels = [_unit(model), _unit(nuisance)]
    mixtures = [_mixture([share * kernels[0], (1 - share) * kernels[1]], folds) for share in shares]
    chosen = _choose(mixtures, batches, n_targets, folds, grid, device, dtype)
    prediction = np.empty((len(folds.test), n_targets))
    response = np.empty_like(prediction)
    for number, (share, mixture) in enumerate(zip(shares, mixtures, strict=True)):
        outer = rotate_outer(mixture, folds, "float64")
        across = [_rows(share * kernels[0], rotation, fold) for fold, rotation in enumerate(outer)]
        for where, measured in batches():
            targets = put(measured, device)
            for fold, rotation in enumerate(outer):
                here = np.flatnonzero(chosen.share[fold, where] == number)
                if not len(here):
                    continue
                alphas = put(grid[chosen.alpha[fold, where][here]], device)
                fitted = targets[rotation.train][:, here]
                square = rotation.singular**2
                weights = (rotation.left.T @ fitted) / (square[:, None] + alphas)
                held = rotation.held[fold]
                ours = across[fold] @ weights
                rest = (held.rows * rotation.singular) @ weights - ours
                places = np.ix_(held.samples, np.arange(n_targets)[where][here])
                prediction[places] = take(ours)
                response[places] = measured[held.samples][:, here] - take(rest + fitted.mean(0))
    tests = [folds.outer(fold)[1] for fold in range(folds.n)]
    r_test = np.stack([correlate(response[test], prediction[test]) for test in tests])
    return BandedFit(r_test, chosen.r, chosen.alpha, prediction, response)


def _unit(kernel: Array) -> Array:
    """Divide a kernel by its mean diagonal; that of features without columns stays 0."""
    scale = float(kernel.diagonal().mean())
    return kernel / scale if scale else kernel


def _mixture(kernels: Sequence[Array], folds: Folds) -> Stimulus:
    kernel = kernels[0] + kernels[1]
    return Stimulus(
        width=len(folds.test),
        trace=float(kernel.diagonal().sum()),
        kernel=kernel,
        rotate=lambda train, held: rotate_samples(kernel, train, held),
    )


def _choose(
    mixtures: Sequence[Stimulus],
    batches: Batches,
    n_targets: int,
    folds: Folds,
    grid: np.ndarray,
    device: str,
    dtype: str,
) -> Chosen:
    """Choose each target's share and penalty in each outer fold."""
    shape = (folds.n, n_targets)
    best = Chosen(
        np.zeros(shape, int), np.zeros(shape, int), np.full(shape, np.inf), np.zeros(shape)
    )
    for number, mixture in enumerate(mixtures):
        inner = rotate_pairs(mixture, folds, choosing(folds.n, first_only=False), dtype)
        for where, measured in batches():
            loss, r = inner_scores(inner, cast(put(measured, device), dtype), grid, folds.n)
            alpha = loss.argmin(axis=1)
            found = [
                np.take_along_axis(values, alpha[:, None], axis=1)[:, 0] for values in (loss, r)
            ]
            better = found[0] < best.loss[:, where]
            for kept, new in zip(best, (number, alpha, *found), strict=True):
                kept[:, where] = np.where(better, new, kept[:, where])
    return best


def _rows(kernel: Array, rotation: Rotation, fold: int) -> Array:
    """Return what one band brings to the held out rows of a rotated mixture, times its S."""
    alone = kernel[rotation.held[fold].samples][:, rotation.train]
    # U has no mean, so that only the mean over the training samples is left to take out.
    centre = kernel[rotation.train][:, rotation.train].mean(0)
    return (alone - centre) @ rotation.left
