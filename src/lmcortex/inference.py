"""Nulls, resampling and corrections, all over numbers that are already fitted.

Nothing here fits a model again: intervals resample out-of-fold pairs of response and prediction, or
subjects; nulls permute the measured responses against fixed predictions.
"""

from itertools import product

import numpy as np

LEVEL = 0.95
# Folds of a cross-validation depend on each other: i trains for j and j trains for i, so that what
# two folds share by chance enters the mean over folds twice. For a linear encoder without signal,
# that mean has twice the variance that resampling against fixed predictions shows, however many
# folds (on the general problem: Bates, Hastie & Tibshirani 2024, J. Am. Stat. Assoc. 119:1434).
# Deviations are widened by this factor; tests/unit/test_scores.py measures what comes of it.
FOLD_DEPENDENCE = 2**0.5


def label_blocks(groups: np.ndarray, size: int) -> np.ndarray:
    """Cut each stretch of samples of one group into blocks of `size` consecutive samples.

    Parameters
    ----------
    groups : int array (n_samples,); a block never crosses a change of group.
    size : samples per block; the last block of a stretch may be shorter.

    Returns
    -------
    int array (n_samples,), the block of each sample, counted from 0.
    """
    new_stretch = np.r_[True, np.diff(groups) != 0]
    starts = np.flatnonzero(new_stretch)
    position = np.arange(len(groups)) - starts[np.cumsum(new_stretch) - 1]
    return np.cumsum(position % size == 0) - 1


def _blocks_by_fold(folds: np.ndarray, blocks: np.ndarray) -> list[np.ndarray]:
    return [np.unique(blocks[folds == fold]) for fold in np.unique(folds)]


def resampling_weights(
    folds: np.ndarray, blocks: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw blocks with replacement within each fold, one fewer than the fold has.

    As many as it has would show too little: the spread of B blocks around their mean is (B - 1) / B
    of what it is around the mean of all there could be (Rao & Wu 1988, J. Am. Stat. Assoc. 83:231).

    Parameters
    ----------
    folds, blocks : int arrays (n_samples,), the fold and the block of each sample.
    n : number of resamples.

    Returns
    -------
    (n, n_samples) array: how often each resample holds each sample.
    """
    counts = np.zeros((n, blocks.max() + 1))
    for members in _blocks_by_fold(folds, blocks):
        size = max(1, len(members) - 1)
        drawn = members[rng.integers(len(members), size=(n, size))]
        np.add.at(counts, (np.arange(n)[:, None], drawn), 1.0)
    return counts[:, blocks]


def block_permutations(
    folds: np.ndarray, blocks: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Shuffle the order of the blocks within each fold, the samples of a block kept in order.

    Returns
    -------
    int array (n, n_samples): ``values[result[i]]`` is the i-th permuted series.
    """
    keys = rng.random((n, blocks.max() + 1))[:, blocks]
    result = np.empty((n, len(folds)), dtype=np.intp)
    for fold in np.unique(folds):
        here = np.flatnonzero(folds == fold)
        result[:, here] = here[np.argsort(keys[:, here], axis=1, kind="stable")]
    return result


def standardise(values: np.ndarray) -> np.ndarray:
    """Centre columns and scale them to unit sum of squares; constant columns become 0.

    The product of two such columns is their Pearson correlation, so that the correlation with a
    constant is 0 by definition here.
    """
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    floor = 1e-12 * np.sqrt(len(values)) * np.abs(values).max(axis=0, initial=0.0)
    constant = norm <= floor
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, norm))


