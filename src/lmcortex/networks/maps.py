"""Atoms as fixed regressors of brain responses: maps of weights, and how much they explain."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lmcortex.folds import Folds
from lmcortex.networks.dictionary import sparse_weights

# Penalties are in multiples of the number of samples. Regressors and responses are z-scored, so
# that a sparse penalty of 1 leaves no weight.
SPARSE_PENALTIES = np.geomspace(0.01, 0.4, 8)
RIDGE_PENALTIES = np.logspace(-2, 2, 9)
# What encoders there are: the published reading, ridge, and ridge after word rate is taken out of
# atoms and responses.
SPARSE, RIDGE, BEYOND_RATE = "sparse", "ridge", "ridge, word rate out"
ENCODERS = (SPARSE, RIDGE, BEYOND_RATE)

Fit = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


class Maps(NamedTuple):
    """How atoms explain the targets of one subject.

    Attributes
    ----------
    weights : (n_atoms, n_targets), from all samples.
    r2_in : (n_targets,) in-sample share of variance, 1 - SSE / SST.
    r2_cv : (n_targets,) the same of out-of-fold predictions; below 0 where they are worse than the
        mean of the training samples.
    penalty : the one chosen for all targets together.
    """

    weights: np.ndarray
    r2_in: np.ndarray
    r2_cv: np.ndarray
    penalty: float


def sparse_map(atoms: np.ndarray, responses: np.ndarray, penalty: float) -> np.ndarray:
    """Return the weights (n_atoms, n_targets) that minimise ``1/2 |y - Dw|^2 + penalty n |w|_1``.

    Parameters
    ----------
    atoms : (n_samples, n_atoms) D.
    responses : (n_samples, n_targets), one y each.
    """
    targets = np.ascontiguousarray(responses.T)
    return sparse_weights(targets, np.ascontiguousarray(atoms.T), penalty * len(atoms)).T


def ridge_map(atoms: np.ndarray, responses: np.ndarray, penalty: float) -> np.ndarray:
    """Return the weights (n_atoms, n_targets) that minimise ``|y - Dw|^2 + penalty n |w|^2``."""
    return ridge_operator(atoms.T @ atoms, penalty * len(atoms)) @ (atoms.T @ responses)


def ridge_operator(gram: np.ndarray, penalty: float) -> np.ndarray:
    """Return the inverse of ``gram + penalty I``."""
    return np.linalg.inv(gram + penalty * np.eye(len(gram)))


def encoder_of(name: str) -> tuple[Fit, np.ndarray]:
    """Return an encoder's fit and its grid of penalties."""
    return (sparse_map, SPARSE_PENALTIES) if name == SPARSE else (ridge_map, RIDGE_PENALTIES)


def without(nuisance: np.ndarray, values: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Take nuisance columns out of `values` in each run, by least squares over all its samples.

    Parameters
    ----------
    nuisance : (n_samples, n_columns).
    values : (n_samples, k).
    runs : (n_samples,).

    Returns
    -------
    (n_samples, k), each column of variance 1 in every run.
    """
    rest = np.empty(values.shape)
    for run in np.unique(runs):
        here = runs == run
        columns = np.column_stack([np.ones(here.sum()), nuisance[here]])
        left = values[here] - columns @ np.linalg.lstsq(columns, values[here])[0]
        rest[here] = left / left.std(axis=0)
    return rest


def fit_maps(name: str, atoms: np.ndarray, responses: np.ndarray, folds: Folds) -> Maps:
    """Fit one subject's responses from atoms.

    The penalty is one number for all targets, as in the paper: the one with the least squared error
    over validation folds. Within each outer fold only its training samples choose it.

    Parameters
    ----------
    name : one of `ENCODERS`.
    atoms : (n_samples, n_atoms), z-scored.
    responses : (n_samples, n_targets), z-scored.
    """
    fit, penalties = encoder_of(name)
    predicted, mean = np.empty(responses.shape), np.empty(responses.shape)
    outer_errors = np.zeros(len(penalties))
    for fold in range(folds.n):
        train, test = folds.outer(fold)
        splits = [(train[some], train[rest]) for some, rest in folds.inner(fold)]
        errors = sum(squared_errors(fit, penalties, atoms, responses, *split) for split in splits)
        guesses = [predict(fit, penalty, atoms, responses, train, test) for penalty in penalties]
        outer_errors += [np.sum((responses[test] - guess) ** 2) for guess in guesses]
        predicted[test] = guesses[int(np.argmin(errors))]
        mean[test] = responses[train].mean(axis=0)
    penalty = float(penalties[int(np.argmin(outer_errors))])
    weights = fit(atoms, responses, penalty)
    rest = responses - atoms @ weights
    return Maps(
        weights,
        1 - (rest**2).sum(axis=0) / ((responses - responses.mean(axis=0)) ** 2).sum(axis=0),
        1 - ((responses - predicted) ** 2).sum(axis=0) / ((responses - mean) ** 2).sum(axis=0),
        penalty,
    )


def squared_errors(
    fit: Fit,
    penalties: np.ndarray,
    atoms: np.ndarray,
    responses: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> np.ndarray:
    """Return the squared error of each penalty, summed over test samples and targets."""
    guesses = (predict(fit, penalty, atoms, responses, train, test) for penalty in penalties)
    return np.array([np.sum((responses[test] - guess) ** 2) for guess in guesses])


def predict(
    fit: Fit,
    penalty: float,
    atoms: np.ndarray,
    responses: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> np.ndarray:
    """Predict test samples from a fit to the training samples, both centred on the latter."""
    centre, level = atoms[train].mean(axis=0), responses[train].mean(axis=0)
    weights = fit(atoms[train] - centre, responses[train] - level, float(penalty))
    return (atoms[test] - centre) @ weights + level
