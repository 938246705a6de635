"""What follows from planted brains: the scores and ceilings to expect, and how far they vary.

Closed forms, given the features, the latents, the penalties that a fit chose and the covariance of
the noise. They share no code with the encoders.
"""

from typing import NamedTuple

import numpy as np
from planted_brains import AUTOCORRELATION, Brain, Heard
from scipy.linalg import block_diag, toeplitz

from lmcortex.simulation import planted


class Expected(NamedTuple):
    """The mean score of each voxel over brains, and its variance: both (n_voxels,).

    `bias` bounds what the mean leaves out, of second order in the number of samples.
    """

    mean: np.ndarray
    variance: np.ndarray
    bias: np.ndarray


def expected_scores(
    columns: np.ndarray, latents: np.ndarray, brain: Brain, alpha: np.ndarray, folds: np.ndarray
) -> Expected:
    """Return what ridge scores on the average, at the penalties that a fit chose.

    A test run's prediction is H y, linear in the training response y = Z u + e. With a covariance S
    of the noise, the expected sums of products are ``z' H Z u``, ``u' Z' H' H Z u + tr(H S H')``
    and so on, all quadratic forms of the few latents.

    Parameters
    ----------
    columns : (n_samples, width), z-scored by run.
    latents : (n_samples, 2 * N_LATENTS), as heard.
    alpha : (n_folds, n_voxels), the penalties that a fit chose.
    folds : (n_samples,), in which each sample is tested: its run.
    """
    weights = brain.ceiling * brain.weights
    noise = 1 - (weights**2).sum(axis=0)
    r, variance = [], []
    for fold, chosen in enumerate(alpha):
        terms = rotated(columns, latents, folds, fold)
        found = np.empty((2, len(chosen)))
        for value in np.unique(chosen):
            here = chosen == value
            found[:, here] = _moments(terms, value, weights[:, here], noise[here])
        r.append(found[0])
        variance.append(found[1])
    r, variance = np.array(r), np.array(variance)
    bias = (np.abs(r) * variance / (1 - r**2)).mean(axis=0) / 2
    return Expected(r.mean(axis=0), variance.mean(axis=0) / len(r), bias)


class Terms(NamedTuple):
    """A fold in the axes of its training set X = U S V': latents and noise as these see them."""

    singular: np.ndarray  # S
    train_latents: np.ndarray  # U' Z
    train_noise: np.ndarray  # U' S U
    test_latents: np.ndarray  # (X_test V)' Z_test
    test_gram: np.ndarray  # (X_test V)' X_test V
    test_noise: np.ndarray  # (X_test V)' S X_test V
    test_variation: tuple[float, float]  # sums of squares of a latent and of noise


def rotated(columns: np.ndarray, latents: np.ndarray, folds: np.ndarray, fold: int) -> Terms:
    test = folds == fold
    train = ~test
    fitted, held = columns[train], columns[test]
    wide = fitted.shape[1] > len(fitted)
    squares, axes = np.linalg.eigh(fitted @ fitted.T if wide else fitted.T @ fitted)
    kept = squares > squares[-1] * 1e-10
    singular, axes = np.sqrt(squares[kept]), axes[:, kept]
    left = axes if wide else fitted @ axes / singular
    rows = held @ (fitted.T @ (axes / singular) if wide else axes)
    _, lengths = np.unique(folds[train], return_counts=True)
    covariance, of_test = block_diag(*map(_covariance, lengths)), _covariance(len(held))
    return Terms(
        singular,
        left.T @ latents[train],
        left.T @ covariance @ left,
        rows.T @ latents[test],
        rows.T @ rows,
        rows.T @ of_test @ rows,
        (len(held), np.trace(of_test)),
    )


def _covariance(n: int) -> np.ndarray:
    """Return the covariance of the noise of a run of n samples, without its mean."""
    whole = toeplitz(AUTOCORRELATION ** np.arange(n))
    return whole - whole.mean(axis=0) - whole.mean(axis=1, keepdims=True) + whole.mean()


def _moments(
    terms: Terms, alpha: float, weights: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected r of some voxels on one fold at one penalty, and its variance."""
    scaling = terms.singular / (terms.singular**2 + alpha)
    trained, tested = (
        scaling[:, None] * part for part in (terms.train_latents, terms.test_latents)
    )
    spread = scaling[:, None] * terms.train_noise * scaling

    def form(matrix: np.ndarray) -> np.ndarray:
        return (weights * (matrix @ weights)).sum(axis=0)

    product = form(terms.test_latents.T @ trained)
    power = form(trained.T @ terms.test_gram @ trained) + noise * (terms.test_gram * spread).sum()
    varying = form(trained.T @ terms.test_noise @ trained) + form(
        tested.T @ terms.train_noise @ tested
    )
    varying = noise * varying + noise**2 * (terms.test_noise * spread).sum()
    heard, chance = terms.test_variation
    power *= heard * (weights**2).sum(axis=0) + chance * noise
    return product / np.sqrt(power), varying / power


def expected_ceilings(brain: Brain, heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the estimated squared ceilings over brains, and its standard deviation.

    The estimate is 1 - q / (1 + d): q, the noise of a mean over listeners, is known well, and the
    variance of the mean is off by d, which holds products of the latents, of the rest of the signal
    and of the noise with each other. To second order that is 1 - q + q d - q d^2.
    """
    known = (brain.weights**2).sum(axis=0)
    rest, noise, n = 1 - known, 1 - brain.ceiling**2, len(heard.items)
    latents = planted.seen(heard.runs, heard.latents)
    covariances = [_covariance(len(run.samples)) for run in heard.runs]
    left = sum(np.trace(each) for each in covariances) / n  # of a variance, without runs' means
    within = latents.T @ block_diag(*covariances) @ latents / n
    smooth = (brain.weights * (within @ brain.weights)).sum(axis=0)
    rough = (1 + AUTOCORRELATION**2) / (1 - AUTOCORRELATION**2)
    of_signal = 2 * rest**2 * rough + 4 * rest * smooth
    variance = brain.ceiling**4 * of_signal + 2 * noise**2 * rough
    variance += 4 * brain.ceiling**2 * noise * (smooth + rest * rough)
    signal = brain.ceiling**2 * (known + rest * left)
    squared = signal / (signal + noise * left)
    return squared - noise * variance / n, noise * np.sqrt(variance / n)
