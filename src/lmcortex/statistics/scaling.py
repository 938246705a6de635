"""How scores grow with the size of a model, its perplexity or a benchmark."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lmcortex.scores import NESTED
from lmcortex.statistics.collect import is_summary, nested_with_draws, table
from lmcortex.statistics.lateralization import left_minus_right, normalized_draws
from lmcortex.statistics.lines import final_checkpoints, fit_line

PREDICTORS = ("log10_params", "perplexity", "benchmark")
GROUPS = ["dataset", "fit", "subject", "roi", "hemisphere", "role", "outcome"]
COLUMNS = [
    *GROUPS,
    "predictor",
    "intercept",
    "slope",
    "ci_low",
    "ci_high",
    "slope_ln",
    "pearson_r",
    "p",
    "n_models",
]


def fit_scaling(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Regress nested scores on log10 parameters, perplexity and benchmark over final checkpoints.

    Parameters
    ----------
    scores, draws : the study's tables.

    Returns
    -------
    One row per dataset, fit, subject (`group`, `average`), roi, hemisphere, role (untrained twins
    are those of seed 1), outcome (`r`, `r_normalized`; `difference` = left minus right r and
    `difference_normalized` = the same of r_normalized, hemisphere `both`) and predictor with at
    least three models. `slope` is per decade of parameters, `slope_ln` the same per factor e (NaN
    for other predictors); `ci_low` and `ci_high` bound `slope` over subjects or items, for these
    models; `pearson_r` is over models; `p` (two-sided) is over models and subjects or items.
    """
    rows = []
    for key, group in final_outcomes(scores, draws).groupby(GROUPS, sort=True):
        for predictor in PREDICTORS:
            if line := fit_line(group.dropna(subset=[predictor, "value"]), predictor):
                named = zip(GROUPS, key, strict=True)
                natural = per_e(line.slope, predictor)
                rows.append(
                    {
                        **dict(named),
                        "predictor": predictor,
                        **line._asdict(),
                        "slope_ln": natural,
                    }
                )
    return table(rows, COLUMNS)


def per_e(slope: float, predictor: str) -> float:
    """Return a slope per decade of parameters as one per factor e; NaN for other predictors."""
    return slope / np.log(10) if predictor == "log10_params" else np.nan


def final_outcomes(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Stack the outcomes: one row per final cell, roi, hemisphere and outcome, with draws."""
    nested = final_checkpoints(nested_with_draws(scores, draws))
    return pd.concat(_each_outcome(nested), ignore_index=True)


def outcomes_of_single_subjects(scores: pd.DataFrame) -> pd.DataFrame:
    """Stack `r` and `difference` of subjects who do not speak for their dataset, without draws."""
    nested = scores[(scores["layer"] == NESTED) & ~is_summary(scores)]
    none = pd.Series([np.empty(0)] * len(nested), index=nested.index, dtype=object)
    outcomes = pd.concat(_each_outcome(final_checkpoints(nested.assign(draws=none))))
    return outcomes[outcomes["outcome"].isin(["r", "difference"])]


def _each_outcome(nested: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield nested.assign(outcome="r", value=nested["r"])
    relative = nested[nested["r_normalized"].notna()]
    yield relative.assign(
        outcome="r_normalized", value=relative["r_normalized"], draws=normalized_draws(relative)
    )
    sides = left_minus_right(nested).assign(hemisphere="both")
    yield sides.assign(outcome="difference", value=sides["difference"])
    relative = sides[sides["difference_normalized"].notna()]
    yield relative.assign(
        outcome="difference_normalized",
        value=relative["difference_normalized"],
        draws=relative["draws_normalized"],
    )
