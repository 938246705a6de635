"""One model against another on the same brains and stimuli."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from lmcortex.errors import InputError
from lmcortex.inference import interval, resampling_p, sign_flip_p
from lmcortex.scores import GROUP
from lmcortex.seeds import generator
from lmcortex.statistics.collect import nested_with_draws, subject_scores, table

FLIPS = 10_000
WHERE = ["dataset", "fit", "subject", "roi", "hemisphere"]
COLUMNS = [
    *WHERE,
    "model_a",
    "checkpoint_a",
    "model_b",
    "checkpoint_b",
    "r_a",
    "r_b",
    "difference",
    "ci_low",
    "ci_high",
    "p",
    "paired_over",
]


def contrast_models(
    scores: pd.DataFrame, draws: pd.DataFrame, spec: Mapping[str, Any]
) -> pd.DataFrame:
    """Subtract the nested score of model b from that of model a.

    Parameters
    ----------
    scores, draws : the study's tables.
    spec : `pairs`, a list of [[model_a, checkpoint_a], [model_b, checkpoint_b]].

    Returns
    -------
    One row per pair, dataset, fit, subject (`group`, `average`), roi and hemisphere. The interval
    is that of the paired draws. `p` is two-sided and paired over subjects (`group`: their
    differences have their signs flipped) or over items (`average`: draws against 0).

    Raises
    ------
    InputError : a pair that no dataset and fit has scores of.
    """
    nested, people = nested_with_draws(scores, draws), subject_scores(scores)
    rows = []
    for a, b in spec["pairs"]:
        found = list(_contrast(nested, people, tuple(a), tuple(b)))
        if not found and not nested.empty:
            raise InputError(
                f"pairs: {'/'.join(a)} and {'/'.join(b)} have no scores on the same dataset and "
                "fit; name two cells of the study"
            )
        rows += found
    return table(rows, COLUMNS)


def _contrast(
    nested: pd.DataFrame, people: pd.Series, a: tuple[str, str], b: tuple[str, str]
) -> Iterator[dict[str, Any]]:
    sides = [nested[(nested["model"] == m) & (nested["checkpoint"] == c)] for m, c in (a, b)]
    values = [*WHERE, "r", "draws"]
    for row in sides[0][values].merge(sides[1][values], on=WHERE, suffixes=("_a", "_b")).iloc:
        paired = row["draws_a"] - row["draws_b"]
        low, high = interval(paired)
        group = row["subject"] == GROUP
        yield {
            **{name: row[name] for name in WHERE},
            **dict(zip(("model_a", "checkpoint_a"), a, strict=True)),
            **dict(zip(("model_b", "checkpoint_b"), b, strict=True)),
            "r_a": row["r_a"],
            "r_b": row["r_b"],
            "difference": row["r_a"] - row["r_b"],
            "ci_low": low,
            "ci_high": high,
            "p": _subjects_p(people, row, a, b) if group else resampling_p(paired),
            "paired_over": "subjects" if group else "items",
        }


def _subjects_p(people: pd.Series, row: Any, a: tuple[str, str], b: tuple[str, str]) -> float:
    where = (row["dataset"], row["fit"])
    scores = [people.loc[(*where, *model, row["roi"], row["hemisphere"])] for model in (a, b)]
    differences = (scores[0] - scores[1]).dropna().to_numpy()
    return sign_flip_p(differences, FLIPS, generator("signs", *where), two_sided=True)
