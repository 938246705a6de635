"""Whether size still matters beside layers, width and family: inference over models.

The checks of Bonnasse-Gahot & Pallier (2024, arXiv:2405.17992) and, with families, one beyond them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.inference import LEVEL, interval
from lmcortex.scores import NESTED
from lmcortex.seeds import generator
from lmcortex.statistics.collect import is_summary, table
from lmcortex.statistics.lines import MIN_MODELS, final_checkpoints, slope_weights
from lmcortex.statistics.scaling import (
    GROUPS,
    PREDICTORS,
    final_outcomes,
    outcomes_of_single_subjects,
    per_e,
)

LARGE = 3e9  # parameters; above it, sizes are too much alike to rank models
MIN_LARGE = 5
RESAMPLES = 2000
MIN_RESAMPLED = 8  # resamples of fewer models are often of almost one size
ARCHITECTURE = ["log10_params", "n_layers", "width"]
MIN_FAMILIES = 3
COLUMNS = [
    *GROUPS,
    "models",
    "method",
    "predictor",
    "coefficient",
    "ci_low",
    "ci_high",
    "coefficient_ln",
    "statistic",
    "p",
    "r2",
    "n_models",
    "n_families",
]


def control_scaling(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Check the laws of size against resampled models, architecture and family.

    Parameters
    ----------
    scores, draws : the study's tables.

    Returns
    -------
    Rows for each dataset, fit, subject, roi, hemisphere, role and outcome (those of `fit_scaling`,
    and `best_depth`, the depth of the layer with the highest r):

    * method `line`: the slope on each predictor; `statistic` is Pearson's r, the interval resamples
      eight or more models. `models` is `all`, or `above 3e9` parameters where five models are.
    * method `regression`: least squares on log10 parameters, layers and width together;
      `statistic` is t, and F in the row of predictor `all`, which has the `r2`.
    * method `mixed`: log10 parameters with an intercept for each family, by restricted maximum
      likelihood; `statistic` is z. In the row of predictor `family`, `coefficient` is the standard
      deviation of the intercepts and `statistic` the likelihood ratio against no families.

    Single subjects beside `group` or `average` have method `line` on log10 parameters alone.
    `coefficient_ln` is the coefficient per factor e of parameters. What cannot be fitted has no
    row: too few models or families, or predictors that say the same.
    """
    outcomes = pd.concat([final_outcomes(scores, draws), best_depths(scores)], ignore_index=True)
    rows = []
    for key, group in outcomes.dropna(subset=["log10_params", "value"]).groupby(GROUPS, sort=True):
        if len(group) < MIN_MODELS or not np.ptp(group["value"].to_numpy(float)):
            continue
        shared = {**dict(zip(GROUPS, key, strict=True)), "models": "all"}
        for found in (*_lines(group), *_regression(group), *_mixed(group)):
            rows.append({**shared, **found})
    single = outcomes_of_single_subjects(scores).dropna(subset=["log10_params"])
    for key, group in single.groupby(GROUPS, sort=True):
        if len(group) >= MIN_MODELS and _varies(group["log10_params"]) and _varies(group["value"]):
            shared = {**dict(zip(GROUPS, key, strict=True)), "models": "all", "method": "line"}
            rows.append({**shared, **_line(group, "log10_params")})
    for row in rows:
        row["coefficient_ln"] = per_e(row["coefficient"], row["predictor"])
    return table(rows, COLUMNS)


