"""When, in its training, a model comes to predict the brain."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.inference import interval
from lmcortex.statistics.collect import nested_with_draws, table
from lmcortex.statistics.lines import ROLES

MIN_STEPS = 4
# Pythia's step 1000 of 143000, where rapid early learning is over.
EARLY_SHARE = 1 / 143
UNIT = ["dataset", "fit", "model", "subject", "roi", "hemisphere"]
MEASURES = ("onset50", "onset90", "late_gain", "variability")
COLUMNS = [
    *UNIT,
    "role",
    "family",
    "n_params",
    *(f"{name}{end}" for name in MEASURES for end in ("", "_ci_low", "_ci_high")),
    "first_step",
    "last_step",
    "n_checkpoints",
]


def track_training(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Summarise how nested scores grow over the checkpoints of each model.

    Parameters
    ----------
    scores, draws : the study's tables.

    Returns
    -------
    One row per dataset, fit, model with at least four steps, subject (`group`, `average`), roi and
    hemisphere, with the measures of `measure_growth` and their intervals over paired draws.
    """
    nested = nested_with_draws(scores, draws)
    nested = nested[nested["role"].isin(ROLES) & nested["step"].notna()]
    rows = []
    for key, group in nested.groupby(UNIT, sort=True):
        if len(group) >= MIN_STEPS:
            rows.append({**dict(zip(UNIT, key, strict=True)), **_growth(group)})
    return table(rows, COLUMNS)


def _growth(group: pd.DataFrame) -> dict[str, Any]:
    group = group.sort_values("step")
    steps = group["step"].to_numpy(float)
    measured = measure_growth(group["r"].to_numpy(float)[None], steps)
    resampled = measure_growth(np.stack(list(group["draws"]), axis=1), steps)
    return {
        **{name: group[name].iloc[0] for name in ("role", "family", "n_params")},
        **dict(_with_intervals(measured, resampled)),
        "first_step": steps[0],
        "last_step": steps[-1],
        "n_checkpoints": len(steps),
    }


def _with_intervals(
    measured: dict[str, np.ndarray], resampled: dict[str, np.ndarray]
) -> Iterator[tuple[str, float]]:
    for name in MEASURES:
        defined = resampled[name][~np.isnan(resampled[name])]
        low, high = interval(defined) if len(defined) else (np.nan, np.nan)
        yield name, float(measured[name][0])
        yield f"{name}_ci_low", low
        yield f"{name}_ci_high", high


def measure_growth(curves: np.ndarray, steps: np.ndarray) -> dict[str, np.ndarray]:
    """Measure learning curves.

    Parameters
    ----------
    curves : (n_curves, n_steps) scores.
    steps : (n_steps,), increasing.

    Returns
    -------
    Arrays (n_curves,). `onset50`, `onset90`: the first step at which the monotone fit to the curve
    has made 50 or 90 % of its whole rise; infinite for a curve that does not rise. `late_gain`: the
    last score minus the one at the step nearest to 1/143 of training. `variability`: the standard
    deviation of the scores from onset90 on, over the highest score; NaN with fewer than two, or
    with no score above 0.
    """
    rising = monotone_fit(curves)
    rise = rising - rising[:, :1]
    early = np.abs(steps - steps[-1] * EARLY_SHARE).argmin()
    onset90 = _first_reach(rise, 0.9, steps)
    after = np.where(steps >= onset90[:, None], curves, np.nan)
    count = (~np.isnan(after)).sum(axis=1)
    mean = np.nansum(after, axis=1) / np.maximum(count, 1)
    squares = np.nansum((after - mean[:, None]) ** 2, axis=1)
    highest = curves.max(axis=1)
    usable = (count >= 2) & (highest > 0)
    spread = np.sqrt(squares / np.maximum(count - 1, 1)) / np.where(usable, highest, 1.0)
    return {
        "onset50": _first_reach(rise, 0.5, steps),
        "onset90": onset90,
        "late_gain": curves[:, -1] - curves[:, early],
        "variability": np.where(usable, spread, np.nan),
    }


def _first_reach(rise: np.ndarray, share: float, steps: np.ndarray) -> np.ndarray:
    reached = rise >= share * rise[:, -1:] - 1e-12
    return np.where(rise[:, -1] > 1e-12, steps[reached.argmax(axis=1)], np.inf)


def monotone_fit(curves: np.ndarray) -> np.ndarray:
    """Return the least-squares non-decreasing fit to each curve.

    By the max-min formula: at i, the maximum over starts j <= i of the minimum over ends k >= i of
    the mean from j to k (Barlow et al. 1972, Statistical Inference under Order Restrictions).

    Parameters
    ----------
    curves : (n_curves, n_steps).
    """
    n_steps = curves.shape[1]
    fitted = np.full(curves.shape, -np.inf)
    for start in range(n_steps):
        means = np.cumsum(curves[:, start:], axis=1) / np.arange(1, n_steps - start + 1)
        least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        fitted[:, start:] = np.maximum(fitted[:, start:], least)
    return fitted
