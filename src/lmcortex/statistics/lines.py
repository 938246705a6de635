"""A straight line over models, whose values have errors that the paired draws show."""

from typing import NamedTuple

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
    values. The interval is that of these draws, for these models.
    """
    x, y = rows[predictor].to_numpy(float), rows["value"].to_numpy(float)
    if len(x) < MIN_MODELS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    low, high = interval(slope_draws(rows, predictor))
    slope = float(slope_weights(x) @ y)
    return Line(
        intercept=float(y.mean() - slope * x.mean()),
        slope=slope,
        ci_low=low,
        ci_high=high,
        pearson_r=float(np.corrcoef(x, y)[0, 1]),
        p=slope_p(x, y, np.stack(list(rows["draws"]))),
        n_models=len(x),
    )


def slope_p(x: np.ndarray, y: np.ndarray, draws: np.ndarray) -> float:
    """Test two-sided that a line has no slope, over other models and other data.

    Scores of models that know much the same err together, the more the more they have in common, so
    that an error may grow with size as a law would. The variance of the slope is therefore that
    from the scatter of models around the line, less what the errors are expected to add to this
    scatter, and that of the errors (random-effects meta-regression with dependent errors: Berkey et
    al. 1998, Stat. Med. 17:2537), on the degrees of freedom of Satterthwaite; but never less than
    that from the scatter. With draws that do not vary it is the p of Pearson's r.

    Parameters
    ----------
    x, y : (n_models,).
    draws : (n_models, n), paired.
    """
    from scipy.stats import t

    n, weights = len(x), slope_weights(x)
    columns, _ = np.linalg.qr(np.stack([np.ones(n), x - x.mean()], axis=1))
    around = np.eye(n) - columns @ columns.T
    per_square = weights @ weights / (n - 2)
    scatter = y @ around @ y * per_square
    errors = np.cov(draws)
    of_errors = weights @ errors @ weights
    of_models = max(0.0, scatter - np.trace(around @ errors) * per_square)
    # Where errors add more to the scatter than to the slope, their difference is a small and
    # uncertain one; it is no ground for less than the scatter.
    variance = max(scatter, of_models + of_errors)
    if variance <= 0:
        return 0.0  # all models are on the line
    degrees = (n - 2) * (variance / scatter) ** 2 if scatter > 0 else np.inf
    return float(2 * t.sf(abs(weights @ y) / np.sqrt(variance), degrees))


def slope_weights(x: np.ndarray) -> np.ndarray:
    """Return the weights of the values at x in their least-squares slope; values may be columns."""
    centred = x - x.mean()
    return centred / (centred @ centred)


def slope_draws(rows: pd.DataFrame, predictor: str) -> np.ndarray:
    """Return the slope of each draw."""
    weights = slope_weights(rows[predictor].to_numpy(float))
    return weights @ np.stack(list(rows["draws"]))