def standardise_folds(values: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Apply `standardise` to the samples of each fold by themselves."""
    result = np.empty(values.shape)
    for fold in np.unique(folds):
        result[folds == fold] = standardise(values[folds == fold])
    return result


def correlate(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Pearson's r of each column; 0 where either column is constant."""
    return (standardise(measured) * standardise(predicted)).sum(axis=0)


def permuted_correlations(
    measured: np.ndarray,
    predicted: np.ndarray,
    folds: np.ndarray,
    permutations: np.ndarray,
) -> np.ndarray:
    """Correlate permuted responses with fixed predictions.

    Parameters
    ----------
    measured, predicted : (n_samples, n_targets).
    folds : (n_samples,).
    permutations : (n, n_samples), from `block_permutations`; the same for all targets.

    Returns
    -------
    (n, n_targets): the mean over folds of r under each permutation.
    """
    measured = standardise_folds(measured, folds)
    predicted = standardise_folds(predicted, folds)
    sums = [m[permutations] @ p for m, p in zip(measured.T, predicted.T, strict=True)]
    return np.stack(sums, axis=1) / len(np.unique(folds))


def permuted_gains(
    measured: np.ndarray,
    predicted: np.ndarray,
    known: np.ndarray,
    folds: np.ndarray,
    permutations: np.ndarray,
) -> np.ndarray:
    """Correlate with fixed predictions what keeps its relation to one that is known.

    In each fold, what a regression on the known prediction leaves of the responses is permuted and
    put back (Freedman & Lane 1983, J. Bus. Econ. Stat. 1:292).

    Parameters
    ----------
    measured, predicted, known : (n_samples, n_targets).
    folds : (n_samples,).
    permutations : (n, n_samples), from `block_permutations`; the same for all targets.

    Returns
    -------
    (n, n_targets): the mean over folds of r with `predicted` less r with `known`.
    """
    measured, predicted, known = (
        standardise_folds(values, folds) for values in (measured, predicted, known)
    )
    numbers = np.unique(folds)
    gains = np.zeros((len(permutations), measured.shape[1]))
    for fold in numbers:
        here = folds == fold
        orders = np.searchsorted(np.flatnonzero(here), permutations[:, here])
        y, p, k = measured[here], predicted[here], known[here]
        slope = (y * k).sum(axis=0)
        rest, overlap = y - slope * k, (p * k).sum(axis=0)
        for target in range(y.shape[1]):
            moved = rest[orders, target]
            with_p, with_k = moved @ p[:, target], moved @ k[:, target]
            b = slope[target]
            squares = b**2 + (rest[:, target] ** 2).sum() + 2 * b * with_k
            gain = b * overlap[target] + with_p - b - with_k
            # Squares are 0 for a constant alone, whose r are 0.
            gains[:, target] += gain / np.sqrt(np.where(squares > 1e-12, squares, 1.0))
    return gains / len(numbers)


def resampled_correlations(
    measured: np.ndarray, predicted: np.ndarray, folds: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Correlate resampled pairs of response and prediction.

    Parameters
    ----------
    measured : (n_samples, n_targets).
    predicted : (n_predictions, n_samples, n_targets): several predictions of the same responses.
    folds : (n_samples,).
    weights : (n, n_samples), from `resampling_weights`; the same for all targets.

    Returns
    -------
    (n_predictions, n, n_targets): the mean over folds of the weighted correlation.
    """
    numbers = np.unique(folds)
    n_predictions, _, n_targets = predicted.shape
    total = np.zeros((n_predictions, len(weights), n_targets))
    for fold in numbers:
        here = folds == fold
        w = weights[:, here] / weights[:, here].sum(axis=1, keepdims=True)
        # Standardised first, so that the sums of squares below lose no digits.
        y = standardise(measured[here])
        mean_y = w @ y
        variance_y = w @ y**2 - mean_y**2
        for i in range(n_predictions):
            x = standardise(predicted[i, here])
            mean_x = w @ x
            covariance = w @ (y * x) - mean_y * mean_x
            variance = variance_y * (w @ x**2 - mean_x**2)
            # A resample may hold one item many times over and nothing else: its r is 0.
            usable = variance > 1e-24
            total[i] += np.where(usable, covariance / np.sqrt(np.where(usable, variance, 1.0)), 0.0)
    return total / len(numbers)


def widen(draws: np.ndarray, factor: float) -> np.ndarray:
    """Scale the deviations of draws (..., n) from their mean over the last axis."""
    centre = draws.mean(axis=-1, keepdims=True)
    return centre + factor * (draws - centre)


def few_subjects(n: int) -> float:
    """Return by how much draws of the mean of few subjects are too narrow.

    Resamples of n values spread by their standard deviation over n instead of n - 1, and
    percentiles read them as if that were known, where Student's t is due: Hesterberg 2015, Am.
    Stat. 69:371.
    """
    from scipy.stats import norm, t

    tail = (1 - LEVEL) / 2
    return float(t.isf(tail, n - 1) / norm.isf(tail) * np.sqrt(n / (n - 1)))


def permutation_p(observed: float, null: np.ndarray) -> float:
    """Return the one-sided p of a score: (k + 1) / (n + 1), k of n null scores reaching it."""
    return float((np.sum(null >= observed - 1e-12) + 1) / (len(null) + 1))


def sign_flip_p(
    values: np.ndarray, n: int, rng: np.random.Generator, two_sided: bool = False
) -> float:
    """Test that the mean of independent values is 0 by flipping their signs.

    All flips are taken when there are at most `n` of them (the test is then exact), else `n`
    random ones, with p = (k + 1) / (n + 1). One-sided: the mean is above 0.
    """
    values = np.asarray(values, dtype=float)
    exact = 2 ** len(values) <= n
    if exact:
        signs = np.array(list(product((1.0, -1.0), repeat=len(values))))
    else:
        signs = rng.choice((1.0, -1.0), size=(n, len(values)))
    observed, null = values.mean(), signs @ values / len(values)
    if two_sided:
        observed, null = abs(observed), np.abs(null)
    return float(np.mean(null >= observed - 1e-12)) if exact else permutation_p(observed, null)


def resampling_p(draws: np.ndarray) -> float:
    """Return the two-sided p of resamples against 0: twice the share in their smaller tail."""
    tail = min(np.sum(draws <= 0), np.sum(draws >= 0))
    return float(min(1.0, 2 * (tail + 1) / (len(draws) + 1)))


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval that holds 95 % of `draws`.

    The bounds are draws themselves, so that infinite draws ("never reached") are allowed.
    """
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Return false discovery rates q of p values; NaN stays NaN and does not count.

    Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57:289.
    """
    p = np.asarray(p, dtype=float)
    q = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known])[::-1]]
    ranks = np.arange(len(order), 0, -1)
    q[order] = np.minimum.accumulate(p[order] * len(order) / ranks).clip(max=1.0)
    return q
