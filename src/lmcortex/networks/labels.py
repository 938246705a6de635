"""Which networks a map shows: parts of maps, their overlap with networks, and its null."""

from typing import NamedTuple

import numpy as np

SIGNS = ("active", "deactive")


class Parts(NamedTuple):
    """The positive and the negative part of each atom's map.

    Attributes
    ----------
    inside : bool (2, n_atoms, n_targets), in the order of `SIGNS`.
    survived : bool (n_atoms,): whether any target passed the false discovery rate; where none did,
        the parts are of the targets with the largest absolute statistic.
    """

    inside: np.ndarray
    survived: np.ndarray


def t_statistics(total: np.ndarray, squares: np.ndarray, n: int) -> np.ndarray:
    """Return one-sample t over subjects, from sums of their values and of the squares.

    A target whose value is the same in all subjects has t = 0.
    """
    mean = total / n
    variance = np.maximum(squares - n * mean**2, 0) / (n - 1)
    scale = np.sqrt(variance / n)
    floor = 1e-6 * np.abs(mean)
    return np.where(scale > floor, mean / np.where(scale > floor, scale, 1), 0)


def critical_t(size: np.ndarray, n_subjects: int, level: float) -> np.ndarray:
    """Return the smallest |t| that passes Benjamini-Hochberg over the targets of each map.

    Parameters
    ----------
    size : (..., n_targets) absolute t.

    Returns
    -------
    (...,): infinite where no target passes.
    """
    from scipy.stats import t as distribution

    n = size.shape[-1]
    ranks = np.arange(1, n + 1)
    bounds = distribution.isf(level * ranks / n / 2, n_subjects - 1)
    falling = -np.sort(-size, axis=-1)
    passing = falling >= bounds
    last = n - 1 - passing[..., ::-1].argmax(axis=-1)
    found = np.take_along_axis(falling, last[..., None], axis=-1)[..., 0]
    return np.where(passing.any(axis=-1), found, np.inf)


def split_map(maps: np.ndarray, n_subjects: int, level: float, top_share: float) -> Parts:
    """Cut maps into their positive and negative parts.

    Targets count where |t| passes the false discovery rate over the map's targets; where none does,
    and for fewer than three subjects, the `top_share` of targets with the largest |t| (one at
    least).

    Parameters
    ----------
    maps : (n_atoms, n_targets), t over subjects, or the weights of a single subject.
    """
    size = np.abs(maps)
    critical = np.full(len(maps), np.inf)
    if n_subjects > 2:
        critical = critical_t(size, n_subjects, level)
    survived = np.isfinite(critical)
    n_top = max(1, round(top_share * maps.shape[1]))
    top = np.partition(size, -n_top, axis=1)[:, -n_top]
    inside = (size >= np.where(survived, critical, top)[:, None]) & (size > 0)
    return Parts(np.stack([inside & (maps > 0), inside & (maps < 0)]), survived)


def dice(parts: np.ndarray, networks: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Return twice the overlap over the sum of the sizes.

    Targets that an atlas says nothing of do not count, as in the Network Correspondence Toolbox
    (Kong et al. 2025, Nat. Commun. 16:2930), which looks at the cortex alone.

    Parameters
    ----------
    parts : bool (..., n_targets).
    networks : bool (n_networks, n_targets), each with a target at least.
    covered : bool (n_networks, n_targets), the targets of the atlas that each network is of.

    Returns
    -------
    (..., n_networks).
    """
    counts = parts.astype(np.float32)
    overlap = counts @ networks.T.astype(np.float32)
    return 2 * overlap / (counts @ covered.T.astype(np.float32) + networks.sum(axis=1))


def pairwise_dice(parts: np.ndarray) -> np.ndarray:
    """Return the Dice coefficient of any two of `parts` (n, n_targets); 0 for two empty ones."""
    counts = parts.astype(np.float32)
    sizes = counts.sum(axis=1)
    both = sizes[:, None] + sizes
    return 2 * (counts @ counts.T) / np.where(both, both, 1)
