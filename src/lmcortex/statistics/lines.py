"""A straight line over models, with an interval from paired draws."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex.inference import interval

MIN_MODELS = 3
ROLES = ("trained", "planted")
TWIN = "untrained-seed1"  # the untrained twin that stands for an architecture


class Line(NamedTuple):
    """A least-squares line over models; the interval of its slope comes from the draws."""

    intercept: float
    slope: float
    ci_low: float
    ci_high: float
    pearson_r: float
    p: float
    n_models: int


def final_checkpoints(nested: pd.DataFrame) -> pd.DataFrame:
    """Keep each trained or planted model's last checkpoint and its twin; add `log10_params`."""
    last = nested["final"] & nested["role"].isin(ROLES)
    rows = nested[last | (nested["checkpoint"] == TWIN)]
    return rows.assign(log10_params=np.log10(rows["n_params"].astype(float)))


def fit_line(rows: pd.DataFrame, predictor: str) -> Line | None:
    """Fit `value` on a predictor, one row per model; None with too few models or sizes.

    The draws of the rows are paired, so that the slope of draw b is the slope of all models' b-th
    values.
    """
    from scipy.stats import pearsonr

    x, y = rows[predictor].to_numpy(float), rows["value"].to_numpy(float)
    if len(x) < MIN_MODELS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    low, high = interval(slope_draws(rows, predictor))
    slope = float(slope_weights(x) @ y)
    over_models: Any = pearsonr(x, y)
    return Line(
        intercept=float(y.mean() - slope * x.mean()),
        slope=slope,
        ci_low=low,
        ci_high=high,
        pearson_r=float(over_models.statistic),
        p=float(over_models.pvalue),
        n_models=len(x),
    )


def slope_weights(x: np.ndarray) -> np.ndarray:
    """Return the weights of the values at x in their least-squares slope; values may be columns."""
    centred = x - x.mean()
    return centred / (centred @ centred)


def slope_draws(rows: pd.DataFrame, predictor: str) -> np.ndarray:
    """Return the slope of each draw."""
    weights = slope_weights(rows[predictor].to_numpy(float))
    return weights @ np.stack(list(rows["draws"]))
