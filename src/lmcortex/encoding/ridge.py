"""Cross-validated ridge, one layer at a time: the brain side, matrix products of targets.

Penalties are chosen and targets predicted in the rotated axes of `lmcortex.encoding.rotations`,
where a penalty is a scaling. Himalaya's `KernelRidgeCV` (Dupré la Tour et al. 2022, NeuroImage
264:119728) computes the same from a decomposition of its own for every call and fold.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from lmcortex.encoding.devices import Array, cast, columns_of, library, put, take
from lmcortex.encoding.rotations import (
    Rotation,
    Stimulus,
    choosing,
    rotate_outer,
    rotate_pairs,
)
from lmcortex.folds import Folds
from lmcortex.inference import correlate

# Predictions of several penalties are made at once, until they are this many numbers.
PREDICTIONS_AT_ONCE = 2**20


class Penalties(NamedTuple):
    """The grid of penalties, and how one is chosen.

    Attributes
    ----------
    grid : (n_alphas,).
    relative : multiples of trace(K) / n_samples, so that they mean the same for every width.
    common : one for all targets, by their mean r on the first other fold (Bonnasse-Gahot & Pallier
        2024); else each target's own, by the mean squared error over all other folds.
    """

    grid: np.ndarray
    relative: bool = True
    common: bool = False


class LayerFit(NamedTuple):
    """Some targets' cross-validated ridge on one layer.

    `r_test`, `r_inner` and `alpha_index` are (n_folds, n_targets); `prediction` is (n_samples,
    n_targets), out of fold.
    """

    r_test: np.ndarray
    r_inner: np.ndarray
    alpha_index: np.ndarray
    prediction: np.ndarray


class Batches(Protocol):
    """Responses in batches of targets: each time it is called, from the first batch on."""

    def __call__(self) -> Iterator[tuple[slice, np.ndarray]]: ...


def fit_layer(
    stimulus: Stimulus,
    batches: Batches,
    folds: Folds,
    penalties: Penalties,
    *,
    device: str = "cpu",
    dtype: str = "float64",
) -> Iterator[tuple[slice, LayerFit]]:
    """Cross-validate one layer, a batch of targets at a time.

    Parameters
    ----------
    stimulus : the layer; with no column the prediction is the training mean.
    batches : yields slices of targets, and their (n_samples, n_targets) responses.
    device : `cpu` or `cuda`, that of `stimulus`.
    dtype : precision of the products with targets; decompositions are always in float64.

    Yields
    ------
    The slice of each batch, and its fit.

    Raises
    ------
    FloatingPointError : a prediction is not finite though its input was.
    """
    if not stimulus.width:
        for where, measured in batches():
            yield where, _fit_without_columns(measured, folds, len(penalties.grid))
        return
    n_samples = len(folds.test)
    alphas = penalties.grid * (stimulus.trace / n_samples if penalties.relative else 1.0)
    inner = rotate_pairs(stimulus, folds, choosing(folds.n, penalties.common), dtype)
    outer = rotate_outer(stimulus, folds, dtype)
    common = None
    if penalties.common:
        common = _choose_for_all(
            inner_scores(inner, put(measured, device, dtype), alphas, folds.n)[1]
            for _, measured in batches()
        )
    for where, measured in batches():
        targets = put(measured, device, dtype)
        if common is None:
            chosen = _choose_for_each(*inner_scores(inner, targets, alphas, folds.n))
        else:
            chosen = Chosen(common.index[:, where], common.r[:, where])
        prediction = np.empty(measured.shape)
        for fold, rotation in enumerate(outer):
            held = rotation.held[fold]
            deviation, mean = predict(rotation, targets, alphas, chosen.index[fold], fold)
            # In double precision: a deviation can be far smaller than the mean.
            prediction[held.samples] = take(deviation) + take(mean).astype(np.float64)
        if not (np.isfinite(chosen.r).all() and np.isfinite(prediction).all()):
            raise FloatingPointError("ridge: a prediction is not finite though its input was")
        r_test = np.stack([correlate(measured[test], prediction[test]) for test in _tests(folds)])
        yield where, LayerFit(r_test, chosen.r, chosen.index, prediction)


def _tests(folds: Folds) -> list[np.ndarray]:
    return [folds.outer(fold)[1] for fold in range(folds.n)]


def _fit_without_columns(measured: np.ndarray, folds: Folds, n_alphas: int) -> LayerFit:
    """Predict the training mean, whose correlation is 0 by definition."""
    shape = (folds.n, measured.shape[1])
    prediction = np.empty(measured.shape)
    for fold in range(folds.n):
        train, test = folds.outer(fold)
        prediction[test] = measured[train].mean(axis=0)
    return LayerFit(np.zeros(shape), np.zeros(shape), np.full(shape, n_alphas - 1), prediction)


class Chosen(NamedTuple):
    """The places of the penalties in the grid, and their mean r on the inner folds.

    Both are (n_folds, n_targets).
    """

    index: np.ndarray
    r: np.ndarray


def _choose_for_each(loss: np.ndarray, r: np.ndarray) -> Chosen:
    """Choose the penalty of the least loss; both arrays are (n_folds, n_alphas, n_targets)."""
    index = loss.argmin(axis=1)
    return Chosen(index, np.take_along_axis(r, index[:, None], axis=1)[:, 0])


def _choose_for_all(scores: Iterator[np.ndarray]) -> Chosen:
    """Choose the penalty of the highest mean r of all targets, which come in batches."""
    r = np.concatenate([batch.astype(np.float32) for batch in scores], axis=2)
    index = np.broadcast_to(r.mean(axis=2, dtype=np.float64).argmax(axis=1)[:, None], r[:, 0].shape)
    return Chosen(index, np.take_along_axis(r, index[:, None], axis=1)[:, 0])


def scalings(rotation: Rotation, alphas: np.ndarray) -> Array:
    """Return S / (S^2 + a) for every penalty, (n_alphas, rank), in float64."""
    singular = rotation.singular
    penalty = put(alphas, str(singular.device).partition(":")[0])
    return singular / (singular**2 + penalty[:, None])


def inner_scores(
    rotations: list[Rotation], targets: Array, alphas: np.ndarray, n_folds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Score every penalty on the folds that choose it.

    Parameters
    ----------
    rotations : training sets without two folds.
    targets : (n_samples, n_targets).

    Returns
    -------
    loss, r : (n_folds, n_alphas, n_targets) float64, means over the other folds of each outer fold:
        mean squared error, and correlation (0 with a constant).
    """
    found: list[list[tuple[Array, Array]]] = [[] for _ in range(n_folds)]
    for rotation in rotations:
        for fold, scores in _scores_of(rotation, targets, alphas).items():
            found[fold].append(scores)
    means = [[sum(part) / len(part) for part in zip(*scores, strict=True)] for scores in found]
    loss, r = (
        np.stack([take(cast(mean, "float64")) for mean in part])
        for part in zip(*means, strict=True)
    )
    return loss, r


