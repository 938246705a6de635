"""Left against right: differences over subjects, never over voxels."""

from typing import Any

import numpy as np
import pandas as pd

from lmcortex.inference import interval, resampling_p, sign_flip_p
from lmcortex.scores import ALL, CELL, GROUP
from lmcortex.seeds import generator
from lmcortex.statistics.collect import ABOUT, nested_with_draws, subject_scores, table
from lmcortex.statistics.lines import final_checkpoints, fit_line, slope_draws, slope_weights

FLIPS = 10_000
REGION = [*CELL, "subject", "roi"]
FAMILY = ["dataset", "fit", "subject", "roi", "role"]
SLOPE = ["slope_log10_params", "slope_ci_low", "slope_ci_high", "slope_p"]
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
    "normalized_ci_low",
    "normalized_ci_high",
    *SLOPE,
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
    (left - right) / (left + right), NaN where a side is negative. `slope_log10_params` is the slope
    of the difference over the final checkpoints of the models of the same dataset, fit, subject,
    roi and role. `p` and `slope_p` are two-sided: for `group` the signs of the subjects'
    differences or slopes are flipped, for `average` the draws are compared with 0.
    """
    sides = left_minus_right(nested_with_draws(scores, draws))
    if sides.empty:
        return table([], COLUMNS)
    people = subject_differences(scores)
    bounds = [interval(values) for values in sides["draws"]]
    normalized = [_interval_if_known(values) for values in sides["draws_normalized"]]
    sides = sides.assign(
        ci_low=[low for low, _ in bounds],
        ci_high=[high for _, high in bounds],
        normalized_ci_low=[low for low, _ in normalized],
        normalized_ci_high=[high for _, high in normalized],
        p=[_p(row, people) for _, row in sides.iterrows()],
    )
    joined = sides.merge(_slopes(sides, people), on=FAMILY, how="left")
    return joined[COLUMNS].sort_values(REGION, ignore_index=True)


def left_minus_right(nested: pd.DataFrame) -> pd.DataFrame:
    """Pair the sides of each cell, subject and ROI.

    All targets together (roi `all`) are compared only in datasets that have the same ROIs on both
    sides: five left regions against one right region would compare regions, not sides.

    Returns
    -------
    One row per pair with what is known of its model, `left`, `right`, `difference`,
    `difference_normalized`, `index`, and the draws of both differences (`draws_normalized` are NaN
    where a ceiling is unknown).
    """
    mirrored = [name for name, rows in nested.groupby("dataset") if _has_same_rois(rows)]
    nested = nested[(nested["roi"] != ALL) | nested["dataset"].isin(mirrored)]
    nested = nested.assign(draws_normalized=normalized_draws(nested))
    about = [name for name in [*ABOUT, "n_layers", "log10_params"] if name in nested]
    values = ["r", "r_normalized", "draws", "draws_normalized"]
    sides = {side: nested[nested["hemisphere"] == side] for side in ("L", "R")}
    pairs = sides["L"][[*REGION, *about, *values]].merge(
        sides["R"][[*REGION, *values]], on=REGION, suffixes=("_left", "_right")
    )
    left, right = pairs["r_left"], pairs["r_right"]
    difference, total = left - right, left + right
    return pairs[[*REGION, *about]].assign(
        left=left,
        right=right,
        difference=difference,
        difference_normalized=pairs["r_normalized_left"] - pairs["r_normalized_right"],
        # With a negative side the ratio is no share any more: it leaves -1 to 1.
        index=(difference / total).where((left >= 0) & (right >= 0) & (total > 0)),
        draws=pairs["draws_left"] - pairs["draws_right"],
        draws_normalized=pairs["draws_normalized_left"] - pairs["draws_normalized_right"],
    )


def normalized_draws(nested: pd.DataFrame) -> pd.Series:
    """Return draws over the ceiling of their row, NaN where that is unknown or not positive."""
    ceilings = nested["ceiling"].where(nested["ceiling"] > 0)
    scaled = [draws / ceiling for draws, ceiling in zip(nested["draws"], ceilings, strict=True)]
    return pd.Series(scaled, index=nested.index, dtype=object)


def subject_differences(scores: pd.DataFrame) -> pd.Series:
    """Return left minus right nested r of single subjects, by cell, roi and subject."""
    people = subject_scores(scores).unstack("hemisphere").reindex(columns=["L", "R"])
    return (people["L"] - people["R"]).dropna()


def _has_same_rois(rows: pd.DataFrame) -> bool:
    left, right = (set(rows.loc[rows["hemisphere"] == side, "roi"]) for side in ("L", "R"))
    return left == right


def _interval_if_known(draws: np.ndarray) -> tuple[float, float]:
    return (np.nan, np.nan) if np.isnan(draws).any() else interval(draws)


def _p(row: Any, people: pd.Series) -> float:
    if row["subject"] != GROUP:
        return resampling_p(row["draws"])
    differences = people.loc[tuple(row[name] for name in [*CELL, "roi"])].to_numpy()
    return flipped_p(differences, row["dataset"], row["fit"])


def flipped_p(values: np.ndarray, dataset: str, fit: str) -> float:
    """Test two-sided that subjects' values have mean 0; the same flips for a dataset and fit."""
    return sign_flip_p(values, FLIPS, generator("signs", dataset, fit), two_sided=True)


def _slopes(sides: pd.DataFrame, people: pd.Series) -> pd.DataFrame:
    rows = []
    final = final_checkpoints(sides).assign(value=lambda rows: rows["difference"])
    for key, group in final.dropna(subset=["log10_params"]).groupby(FAMILY):
        if line := fit_line(group, "log10_params"):
            p = _slope_p(group, people)
            slope = dict(zip(SLOPE, (line.slope, line.ci_low, line.ci_high, p), strict=True))
            rows.append({**dict(zip(FAMILY, key, strict=True)), **slope})
    return table(rows, [*FAMILY, *SLOPE])


def _slope_p(models: pd.DataFrame, people: pd.Series) -> float:
    """Test the slope over models of one ROI: over subjects for `group`, else over draws."""
    first = models.iloc[0]
    if first["subject"] != GROUP:
        return resampling_p(slope_draws(models, "log10_params"))
    cells = models[[*CELL, "roi"]].itertuples(index=False, name=None)
    by_model = pd.concat([people.loc[cell] for cell in cells], axis=1).dropna()
    slopes = by_model.to_numpy() @ slope_weights(models["log10_params"].to_numpy(float))
    return flipped_p(slopes, first["dataset"], first["fit"])
