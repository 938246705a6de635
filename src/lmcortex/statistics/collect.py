"""The master table: the scores of all cells, what is known of each model, and q."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.inference import benjamini_hochberg
from lmcortex.scores import AVERAGE, CELL, GROUP, KEY, NESTED

SUMMARIES = (AVERAGE, GROUP)
DRAWS_KEY = [*CELL, "subject", "roi", "hemisphere"]
# What the study tables hold of a model beside its scores.
ABOUT = [
    *("role", "family", "n_params", "width", "step", "tokens_seen", "final"),
    *("perplexity", "benchmark"),
]
PER_STEP = "tokens_per_step"
# Columns of labels in any study table; all others are numbers.
TEXT = {
    *KEY,
    *("role", "family", "outcome", "predictor", "models", "paired_over", "against"),
    *("model_a", "checkpoint_a", "model_b", "checkpoint_b"),
    *("measure", "variant", "unit", "last_layer", "control", "method"),
    *("text", "side"),
    *("atom_set", "encoder", "sign", "network", "active", "deactive", "layers"),
    *("choice", "membership", "statistic", "null", "claim", "statement", "verdict", "detail"),
}
NUMBERS = ["n_params", "width", "step", "tokens_seen", "perplexity", "benchmark"]


def collect_scores(cells: Sequence[pd.DataFrame], spec: Mapping[str, Any]) -> pd.DataFrame:
    """Join the scores of all cells.

    Parameters
    ----------
    cells : tables of `scores.score_rois`.
    spec : `models`, for each model its `role`, `family`, `n_params`, `width`, `tokens_per_step`,
        `final` (the name of its last checkpoint in the study), `perplexity` and `benchmark`.

    Returns
    -------
    The master table (docs/statistics.md). `q` is Benjamini-Hochberg over the nested rows of a
    dataset, fit and kind of subject (single subjects, `average`, `group`).
    """
    scores = pd.concat(cells, ignore_index=True)
    scores = pd.concat([scores, about_models(scores, spec["models"])], axis=1)
    kind = scores["subject"].where(scores["subject"].isin(SUMMARIES), "subject")
    scores["q"] = np.nan
    nested = scores[scores["layer"] == NESTED]
    for _, rows in nested.groupby(["dataset", "fit", kind.loc[nested.index]]):
        scores.loc[rows.index, "q"] = benjamini_hochberg(rows["p"].to_numpy(float))
    return scores.sort_values(KEY, ignore_index=True)


def about_models(scores: pd.DataFrame, models: Mapping[str, Any]) -> pd.DataFrame:
    """Return what is known of the model and checkpoint of each row (columns `ABOUT`)."""
    if unknown := sorted(set(scores["model"]) - set(models)):
        raise InputError(
            f"spec: models has no entry {unknown[0]}, though its scores were given; add it"
        )
    known = pd.DataFrame.from_dict(dict(models), orient="index").reindex(columns=[*ABOUT, PER_STEP])
    about = known.loc[scores["model"]].set_index(scores.index)
    checkpoint = scores["checkpoint"]
    about["final"] = checkpoint == about["final"]
    about["step"] = checkpoint.str.extract(r"^step(\d+)$")[0]
    about["role"] = about["role"].mask(checkpoint.str.startswith("untrained"), "untrained")
    about[[*NUMBERS, PER_STEP]] = about[[*NUMBERS, PER_STEP]].astype(float)
    about["tokens_seen"] = about["step"] * about[PER_STEP]
    return about[ABOUT]


def is_summary(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows speak for a dataset: its `average` and `group`, or its only subject."""
    summary = rows["subject"].isin(SUMMARIES)
    alone = ~rows["dataset"].isin(rows.loc[summary, "dataset"])
    return summary | alone


def collect_draws(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the resampled nested scores of all cells."""
    nested = [cell[cell["layer"] == NESTED].drop(columns="layer") for cell in cells]
    return pd.concat(nested, ignore_index=True).sort_values(DRAWS_KEY, ignore_index=True)


def nested_with_draws(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Return the nested rows that speak for their dataset, each with its array of draws.

    Draw b of any row of a (dataset, fit, subject) comes from the same resample, so that functions
    of several rows are resampled by applying them to each draw.
    """
    nested = scores[(scores["layer"] == NESTED) & is_summary(scores)]
    joined = nested.merge(draws, on=DRAWS_KEY, how="left", validate="one_to_one")
    if joined["draws"].isna().any():
        row = joined[joined["draws"].isna()].iloc[0]
        where = ", ".join(f"{name} {row[name]}" for name in DRAWS_KEY)
        raise InputError(f"draws: no row for {where}; collect scores and draws of the same cells")
    arrays = [np.asarray(values, dtype=float) for values in joined["draws"]]
    return joined.assign(draws=pd.Series(arrays, index=joined.index, dtype=object))


def subject_scores(scores: pd.DataFrame) -> pd.Series:
    """Return the nested r of single subjects, by cell, roi, hemisphere and subject."""
    rows = scores[(scores["layer"] == NESTED) & ~scores["subject"].isin(SUMMARIES)]
    return rows.set_index([*CELL, "roi", "hemisphere", "subject"])["r"].sort_index()


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Make a table with all its columns, those of numbers numeric even when it has no rows."""
    made = pd.DataFrame(list(rows), columns=list(columns))
    numbers = [name for name in columns if name not in TEXT and made[name].dtype == object]
    return made.astype(dict.fromkeys(numbers, float))


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts."""
    names = [str(name) for name in rows.columns]
    return [dict(zip(names, row, strict=True)) for row in rows.itertuples(index=False)]
