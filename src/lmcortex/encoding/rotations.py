"""The stimulus side of ridge: what all targets of all subjects share.

The singular vectors of a training set's centred columns turn ridge into a scaling: with X = U S V',
the predictions of samples Z at penalty a are Z V S / (S^2 + a) U' y, for every a and every y. U, S
and Z V depend on the features and the training set alone. They come from the p x p covariance of
the columns, or, where these are more than the samples, from the kernel X X'.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import permutations
from typing import NamedTuple

import numpy as np

from lmcortex.encoding.devices import Array, cast, library, put
from lmcortex.folds import Folds

EPSILON = float(np.finfo(np.float64).eps)


class Held(NamedTuple):
    """Samples held out of a training set: their indices, and their rows Z V, (n_held, rank)."""

    samples: np.ndarray
    rows: Array


class Rotation(NamedTuple):
    """A training set in its own axes.

    Attributes
    ----------
    train : (n_train,), indices of samples.
    left : (n_train, rank), orthonormal columns U, each of mean 0.
    singular : (rank,), singular values S.
    held : the samples to predict, by the outer fold that they are predicted for.
    """

    train: np.ndarray
    left: Array
    singular: Array
    held: dict[int, Held]


class Stimulus(NamedTuple):
    """One layer's features on the samples of a dataset.

    Attributes
    ----------
    width : number of columns.
    trace : the sum of squares of all columns.
    kernel : (n_samples, n_samples); none where columns are rotated.
    rotate : takes the indices of a training set, and those of held out samples by fold.
    """

    width: int
    trace: float
    kernel: Array | None
    rotate: Callable[[np.ndarray, Mapping[int, np.ndarray]], Rotation]


def stimulus_of(blocks: Iterable[np.ndarray], n_train: int, device: str) -> Stimulus:
    """Gather blocks of columns, such as copies at several delays.

    Only few columns are ever put side by side: of others the kernels are summed, so that copies at
    many delays take no more memory than one.

    Parameters
    ----------
    blocks : (n_samples, n_columns) each, z-scored.
    n_train : samples of the smallest training set; with fewer columns than that, columns are
        rotated, else samples.
    device : `cpu` or `cuda`.
    """
    columns: list[Array] = []
    kernel, width, trace = 0.0, 0, 0.0
    for block in blocks:
        columns.append(put(block, device))
        width += columns[-1].shape[1]
        trace += float((columns[-1] ** 2).sum())
        if width >= n_train:
            kernel = kernel + sum(part @ part.T for part in columns)
            columns = []
    if width >= n_train:
        return Stimulus(width, trace, kernel, partial(rotate_samples, kernel))
    side_by_side = library(columns[0]).concatenate(columns, 1)
    return Stimulus(width, trace, None, partial(rotate_columns, side_by_side))


def rotate_columns(columns: Array, train: np.ndarray, held: Mapping[int, np.ndarray]) -> Rotation:
    """Rotate a training set by the covariance of its columns, (n_columns, n_columns)."""
    mean = columns[train].mean(0)
    fitted = columns[train] - mean
    singular, axes = _axes(fitted.T @ fitted, len(train))
    return Rotation(
        train,
        fitted @ axes / singular,
        singular,
        {fold: Held(samples, (columns[samples] - mean) @ axes) for fold, samples in held.items()},
    )


def rotate_samples(kernel: Array, train: np.ndarray, held: Mapping[int, np.ndarray]) -> Rotation:
    """Rotate a training set by its kernel, centred in place of its columns."""
    rows = kernel[train]
    fitted = rows[:, train]
    mean = fitted.mean(0)
    singular, left = _axes(fitted - mean - mean[:, None] + mean.mean(), len(train))

    def rotated(samples: np.ndarray) -> Array:
        across = rows[:, samples].T
        return (across - mean - across.mean(1)[:, None] + mean.mean()) @ left / singular

    return Rotation(
        train,
        left,
        singular,
        {fold: Held(samples, rotated(samples)) for fold, samples in held.items()},
    )


def _axes(squares: Array, n_train: int) -> tuple[Array, Array]:
    """Return the singular values, and the axes of those that are not 0 by rounding alone."""
    variances, axes = library(squares).linalg.eigh(squares)
    kept = variances > n_train * EPSILON * variances[-1:]
    return variances[kept] ** 0.5, axes[:, kept]


def choosing(n_folds: int, first_only: bool) -> list[tuple[int, int]]:
    """List which folds choose the penalties of each outer fold: all others, or the first other.

    Returns
    -------
    Pairs of an outer fold and a fold that it is validated on.
    """
    pairs = list(permutations(range(n_folds), 2))
    return [pair for pair in pairs if pair[1] == (pair[0] == 0)] if first_only else pairs


def rotate_pairs(
    stimulus: Stimulus, folds: Folds, pairs: Iterable[tuple[int, int]], dtype: str
) -> list[Rotation]:
    """Rotate the training sets without two folds.

    Such a set serves twice: it predicts one fold to choose penalties for the other, and the other
    for the one.

    Parameters
    ----------
    pairs : of an outer fold and the fold that it is validated on, in either order.
    """
    together: dict[frozenset[int], dict[int, np.ndarray]] = {}
    for outer, validation in pairs:
        held = np.flatnonzero(folds.train[outer] & (folds.test == validation))
        together.setdefault(frozenset((outer, validation)), {})[outer] = held
    return [
        _in(stimulus.rotate(np.flatnonzero(folds.train[list(pair)].all(axis=0)), held), dtype)
        for pair, held in together.items()
    ]


def rotate_outer(stimulus: Stimulus, folds: Folds, dtype: str) -> list[Rotation]:
    """Rotate the training set of each outer fold."""
    outer = [folds.outer(fold) for fold in range(folds.n)]
    return [
        _in(stimulus.rotate(train, {fold: test}), dtype) for fold, (train, test) in enumerate(outer)
    ]


def _in(rotation: Rotation, dtype: str) -> Rotation:
    """Keep a rotation, found in float64, in the precision that the targets are predicted in."""
    return rotation._replace(
        left=cast(rotation.left, dtype),
        held={
            fold: Held(held.samples, cast(held.rows, dtype)) for fold, held in rotation.held.items()
        },
    )
