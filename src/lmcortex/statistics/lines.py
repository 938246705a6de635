"""A straight line over models, with an interval from paired draws."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex.inference import interval

MIN_MODELS = 3
ROLES = ("trained", "planted")


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
    """Keep the last checkpoint of each trained or planted model, and add `log10_params`."""
    rows = nested[nested["final"] & nested["role"].isin(ROLES)]
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
    centred = x - x.mean()
    weights = centred / (centred @ centred)
    low, high = interval(weights @ np.stack(list(rows["draws"])))
    slope = float(weights @ y)
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
