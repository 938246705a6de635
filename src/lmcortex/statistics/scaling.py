"""How scores grow with the size of a model, its perplexity or a benchmark."""

from collections.abc import Iterator

import pandas as pd

from lmcortex.statistics.collect import nested_with_draws, table
from lmcortex.statistics.lateralization import left_minus_right
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
    One row per dataset, fit, subject (`group`, `average`), roi, hemisphere, role, outcome (`r`,
    `r_normalized`; `difference` = left minus right r, hemisphere `both`) and predictor with at
    least three models. `ci_low` and `ci_high` bound the slope over subjects or items, for these
    models; `pearson_r` and `p` (two-sided) are over models.
    """
    outcomes = _outcomes(final_checkpoints(nested_with_draws(scores, draws)))
    rows = []
    for key, group in outcomes.groupby(GROUPS, sort=True):
        for predictor in PREDICTORS:
            if line := fit_line(group.dropna(subset=[predictor, "value"]), predictor):
                named = zip(GROUPS, key, strict=True)
                rows.append({**dict(named), "predictor": predictor, **line._asdict()})
    return table(rows, COLUMNS)


def _outcomes(nested: pd.DataFrame) -> pd.DataFrame:
    """Stack the outcomes: one row per cell, roi, hemisphere and outcome, with value and draws."""
    return pd.concat(_each_outcome(nested), ignore_index=True)


def _each_outcome(nested: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield nested.assign(outcome="r", value=nested["r"])
    relative = nested[nested["r_normalized"].notna()]
    scaled = [
        draws / ceiling
        for draws, ceiling in zip(relative["draws"], relative["ceiling"], strict=True)
    ]
    yield relative.assign(
        outcome="r_normalized",
        value=relative["r_normalized"],
        draws=pd.Series(scaled, index=relative.index, dtype=object),
    )
    sides = left_minus_right(nested)
    yield sides.assign(outcome="difference", value=sides["difference"], hemisphere="both")