def best_depths(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the depth of the best layer of each final cell, roi and hemisphere, as `value`."""
    layers = scores[(scores["layer"] != NESTED) & is_summary(scores) & (scores["n_layers"] > 0)]
    key = ["dataset", "fit", "model", "checkpoint", "subject", "roi", "hemisphere"]
    best = layers.loc[layers.groupby(key)["r"].idxmax()]
    return final_checkpoints(best).assign(outcome="best_depth", value=lambda rows: rows["depth"])


# --- lines ----------------------------------------------------------------------------------------


def _lines(models: pd.DataFrame) -> Iterator[dict[str, Any]]:
    large = models[models["n_params"] > LARGE]
    subsets = {"all": models, "above 3e9": large if len(large) >= MIN_LARGE else large.iloc[:0]}
    for name, rows in subsets.items():
        for predictor in PREDICTORS:
            known = rows.dropna(subset=[predictor])
            if len(known) >= MIN_MODELS and _varies(known[predictor]) and _varies(known["value"]):
                yield {"models": name, "method": "line", **_line(known, predictor)}


def _varies(values: pd.Series) -> bool:
    return bool(np.ptp(values.to_numpy(float)) > 0)


def _line(models: pd.DataFrame, predictor: str) -> dict[str, Any]:
    from scipy.stats import pearsonr

    first = models.iloc[0]
    x, y = models[predictor].to_numpy(float), models["value"].to_numpy(float)
    low, high = np.nan, np.nan
    if len(x) >= MIN_RESAMPLED:
        rng = generator("models", first["dataset"], first["fit"])
        low, high = interval(resampled_slopes(x, y, rng))
    over_models: Any = pearsonr(x, y)
    return {
        "predictor": predictor,
        "coefficient": float(slope_weights(x) @ y),
        "ci_low": low,
        "ci_high": high,
        "statistic": float(over_models.statistic),
        "p": float(over_models.pvalue),
        "r2": float(over_models.statistic) ** 2,
        **_counts(models),
    }


def _counts(models: pd.DataFrame) -> dict[str, int]:
    return {"n_models": len(models), "n_families": models["family"].nunique()}


def resampled_slopes(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the slopes of models drawn with replacement; draws of a single x are left out."""
    drawn = rng.integers(len(x), size=(RESAMPLES, len(x)))
    x, y = x[drawn], y[drawn]
    centred = x - x.mean(axis=1, keepdims=True)
    squares = (centred**2).sum(axis=1)
    usable = np.ptp(x, axis=1) > 0
    return (centred * y).sum(axis=1)[usable] / squares[usable]


# --- several predictors ---------------------------------------------------------------------------


def _regression(models: pd.DataFrame) -> Iterator[dict[str, Any]]:
    from statsmodels.regression.linear_model import OLS

    known = models.dropna(subset=ARCHITECTURE)
    design = np.column_stack([np.ones(len(known)), known[ARCHITECTURE].to_numpy(float)])
    free = len(known) - design.shape[1]
    if free < 1 or np.linalg.matrix_rank(design / np.abs(design).max(axis=0)) < design.shape[1]:
        return
    fitted: Any = OLS(known["value"].to_numpy(float), design).fit()
    bounds = fitted.conf_int(1 - LEVEL)
    shared = {"method": "regression", **_counts(known)}
    yield {
        **shared,
        "predictor": "all",
        "coefficient": np.nan,
        "statistic": float(fitted.fvalue),
        "p": float(fitted.f_pvalue),
        "r2": float(fitted.rsquared),
    }
    for place, predictor in enumerate(["intercept", *ARCHITECTURE]):
        yield {
            **shared,
            "predictor": predictor,
            "coefficient": float(fitted.params[place]),
            "ci_low": float(bounds[place][0]),
            "ci_high": float(bounds[place][1]),
            "statistic": float(fitted.tvalues[place]),
            "p": float(fitted.pvalues[place]),
        }


def _mixed(models: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Fit value ~ log10 parameters + (1 | family)."""
    import warnings

    from scipy.stats import chi2
    from statsmodels.regression.linear_model import OLS
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    counts = _counts(models)
    if counts["n_families"] < MIN_FAMILIES or counts["n_models"] < counts["n_families"] + 3:
        return
    size, value = (models[name].to_numpy(float) for name in ("log10_params", "value"))
    if not np.ptp(size):
        return
    unit = value.std()
    design = np.column_stack([np.ones(len(size)), size - size.mean()])
    model: Any = MixedLM(value / unit, design, models["family"].to_numpy())
    with warnings.catch_warnings():
        # Intercepts that do not vary over families lie at the edge of what is allowed.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        fitted: Any = model.fit(reml=True, method="powell")
        likely = model.fit(reml=False, method="powell").llf
    alone: Any = OLS(value / unit, design).fit()
    ratio = max(0.0, float(2 * (likely - alone.llf)))
    low, high = fitted.conf_int(1 - LEVEL)[1]
    yield {
        "method": "mixed",
        **counts,
        "predictor": "log10_params",
        "coefficient": float(fitted.fe_params[1]) * unit,
        "ci_low": float(low) * unit,
        "ci_high": float(high) * unit,
        "statistic": float(fitted.tvalues[1]),
        "p": float(fitted.pvalues[1]),
    }
    yield {
        "method": "mixed",
        **counts,
        "predictor": "family",
        "coefficient": float(np.sqrt(np.asarray(fitted.cov_re)[0, 0])) * unit,
        "statistic": ratio,
        # No variance is the edge of what is allowed: half of the ratios are 0 by chance
        # (Self & Liang 1987, J. Am. Stat. Assoc. 82:605).
        "p": float(chi2.sf(ratio, 1) / 2) if ratio > 0 else 1.0,
    }
