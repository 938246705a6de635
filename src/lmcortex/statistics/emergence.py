"""How far the left advantage of a model is that of its training: against what knows no language."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.inference import interval, resampling_p
from lmcortex.scores import CELL, GROUP
from lmcortex.statistics.collect import nested_with_draws, table
from lmcortex.statistics.lateralization import (
    REGION,
    flipped_p,
    left_minus_right,
    subject_differences,
)
from lmcortex.statistics.lines import ROLES, TWIN

WHERE = ["dataset", "fit", "subject", "roi"]
COLUMNS = [
    *REGION,
    "role",
    "n_params",
    "step",
    "final",
    "against",
    "difference",
    "difference_against",
    "gain",
    "ci_low",
    "ci_high",
    "p",
]


def contrast_lateralization(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Subtract the left-right difference of twins and baselines from that of each network.

    Parameters
    ----------
    scores, draws : the study's tables.

    Returns
    -------
    One row per trained or planted model, checkpoint, subject (`group`, `average`), ROI and
    `against`: `untrained` (its own twin of seed 1) or a baseline (mean over its seeds). `gain` =
    `difference` - `difference_against`, both left minus right nested r; its interval is that of the
    paired draws, and `p` is two-sided, over subjects (sign flips) for `group`, else over draws.
    """
    sides = left_minus_right(nested_with_draws(scores, draws))
    if sides.empty:
        return table([], COLUMNS)
    people = subject_differences(scores).unstack("subject")
    rows = []
    for _, here in sides.groupby(WHERE, sort=True):
        networks = here[here["role"].isin(ROLES)]
        for network in networks.iloc:
            for against, others in _comparisons(here, network["model"]):
                rows.append(_contrast(network, against, others, people))
    return table(rows, COLUMNS).sort_values([*REGION, "against"], ignore_index=True)


def _comparisons(here: pd.DataFrame, model: str) -> Iterator[tuple[str, pd.DataFrame]]:
    twin = here[(here["model"] == model) & (here["checkpoint"] == TWIN)]
    if len(twin):
        yield "untrained", twin
    for name, seeds in here[here["role"] == "baseline"].groupby("model"):
        yield str(name), seeds


def _contrast(
    network: Any, against: str, others: pd.DataFrame, people: pd.DataFrame
) -> dict[str, Any]:
    paired = network["draws"] - np.mean(list(others["draws"]), axis=0)
    low, high = interval(paired)
    other = float(others["difference"].mean())
    return {
        **{name: network[name] for name in COLUMNS[: COLUMNS.index("against")]},
        "against": against,
        "difference": network["difference"],
        "difference_against": other,
        "gain": network["difference"] - other,
        "ci_low": low,
        "ci_high": high,
        "p": _p(network, others, people) if network["subject"] == GROUP else resampling_p(paired),
    }


def _p(network: Any, others: pd.DataFrame, people: pd.DataFrame) -> float:
    key = [*CELL, "roi"]
    own = people.loc[tuple(network[key])]
    other = people.loc[list(others[key].itertuples(index=False, name=None))].mean(skipna=False)
    return flipped_p((own - other).dropna().to_numpy(), network["dataset"], network["fit"])