def _scores_of(
    rotation: Rotation, targets: Array, alphas: np.ndarray
) -> dict[int, tuple[Array, Array]]:
    """Return loss and correlation on each held out set, from sums of products.

    Only the sum of squares of the predictions needs the predictions themselves.
    """
    fitted = targets[rotation.train]
    weights = rotation.left.T @ fitted  # U has no mean, so that the responses' needs no removal
    mean = fitted.mean(0)
    dtype = str(fitted.dtype).removeprefix("torch.")
    scaling = cast(scalings(rotation, alphas), dtype)
    found, xp = {}, library(targets)
    for fold, held in rotation.held.items():
        n = len(held.samples)
        measured = targets[held.samples] - mean
        offset = measured.mean(0)
        measured = measured - offset
        variation = (measured**2).sum(0)
        covariation = scaling @ ((held.rows.T @ measured) * weights)
        total = (scaling * held.rows.sum(0)) @ weights
        squares = _squares(held.rows, scaling, weights)
        loss = (variation + squares - 2 * (covariation + offset * total)) / n + offset**2
        # Rounding leaves a constant prediction some spread.
        spread = squares - total**2 / n
        varies = (spread > 1e-6 * squares) & (variation > 0)
        scale = xp.where(varies, spread * variation, xp.ones_like(spread))
        found[fold] = loss, xp.where(varies, covariation / scale**0.5, xp.zeros_like(spread))
    return found


def _squares(rows: Array, scaling: Array, weights: Array) -> Array:
    """Return the sum of squares over held out samples of each penalty's predictions.

    Rows are scaled and not weights, because there are fewer of them than of targets.
    """
    xp, (rank, n_targets) = library(weights), weights.shape
    step = max(1, PREDICTIONS_AT_ONCE // (len(rows) * n_targets))
    parts = []
    for start in range(0, len(scaling), step):
        some = scaling[start : start + step]
        scaled = (some[:, None] * rows).reshape(len(some) * len(rows), rank)
        predicted = (scaled @ weights).reshape(len(some), len(rows), n_targets)
        parts.append(xp.einsum("aij,aij->aj", predicted, predicted))
    return xp.concatenate(parts)


def predict(
    rotation: Rotation, targets: Array, alphas: np.ndarray, index: np.ndarray, fold: int
) -> tuple[Array, Array]:
    """Predict the held out samples of a fold, each target at its own penalty.

    Parameters
    ----------
    targets : (n_samples, n_targets).
    index : (n_targets,), places in `alphas`.

    Returns
    -------
    deviations from the training mean (n_held, n_targets), and that mean (n_targets,).
    """
    fitted = targets[rotation.train]
    scaling = cast(scalings(rotation, alphas), str(fitted.dtype).removeprefix("torch."))
    weights = columns_of(scaling.T, index) * (rotation.left.T @ fitted)
    return rotation.held[fold].rows @ weights, fitted.mean(0)
