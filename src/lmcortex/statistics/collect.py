"""The master table: the scores of all cells, what is known of each model, and q."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.inference import benjamini_hochberg
from lmcortex.scores import AVERAGE, CELL, DRAWS_KEY, GROUP, KEY, NESTED

SUMMARIES = (AVERAGE, GROUP)
# What the study tables hold of a model beside its scores.
ABOUT = ["role", "family", "n_params", "step", "tokens_seen", "final", "perplexity", "benchmark"]
# Columns of labels in any study table; all others are numbers.
TEXT = {
    *KEY,
    *("role", "family", "outcome", "predictor", "paired_over"),
    *("model_a", "checkpoint_a", "model_b", "checkpoint_b"),
}
NUMBERS = ["n_params", "step", "tokens_seen", "perplexity", "benchmark"]


def collect_scores(cells: Sequence[pd.DataFrame], spec: Mapping[str, Any]) -> pd.DataFrame:
    """Join the scores of all cells.

    Parameters
    ----------
    cells : tables of `scores.score_rois`.
    spec : `models`, for each "model/checkpoint" its `role`, `family`, `n_params`, `step`,
        `tokens_seen`, `final` (is it the model's last checkpoint), `perplexity`, `benchmark`.

    Returns
    -------
    The master table (docs/statistics.md). `q` is Benjamini-Hochberg over the nested rows of a
    dataset, fit and kind of subject (single subjects, `average`, `group`).
    """
    scores = pd.concat(cells, ignore_index=True)
    names = scores["model"] + "/" + scores["checkpoint"]
    known = pd.DataFrame.from_dict(spec["models"], orient="index").reindex(columns=ABOUT)
    if unknown := sorted(set(names) - set(known.index)):
        raise InputError(
            f"spec: models has no entry {unknown[0]}, though its scores were given; add it"
        )
    about = known.loc[names].set_index(scores.index)
    about[NUMBERS] = about[NUMBERS].astype(float)
    about["final"] = about["final"].eq(True)
    scores = pd.concat([scores, about], axis=1)
    kind = scores["subject"].where(scores["subject"].isin(SUMMARIES), "subject")
    scores["q"] = np.nan
    nested = scores[scores["layer"] == NESTED]
    for _, rows in nested.groupby(["dataset", "fit", kind.loc[nested.index]]):
        scores.loc[rows.index, "q"] = benjamini_hochberg(rows["p"].to_numpy(float))
    return scores.sort_values(KEY, ignore_index=True)


def collect_draws(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the resampled scores of all cells; single subjects' are left out."""
    draws = pd.concat(cells, ignore_index=True)
    kept = draws[draws["subject"].isin(SUMMARIES)]
    return kept.sort_values(DRAWS_KEY, ignore_index=True)


def nested_with_draws(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Return the nested rows of `average` and `group`, each with its array of draws.

    Draw b of any row of a (dataset, fit, subject) comes from the same resample, so that functions
    of several rows are resampled by applying them to each draw.
    """
    nested = scores[(scores["layer"] == NESTED) & scores["subject"].isin(SUMMARIES)]
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
