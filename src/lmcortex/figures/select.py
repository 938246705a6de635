"""Which rows of the master table a figure draws."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.figures.style import View

NESTED = -1
ROLES = ("trained", "untrained", "baseline", "planted")


def cells(table: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return the rows of one dataset and fit.

    Raises
    ------
    InputError : the table has none.
    """
    rows = table[(table["dataset"] == view.dataset) & (table["fit"] == view.fit)]
    if rows.empty:
        known = sorted({f"{d}/{f}" for d, f in zip(table["dataset"], table["fit"], strict=True)})
        raise InputError(
            f"no row for dataset {view.dataset}, fit {view.fit}; the table has {', '.join(known)}"
        )
    return rows


def subject_of(rows: pd.DataFrame, view: View) -> str:
    """Return the label whose scores are the headline.

    `group` (mean of the subjects' scores, resampled over subjects) speaks of people; `average` (one
    fit to the mean response) of one brain that nobody has; so the group comes first where it is.
    """
    labels = set(rows["subject"])
    wanted = [view.subject] if view.subject else ["group", "average", *sorted(labels)]
    found = next((label for label in wanted if label in labels), None)
    if found is None:
        raise InputError(f"{view.dataset}: no subject {view.subject}; there are {sorted(labels)}")
    return found


def headline(scores: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return the scores of the headline subject, all layers, with a finite r."""
    rows = cells(scores, view)
    rows = rows[rows["subject"] == subject_of(rows, view)]
    return rows[finite(rows["r"])]


def finite(values: pd.Series) -> np.ndarray:
    """Say which values are numbers; a column of an empty table has no type yet."""
    return np.isfinite(values.to_numpy(float))


def nested(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["layer"] == NESTED]


def final(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each model's last checkpoint; every seed of twins and baselines is one."""
    last = rows.groupby("model")["step"].transform("max")
    stepped = rows["role"].isin(["trained", "planted"]) & rows["step"].notna()
    return rows[~stepped | (rows["step"] == last)]


def panels(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the (roi, hemisphere) pairs to show: both sides in one where the table has them so."""
    found: dict[str, list[str]] = {}
    for roi, side in rows[["roi", "hemisphere"]].drop_duplicates().itertuples(index=False):
        found.setdefault(str(roi), []).append(str(side))
    order = sorted(found, key=lambda roi: (roi != "all", list(found).index(roi)))
    return [(roi, side) for roi in order for side in _sides(found[roi])]


def _sides(sides: list[str]) -> list[str]:
    single = sorted(side for side in sides if side != "both")
    return single if len(single) == 1 or "both" not in sides else ["both"]


def panel(rows: pd.DataFrame, roi: str, hemisphere: str) -> pd.DataFrame:
    return rows[(rows["roi"] == roi) & (rows["hemisphere"] == hemisphere)]


def lines(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (role, model) of each line of a list of models, groups in order, the best on top.

    An untrained twin shares the line of its trained model when there is one.
    """
    trained = set(rows.loc[rows["role"] == "trained", "model"])
    twin = (rows["role"] == "untrained") & rows["model"].isin(trained)
    means = rows[~twin].groupby(["role", "model"])["r"].mean().sort_values(ascending=False)
    return sorted(means.index, key=lambda line: ROLES.index(line[0]))


def by_size(rows: pd.DataFrame) -> list[str]:
    """Return the models of `rows`, the smallest first, then by name."""
    sizes = rows.groupby("model")["n_params"].first()
    return sorted(sizes.index, key=lambda model: (np.nan_to_num(float(sizes[model])), model))


def mean_over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model: r, ci_low and ci_high, each the mean over its checkpoints."""
    return rows.groupby("model", sort=False)[["r", "ci_low", "ci_high"]].mean()


def ceilings(rows: pd.DataFrame, shown: Iterable[tuple[str, str]]) -> list[float]:
    """Return the noise ceiling of each panel, NaN where there is none."""
    known = [panel(rows, roi, side)["ceiling"].dropna() for roi, side in shown]
    return [float(values.iloc[0]) if len(values) else float("nan") for values in known]


def whose_text(scores: pd.DataFrame, view: View) -> str:
    """Say whose scores are shown, of how many people and samples."""
    rows = cells(scores, view)
    subject = subject_of(rows, view)
    match subject:
        case "group":
            people = f"mean over {count_subjects(rows['subject'])} subjects"
        case "average":
            people = "mean response over subjects"
        case _:
            people = f"subject {subject}"
    return f"{people}, {view.sample}" if view.sample else people


def interval_text(scores: pd.DataFrame, view: View, shape: str = "bars") -> str:
    """Say whose scores are shown and what the intervals are over."""
    over = "subjects" if subject_of(cells(scores, view), view) == "group" else "items or blocks"
    return f"{whose_text(scores, view)} · {shape}: 95% CI over {over}"


def count_subjects(labels: Iterable[str]) -> int:
    return len(set(labels) - {"group", "average"})


def laws(table: pd.DataFrame, scores: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return the lines of r on log10 parameters, of the headline subject."""
    rows = same_view(table, scores, view)
    wanted = (rows["predictor"] == "log10_params") & (rows["outcome"] == "r")
    return rows[wanted & finite(rows["slope"])]


def same_view(table: pd.DataFrame, scores: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return the rows of another table that belong to the scores of a view; there may be none."""
    subject = subject_of(cells(scores, view), view)
    wanted = {"dataset": view.dataset, "fit": view.fit, "subject": subject}
    return table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]


def better_than_baselines(contrasts: pd.DataFrame, rows: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Return (model, roi, hemisphere) of the networks that beat every baseline.

    Beating is a 95% interval of the paired difference above 0, against each baseline and seed.

    Parameters
    ----------
    contrasts : rows of table `model_contrasts` of one dataset, fit and subject.
    rows : scores of the same, which say what a baseline is.
    """
    baselines = rows.loc[rows["role"] == "baseline", "model"].unique()
    against = contrasts[contrasts["model_b"].isin(baselines)]
    lowest = against.groupby(["model_a", "roi", "hemisphere"])["ci_low"].min()
    return set(lowest[lowest > 0].index)
