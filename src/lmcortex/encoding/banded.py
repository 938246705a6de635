"""Ridge with a band of features for each source: what a model adds to what is known already.

The kernels of the model and of the nuisances are mixed in several shares, and each target takes the
mixture and the penalty of the least squared error on the inner folds (banded ridge; Nunez-Elizalde
et al. 2019, NeuroImage 197:482), by himalaya's search (Dupré la Tour et al. 2022, NeuroImage
264:119728). The same search is made of the nuisances alone. The gain of a target is the correlation
of its responses with the prediction of all, less that with the prediction of the nuisances alone.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from lmcortex.encoding.devices import Array, library, put, take
from lmcortex.encoding.ridge import Batches
from lmcortex.folds import Folds
from lmcortex.inference import correlate

# Shares of the model in the mixed kernel; the rest is that of the nuisances.
SHARES = (0.01, 0.1, 0.5, 0.9, 1.0)


class BandedFit(NamedTuple):
    """Some targets' cross-validated banded ridge on one layer.

    `r_test` and `r_inner`, both gains, and `alpha_index` are (n_folds, n_targets); `prediction`, of
    all bands, and `known`, of the nuisances alone, are (n_samples, n_targets), out of fold.
    """

    r_test: np.ndarray
    r_inner: np.ndarray
    alpha_index: np.ndarray
    prediction: np.ndarray
    known: np.ndarray


class Search(NamedTuple):
    """The best mixture and penalty of each target, found on one training set.

    `loss` and `r` are means over the inner folds, (n_targets,); `prediction` is of the test
    samples, (n_test, n_targets).
    """

    loss: np.ndarray
    r: np.ndarray
    alpha_index: np.ndarray
    prediction: np.ndarray


def fit_banded(
    model: Array,
    nuisances: Sequence[Array],
    batches: Batches,
    folds: Folds,
    grid: np.ndarray,
    *,
    device: str = "cpu",
) -> Iterator[tuple[slice, BandedFit]]:
    """Cross-validate what one layer adds to nuisances, a batch of targets at a time.

    Where the model does not lower the loss on the inner folds, the prediction is that of the
    nuisances alone, and the gain is 0.

    Parameters
    ----------
    model, nuisances : kernels (n_samples, n_samples) in float64; each is divided by its mean
        diagonal. That of a model without columns is 0.
    batches : yields slices of targets, and their (n_samples, n_targets) responses.
    grid : (n_alphas,), multiples of the mean diagonal of the mixed kernel.
    device : `cpu` or `cuda`, that of the kernels.

    Yields
    ------
    The slice of each batch, and its fit.
    """
    from himalaya.backend import set_backend

    set_backend("torch_cuda" if device == "cuda" else "numpy")
    kernels = library(model).stack([_unit(kernel) for kernel in (model, *nuisances)])
    without, together = mixtures(len(nuisances))
    if not float(model.diagonal().sum()):
        together = without
    for where, measured in batches():
        targets = put(measured, device)
        alone, found = (
            [_search(kernels, targets, folds, fold, grid, weights) for fold in range(folds.n)]
            for weights in (without, together)
        )
        yield where, _gain(measured, alone, found, folds)


def mixtures(n_nuisances: int) -> tuple[np.ndarray, np.ndarray]:
    """List the weights of the kernels in the mixtures that are tried.

    Returns
    -------
    without, together : (n_mixtures, 1 + n_nuisances), the model's weight first. Without the model,
        every set of nuisances in equal parts, so that a useless one costs nothing; together, the
        model in each share with each of these.
    """
    chosen = np.array([kept for kept in product((0.0, 1.0), repeat=n_nuisances) if any(kept)])
    sets = chosen / chosen.sum(axis=1, keepdims=True)
    together = [(share, *(1 - share) * weights) for share in SHARES for weights in sets]
    return np.insert(sets, 0, 0.0, axis=1), np.unique(together, axis=0)


def _gain(
    measured: np.ndarray, alone: Sequence[Search], together: Sequence[Search], folds: Folds
) -> BandedFit:
    prediction, known = np.empty(measured.shape), np.empty(measured.shape)
    r_test, r_inner, alpha_index = [], [], []
    for fold, (without, found) in enumerate(zip(alone, together, strict=True)):
        test = folds.outer(fold)[1]
        adds = found.loss < without.loss
        known[test] = without.prediction
        prediction[test] = np.where(adds, found.prediction, without.prediction)
        r_test.append(
            correlate(measured[test], prediction[test]) - correlate(measured[test], known[test])
        )
        r_inner.append(np.where(adds, found.r - without.r, 0.0))
        alpha_index.append(np.where(adds, found.alpha_index, without.alpha_index))
    by_fold = np.stack(r_test), np.stack(r_inner), np.stack(alpha_index)
    return BandedFit(*by_fold, prediction, known)


def _search(
    kernels: Array,
    targets: Array,
    folds: Folds,
    fold: int,
    grid: np.ndarray,
    weights: np.ndarray,
) -> Search:
    """Choose each target's mixture and penalty for one outer fold, and predict its test samples."""
    from himalaya.kernel_ridge import (
        predict_weighted_kernel_ridge,
        solve_multiple_kernel_ridge_random_search,
    )
    from himalaya.scoring import correlation_score, l2_neg_loss

    train, test = folds.outer(fold)
    inner = []

    def score(held: Array, predicted: Array) -> Array:
        # One call for each mixture and inner fold, of all penalties: layers are chosen by r.
        inner.append(np.nan_to_num(take(correlation_score(held, predicted))))
        return l2_neg_loss(held, predicted)

    # Himalaya's own annotations are taken from defaults, and too narrow.
    settings: dict[str, Any] = {
        "n_iter": weights,
        "alphas": grid,
        "score_func": score,
        "cv": folds.inner(fold),
        "fit_intercept": True,
        "return_weights": "dual",
        "return_alphas": True,
        "progress_bar": False,
    }
    with np.errstate(divide="ignore"):  # the logarithm of a weight of 0
        deltas, dual, scores, alphas, intercept = solve_multiple_kernel_ridge_random_search(
            kernels[:, train][:, :, train], targets[train], **settings
        )
    across = kernels[:, test][:, :, train]
    prediction = predict_weighted_kernel_ridge(across, dual, deltas)
    scores = take(scores)
    places = scores.argmax(axis=0), np.searchsorted(grid, take(alphas)), np.arange(scores.shape[1])
    r = np.reshape(inner, (len(weights), folds.n - 1, len(grid), -1)).mean(axis=1)
    return Search(
        loss=-scores[places[0], places[2]],
        r=r[places],
        alpha_index=places[1],
        prediction=take(prediction) + take(intercept),
    )


def _unit(kernel: Array) -> Array:
    """Divide a kernel by its mean diagonal; that of features without columns stays 0."""
    scale = float(kernel.diagonal().mean())
    return kernel / scale if scale else kernel
