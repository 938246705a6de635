"""Modules of layers, of low and of high complexity, and what would look like them by chance.

Layers are clustered by their entropy and curvature. Two clusters can always be cut, and any smooth
profile over depth falls into two blocks that change slowly in training, so that what is found is
compared with what smooth profiles without modules give.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import comb, prod
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.inference import permutation_p
from lmcortex.statistics.clusters import (
    adjusted_rand,
    choose_n_clusters,
    silhouettes,
    two_means,
    ward,
)
from lmcortex.statistics.partial import Partial, matched_test

SETTLED = 0.8  # adjusted Rand index with the last step at which modules count as settled
MIN_LAYERS = 4
MIN_ARRANGEMENTS = 100


@dataclass(frozen=True)
class Modules:
    """What `find_modules` found.

    Attributes
    ----------
    low : bool (steps x layers), the layers of the low-complexity module at each step.
    course_low : bool (layers,), the same by the layers' whole course of training.
    points : (steps x layers x 2), the z-scores over layers of entropy and curvature.
    steps : one row per step, with the columns

        * step;
        * n_low, n_blocks (int): layers in the low module, and stretches of adjacent layers of one
          module;
        * entropy, curvature: mean z of the low module minus that of the high one; where one of them
          is above 0, "low" is true of the other only, and may change sides from step to step;
        * n_clusters_silhouette, n_clusters_gap (int): as these criteria choose;
        * silhouette: of the two modules, -1 to 1;
        * ari_previous, ari_final: adjusted Rand index with the step before, and the last one;
        * r: correlation of entropy and curvature over layers.
    nulls : one row per null and statistic, a mean over steps: null, statistic, observed, expected
        (mean of the null), p (one-sided: the observed is larger); of r, also ci_low and ci_high.
    summary : n_clusters_silhouette, n_clusters_gap and silhouette of the whole course; ari_course,
        its modules with those of the last step; stable_step, the first step from which on ari_final
        stays at 0.8 or more, infinite if that is the last step only.
    """

    low: np.ndarray
    course_low: np.ndarray
    points: np.ndarray
    steps: pd.DataFrame
    nulls: pd.DataFrame
    summary: dict[str, float]


def find_modules(
    entropy: np.ndarray,
    curvature: np.ndarray,
    steps: np.ndarray,
    rng: np.random.Generator,
    *,
    n_nulls: int = 200,
) -> Modules:
    """Cluster layers into a low- and a high-complexity module.

    At each step: 2-means of the layers' z-scored entropy and curvature. Over the whole course of
    training: Ward's linkage of these z-scores at all steps, cut at two. The low module is the one
    whose mean z is lower. Nulls say what is more than chance:

    * ``shuffle``: at each step, any layers may be in the modules;
    * ``smooth``: profiles without modules, as smooth over depth and as slow in training
      (`smooth_profiles`);
    * ``unrelated``, for ``r``: grids as autocorrelated, but unrelated (`partial.matched_test`).

    Parameters
    ----------
    entropy, curvature : (steps x layers), the layers in order; leave out states on another scale,
        such as embeddings and normed states.
    steps : (steps,), increasing.
    n_nulls : draws from each null.

    Raises
    ------
    InputError : fewer than 2 steps or 4 layers, or values that are not finite.
    """
    points = standard_points(entropy, curvature)
    labels = two_means(points)
    low = lower(points, labels)
    n_silhouette, n_gap = choose_n_clusters(points, rng)
    found = step_statistics(points, labels)
    by_step = pd.DataFrame(
        {
            "step": steps,
            "n_low": low.sum(axis=1),
            "n_blocks": 1 + np.diff(low, axis=1).sum(axis=1),
            "entropy": module_contrast(points[..., 0], low),
            "curvature": module_contrast(points[..., 1], low),
            "n_clusters_silhouette": n_silhouette,
            "n_clusters_gap": n_gap,
            **found,
        }
    )
    course = points.transpose(1, 0, 2).reshape(1, points.shape[1], -1)
    course_labels = ward(course, 2)[-1]
    course_low = lower(points.mean(axis=0, keepdims=True), course_labels)[0]
    n_silhouette, n_gap = choose_n_clusters(course, rng)
    summary = {
        "n_clusters_silhouette": int(n_silhouette[0]),
        "n_clusters_gap": int(n_gap[0]),
        "silhouette": float(silhouettes(course, course_labels)[0]),
        "ari_course": float(adjusted_rand(course_low, low[-1])),
        "stable_step": stable_step(found["ari_final"], steps),
    }
    nulls = pd.DataFrame(against_nulls(points, labels, n_nulls, rng))
    return Modules(low, course_low, points, by_step, nulls, summary)


def standard_points(entropy: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return z-scores over layers (steps x layers x 2)."""
    values = np.stack([entropy, curvature], axis=-1).astype(float)
    if values.shape[0] < 2 or values.shape[1] < MIN_LAYERS:
        raise InputError(
            f"modules: 2 steps and {MIN_LAYERS} layers or more expected, found {values.shape[0]} "
            f"and {values.shape[1]}; leave this model out"
        )
    if not np.isfinite(values).all():
        step, layer = np.argwhere(~np.isfinite(values))[0][:2]
        raise InputError(
            f"modules: entropy or curvature at step number {step}, layer number {layer} (from 0) "
            "is not finite; leave out layers and steps at which no sentence could be measured"
        )
    return z_scores(values, axis=1)


