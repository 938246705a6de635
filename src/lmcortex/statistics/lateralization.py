"""Left against right: differences over subjects, never over voxels."""

from typing import Any

import pandas as pd

from lmcortex.inference import interval, resampling_p, sign_flip_p
from lmcortex.scores import ALL, CELL, GROUP
from lmcortex.seeds import generator
from lmcortex.statistics.collect import ABOUT, nested_with_draws, subject_scores, table
from lmcortex.statistics.lines import final_checkpoints, fit_line

FLIPS = 10_000
REGION = [*CELL, "subject", "roi"]
FAMILY = ["dataset", "fit", "subject", "roi", "role"]
COLUMNS = [
    *REGION,
    "role",
    "n_params",
    "step",
    "left",
    "right",
    "difference",
    "difference_normalized",
    "index",
    "ci_low",
    "ci_high",
    "p",
    "slope_log10_params",
    "slope_ci_low",
    "slope_ci_high",
]


def fit_lateralization(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Compare left and right nested scores of every cell and ROI that has both.

    Parameters
    ----------
    scores, draws : the study's tables.

    Returns
    -------
    One row per cell, subject (`group`, `average`) and roi: `left`, `right` (r); `difference` =
    left - right with its interval; `difference_normalized`, the same of r_normalized; `index` =
    (left - right) / (left + right), NaN where a side is negative. `p` is two-sided: for `group`
    the subjects' differences have their signs flipped, for `average` the draws are compared with 0.
    `slope_log10_params` is the slope of the difference over the final checkpoints of the models of
    the same dataset, fit, subject, roi and role.
    """
    sides = left_minus_right(nested_with_draws(scores, draws))
    if sides.empty:
        return table([], COLUMNS)
    people = subject_scores(scores)
    bounds = [interval(values) for values in sides["draws"]]
    sides = sides.assign(
        ci_low=[low for low, _ in bounds],
        ci_high=[high for _, high in bounds],
        p=[_p(row, people) for _, row in sides.iterrows()],
    )
    joined = sides.merge(_slopes(sides), on=FAMILY, how="left")
    return joined[COLUMNS].sort_values(REGION, ignore_index=True)


def left_minus_right(nested: pd.DataFrame) -> pd.DataFrame:
    """Pair the sides of each cell, subject and ROI; `draws` are those of the difference.

    All targets together (roi `all`) are compared only in datasets that have the same ROIs on both
    sides: five left regions against one right region would compare regions, not sides.
    """
    mirrored = [name for name, rows in nested.groupby("dataset") if _has_same_rois(rows)]
    nested = nested[(nested["roi"] != ALL) | nested["dataset"].isin(mirrored)]
    values = ["r", "r_normalized", "draws"]
    sides = {side: nested[nested["hemisphere"] == side] for side in ("L", "R")}
    pairs = sides["L"][[*REGION, *ABOUT, *values]].merge(
        sides["R"][[*REGION, *values]], on=REGION, suffixes=("_left", "_right")
    )
    left, right = pairs["r_left"], pairs["r_right"]
    difference, total = left - right, left + right
    return pairs[[*REGION, *ABOUT]].assign(
        left=left,
        right=right,
        difference=difference,
        difference_normalized=pairs["r_normalized_left"] - pairs["r_normalized_right"],
        # With a negative side the ratio is no share any more: it leaves -1 to 1.
        index=(difference / total).where((left >= 0) & (right >= 0) & (total > 0)),
        draws=pairs["draws_left"] - pairs["draws_right"],
    )


def _has_same_rois(rows: pd.DataFrame) -> bool:
    left, right = (set(rows.loc[rows["hemisphere"] == side, "roi"]) for side in ("L", "R"))
    return left == right


def _p(row: Any, people: pd.Series) -> float:
    if row["subject"] != GROUP:
        return resampling_p(row["draws"])
    here = people.loc[tuple(row[name] for name in [*CELL, "roi"])]
    differences = (here.loc["L"] - here.loc["R"]).dropna().to_numpy()
    flips = generator("signs", row["dataset"], row["fit"])
    return sign_flip_p(differences, FLIPS, flips, two_sided=True)


def _slopes(sides: pd.DataFrame) -> pd.DataFrame:
    rows = []
    final = final_checkpoints(sides).assign(value=lambda rows: rows["difference"])
    for key, group in final.dropna(subset=["log10_params"]).groupby(FAMILY):
        if line := fit_line(group, "log10_params"):
            slope = dict(zip(COLUMNS[-3:], (line.slope, line.ci_low, line.ci_high), strict=True))
            rows.append({**dict(zip(FAMILY, key, strict=True)), **slope})
    return table(rows, [*FAMILY, *COLUMNS[-3:]])
