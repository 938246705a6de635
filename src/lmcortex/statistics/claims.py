"""What a study says of the claims on training geometry: which hold, and under which variants.

The claims are those of arXiv 2602.07539 as its abstract and summaries state them; it names no
numbers, so that only their direction is tested.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex.statistics.collect import table

LEVEL = 0.05
STATEMENTS = {
    "A1": "layers form two clusters that stay the same through training",
    "A2": "layers of low entropy have low curvature",
    "A3": "layers of the low-complexity module predict every region better",
    "A4": "temporal regions are predicted earlier and more steadily than frontal ones",
    "A5": "layers of low curvature predict better, training progress taken out",
    "A6": "that relation grows with the size of the model",
}
WHERE = ["dataset", "fit", "subject", "hemisphere", "model"]
COLUMNS = [
    "claim",
    "statement",
    *WHERE,
    *("verdict", "estimate", "ci_low", "ci_high", "p", "n_holding", "n_variants", "detail"),
]
ALL = "all"


class Finding(NamedTuple):
    """Whether a claim holds under one variant, and the number behind it."""

    variant: str
    holds: bool
    estimate: float
    ci_low: float = np.nan
    ci_high: float = np.nan
    p: float = np.nan


def judge_claims(
    module_nulls: pd.DataFrame,
    module_scores: pd.DataFrame,
    geometry_brain: pd.DataFrame,
    onset_contrasts: pd.DataFrame,
) -> pd.DataFrame:
    """Judge each claim on each dataset, fit and model.

    Parameters
    ----------
    module_nulls, module_scores, geometry_brain, onset_contrasts : the study's tables.

    Returns
    -------
    One row per claim and the dataset, fit, subject, hemisphere and model that it is judged on.
    `verdict`: `holds`, under all variants; `holds only under some variants`; `fails`, under none.
    `estimate` with `ci_low`, `ci_high` and `p` is that of the first choice; `n_holding` of
    `n_variants` hold; `detail` names those that do, or, where all do or none, what was asked.

    * A1: by the whole course of training the silhouette chooses two clusters, and modules are
      closer to the last step's (adjusted Rand index, the estimate; its interval over sentences)
      than in smooth profiles without modules. `p` is that of the smooth null.
    * A2: the correlation of entropy and curvature over layers, mean over steps, is above that of
      unrelated grids which are as autocorrelated (one-sided p).
    * A3: the mean over steps of low minus high is above 0 for all targets together, the estimate,
      and positive in every region; and the module is low in both measures, not in one alone.
    * A4: log10 onset90 (the estimate) and variability, temporal minus frontal, are both below 0;
      at matched noise first.
    * A5: the partial correlation of curvature and score is below 0.
    * A6: the slope of Fisher's z of it on log10 parameters is below 0.

    "Above" and "below" mean that the interval does not hold 0.
    """
    sources: list[tuple[str, pd.DataFrame, list[str], Callable[..., Iterator[Finding]]]] = [
        ("A1", module_nulls, ["dataset", "model"], _two_stable_clusters),
        ("A2", module_nulls, ["dataset", "model"], _low_together),
        ("A3", module_scores, WHERE, _low_predicts_better),
        ("A4", onset_contrasts, WHERE, _temporal_first),
        ("A5", _curvature(geometry_brain, "pearson"), WHERE, _curvature_predicts),
        ("A6", _curvature(geometry_brain, "growth"), WHERE, _curvature_predicts),
    ]
    rows = []
    for claim, found, where, judge in sources:
        for key, group in found.groupby(where, sort=True):
            findings = list(judge(group))
            if findings:
                about = dict(zip(where, key, strict=True))
                said = {"claim": claim, "statement": STATEMENTS[claim]}
                rows.append({**said, **about, **verdict(findings)})
    return table(rows, COLUMNS)


def verdict(findings: list[Finding]) -> dict[str, Any]:
    """Sum up what was found under all variants; the first is the first choice."""
    first = findings[0]
    holding = [finding.variant for finding in findings if finding.holds]
    if len(holding) == len(findings):
        said, detail = "holds", "under all variants"
    elif holding:
        said, detail = "holds only under some variants", "; ".join(holding)
    else:
        said, detail = "fails", "under no variant"
    return {
        "verdict": said,
        "estimate": first.estimate,
        "ci_low": first.ci_low,
        "ci_high": first.ci_high,
        "p": first.p,
        "n_holding": len(holding),
        "n_variants": len(findings),
        "detail": detail,
    }


def _two_stable_clusters(rows: pd.DataFrame) -> Iterator[Finding]:
    for choice, group in rows.groupby("choice", sort=False):
        course = group[group["statistic"] == "n_clusters_silhouette"]["observed"].iloc[0]
        smooth = group[(group["statistic"] == "ari_final") & (group["null"] == "smooth")].iloc[0]
        holds = bool(course == 2 and smooth["p"] <= LEVEL)
        numbers = [smooth[name] for name in ("observed", "ci_low", "ci_high", "p")]
        yield Finding(str(choice), holds, *numbers)


def _low_together(rows: pd.DataFrame) -> Iterator[Finding]:
    for choice, group in rows.groupby("choice", sort=False):
        found = group[(group["statistic"] == "r") & (group["null"] == "unrelated")].iloc[0]
        numbers = [found[name] for name in ("observed", "ci_low", "ci_high", "p")]
        yield Finding(str(choice), bool(found["p"] <= LEVEL), *numbers)


def _low_predicts_better(rows: pd.DataFrame) -> Iterator[Finding]:
    overall = rows[rows["step"].isna()]
    for (membership, choice), group in overall.groupby(["membership", "choice"], sort=False):
        whole = group[group["roi"] == ALL]
        if whole.empty:
            continue
        found: Any = whole.iloc[0]
        low_in_both = found["entropy"] < 0 and found["curvature"] < 0
        holds = bool(low_in_both and found["ci_low"] > 0 and (group["difference"] > 0).all())
        numbers = [found[name] for name in ("difference", "ci_low", "ci_high")]
        yield Finding(f"{choice}, modules by {membership}", holds, *numbers)


def _temporal_first(rows: pd.DataFrame) -> Iterator[Finding]:
    for noise, group in rows.groupby("noise", sort=False):
        by_measure = group.set_index("measure")
        onset: Any = by_measure.loc["onset90"]
        variability: Any = by_measure.loc["variability"]
        holds = bool(onset["ci_high"] < 0 and variability["ci_high"] < 0)
        numbers = [onset[name] for name in ("difference", "ci_low", "ci_high")]
        yield Finding(f"noise {noise}", holds, *numbers)


def _curvature(found: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the rows of curvature for all targets together, the first choice first."""
    rows = found[
        (found["measure"] == "curvature") & (found["method"] == method) & (found["roi"] == ALL)
    ]
    order = ~(rows["first_choice"].astype(bool) & (rows["control"] == "log step"))
    return rows.loc[order.sort_values(kind="stable").index]


def _curvature_predicts(rows: pd.DataFrame) -> Iterator[Finding]:
    for row in rows[rows["control"] != "none"].itertuples():
        known: Any = row
        tokens = "" if known.first_token else ", without first token"
        last = "" if known.last_layer == "residual" else f", last layer {known.last_layer}"
        name = f"{known.variant}{tokens}{last}, without {known.control}"
        numbers = (known.estimate, known.ci_low, known.ci_high, known.p)
        yield Finding(name, bool(known.ci_high < 0), *numbers)