def z_scores(values: np.ndarray, axis: int) -> np.ndarray:
    """Centre and scale to unit variance; what is constant becomes 0."""
    centred = values - values.mean(axis=axis, keepdims=True)
    sd = centred.std(axis=axis, keepdims=True)
    constant = sd <= 1e-12 * np.abs(values).max(axis=axis, keepdims=True)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, sd))


def lower(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tell which points are in the lower one of clusters 0 and 1 (problems x points)."""
    # z-scores sum to 0, so that the sum over the lower cluster is negative.
    total = (points.sum(axis=-1) * labels).sum(axis=-1, keepdims=True)
    return (labels == 1) == (total < 0)


# --- training -------------------------------------------------------------------------------------


def step_statistics(points: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return how separate, how stable and how much alike in both measures modules are at each step.

    Parameters
    ----------
    points : (... x steps x layers x 2), z-scores over layers.
    labels : int (... x steps x layers).

    Returns
    -------
    (... x steps) each: ``silhouette``, ``ari_previous`` (NaN at the first step), ``ari_final``,
    ``r``.
    """
    flat = silhouettes(points.reshape(-1, *points.shape[-2:]), labels.reshape(-1, labels.shape[-1]))
    previous = adjusted_rand(labels[..., 1:, :], labels[..., :-1, :])
    return {
        "silhouette": flat.reshape(labels.shape[:-1]),
        "ari_previous": np.insert(previous, 0, np.nan, axis=-1),
        "ari_final": adjusted_rand(labels, labels[..., -1:, :]),
        "r": points.prod(axis=-1).mean(axis=-1),
    }


def stable_step(ari_final: np.ndarray, steps: np.ndarray) -> float:
    """Return the first step from which on the modules are those of the last step."""
    unsettled = np.flatnonzero(ari_final < SETTLED)
    first = unsettled[-1] + 1 if len(unsettled) else 0
    return float(steps[first]) if first < len(steps) - 1 else float("inf")


def resampled_agreement(entropy: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return how far modules agree with those of the last step, in resamples of the measures.

    Parameters
    ----------
    entropy, curvature : (n x steps x layers).

    Returns
    -------
    (n,): adjusted Rand index, mean over the steps before the last; fewer where a resample leaves a
    measure undefined.
    """
    values = np.stack([entropy, curvature], axis=-1)
    points = z_scores(values[np.isfinite(values).all(axis=(1, 2, 3))], axis=-2)
    labels = two_means(points.reshape(-1, *points.shape[-2:])).reshape(points.shape[:-1])
    return adjusted_rand(labels[..., :-1, :], labels[..., -1:, :]).mean(axis=-1)


# --- nulls ----------------------------------------------------------------------------------------


def against_nulls(
    points: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `Modules.nulls`."""
    observed = over_steps(step_statistics(points, labels))
    shuffled = rng.permuted(np.broadcast_to(labels, (n, *labels.shape)), axis=-1)
    smooth = smooth_profiles(points, n, rng)
    clusters = two_means(smooth.reshape(-1, *points.shape[1:])).reshape(n, *labels.shape)
    nulls = [
        ("shuffle", ["ari_previous", "ari_final"], np.broadcast_to(points, smooth.shape), shuffled),
        ("smooth", ["ari_previous", "ari_final", "silhouette"], smooth, clusters),
    ]
    for null, names, null_points, null_labels in nulls:
        drawn = over_steps(step_statistics(null_points, null_labels))
        for name in names:
            yield {
                "null": null,
                "statistic": name,
                "observed": float(observed[name]),
                "expected": float(drawn[name].mean()),
                "p": permutation_p(float(observed[name]), drawn[name]),
            }
    entropy, curvature = points.T
    found = matched_test(within_steps(entropy.shape), entropy, curvature)
    yield {
        "null": "unrelated",
        "statistic": "r",
        "observed": found.r,
        "expected": 0.0,
        "p": found.p / 2 if found.r > 0 else 1 - found.p / 2,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
    }


@lru_cache(maxsize=2)
def within_steps(shape: tuple[int, int]) -> Partial:
    """Return what z-scores over layers lack: a mean at each step."""
    return Partial(shape, np.tile(np.eye(shape[1]), (shape[0], 1)))


def over_steps(statistics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Average over steps; the last step's agreement with itself does not count."""
    counted = {**statistics, "ari_final": statistics["ari_final"][..., :-1]}
    return {name: np.nanmean(values, axis=-1) for name, values in counted.items()}


def smooth_profiles(points: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw profiles of entropy and curvature over depth and training that hold no modules.

    Each measure is a Gaussian first-order autoregressive process over depth, on average as smooth
    as the measured profiles; from one step to the next, a profile keeps as much of itself as the
    measured one does there; entropy and curvature correlate as the measured ones do on average over
    steps.

    Parameters
    ----------
    points : (steps x layers x 2), z-scores over layers.

    Returns
    -------
    (n x steps x layers x 2), z-scores over layers.
    """
    noise = rng.standard_normal((n, *points.shape))
    r = points.prod(axis=-1).mean().clip(-1, 1)
    noise[..., 1] = r * noise[..., 0] + np.sqrt(1 - r**2) * noise[..., 1]
    measures = [smooth_like(points[..., measure], noise[..., measure]) for measure in range(2)]
    return np.stack(measures, axis=-1)


def smooth_like(profiles: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Turn noise (n x steps x layers) into profiles as smooth and as slow as `profiles` are.

    The process is chosen by what its profiles show, because short profiles whose mean is taken out
    show far less autocorrelation than the process that they come from. It is a random walk, nearly,
    where the measured profiles are smoother than one.
    """
    from scipy.linalg import toeplitz
    from scipy.optimize import root_scalar

    kept = (profiles[1:] * profiles[:-1]).mean(axis=1).clip(-1, 1)

    def drawn(rho: float) -> np.ndarray:
        correlations = toeplitz(rho ** np.arange(profiles.shape[1]))
        fresh = z_scores(noise @ np.linalg.cholesky(correlations).T, axis=-1)
        found = [fresh[:, 0]]
        for step, share in enumerate(kept, start=1):
            mixed = share * found[-1] + np.sqrt(1 - share**2) * fresh[:, step]
            found.append(z_scores(mixed, axis=-1))
        return np.stack(found, axis=1)

    def excess(rho: float) -> float:
        return smoothness(drawn(rho)) - smoothness(profiles)

    lowest, highest = -0.999, 0.999
    if excess(lowest) >= 0:
        return drawn(lowest)
    if excess(highest) <= 0:
        return drawn(highest)
    return drawn(root_scalar(excess, bracket=(lowest, highest), xtol=1e-3).root)


def smoothness(profiles: np.ndarray) -> float:
    """Return the mean lag-1 product over depth of z-scores (... x layers)."""
    return float((profiles[..., 1:] * profiles[..., :-1]).mean())


# --- modules and scores ---------------------------------------------------------------------------


def module_contrast(scores: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return the mean score of the low-complexity layers minus that of the others.

    Parameters
    ----------
    scores, low : (... x layers), broadcast against each other; `low` is bool.

    Returns
    -------
    (...); NaN where a module has no layer.
    """
    scores, low = np.broadcast_arrays(scores, low)
    with np.errstate(invalid="ignore"):
        means = [np.where(part, scores, 0).sum(-1) / part.sum(-1) for part in (low, ~low)]
    return means[0] - means[1]


def count_arrangements(low: np.ndarray) -> int:
    """Count the layouts of modules of these sizes, each in as many stretches of adjacent layers."""
    n_stretches = stretches(low)
    ways = [
        comb(int(size) - 1, number - 1)
        for size, number in zip((low.sum(), (~low).sum()), n_stretches, strict=True)
        if number
    ]
    return prod(ways) * (1 + (n_stretches[0] == n_stretches[1]))


def stretches(low: np.ndarray) -> tuple[int, int]:
    """Return how many stretches of adjacent layers the low and the high module consist of."""
    first_of_stretch = np.insert(np.diff(low), 0, True)
    return int((first_of_stretch & low).sum()), int((first_of_stretch & ~low).sum())


def arrangements(low: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray | None:
    """Draw layouts of the modules at random, each of its size and in as many stretches as it is.

    Adjacent layers have similar scores, so that a module in one piece compares with modules in one
    piece only. Two modules of one stretch each have 2 layouts, and nothing can be tested.

    Parameters
    ----------
    low : bool (layers,).

    Returns
    -------
    bool (n x layers); None, not testable, where there are fewer than `MIN_ARRANGEMENTS`.
    """
    if count_arrangements(low) < MIN_ARRANGEMENTS:
        return None
    n_low, n_high = stretches(low)
    low_first = rng.random((n, 1)) < 0.5 if n_low == n_high else np.full((n, 1), n_low > n_high)
    blocks = np.empty((n, n_low + n_high), dtype=int)
    for part, number, comes_first in ((low, n_low, low_first), (~low, n_high, ~low_first)):
        places = 2 * np.arange(number) + ~comes_first
        np.put_along_axis(blocks, places, random_lengths(int(part.sum()), number, n, rng), axis=1)
    ends = blocks.cumsum(axis=1)
    block = (ends[:, :, None] <= np.arange(len(low))).sum(axis=1)
    return (block % 2 == 0) == low_first


def random_lengths(total: int, parts: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` ways to cut `total` into lengths of at least 1, all equally likely (n x parts)."""
    cuts = np.sort(rng.random((n, total - 1)).argsort(axis=1)[:, : parts - 1] + 1, axis=1)
    return np.diff(cuts, axis=1, prepend=0, append=total)


def contrast_p(scores: np.ndarray, low: np.ndarray, layouts: np.ndarray) -> np.ndarray:
    """Return the two-sided p of a contrast of modules against other layouts of them.

    Parameters
    ----------
    scores : (... x layers).
    low : bool (layers,).
    layouts : bool (n x layers), from `arrangements`.

    Returns
    -------
    (...): (k + 1) / (n + 1), k of n layouts having a contrast as large.
    """
    observed = np.abs(module_contrast(scores, low))
    drawn = np.abs(module_contrast(scores[..., None, :], layouts))
    return ((drawn >= observed[..., None] - 1e-12).sum(axis=-1) + 1) / (len(layouts) + 1)
