"""Planted effects beside what the analyses recovered of them.

The planted value is that of the statistic itself, in its unit and without noise: the closed forms
of `lmcortex.simulation.planted` and `.signals`. It is exact in the limit of many samples; with some
hundreds, ridge loses one or two per cent of r on features of two columns. The states of a language
model have many more columns, so that for it only which layer and which hemisphere are compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex.simulation.planted import share
from lmcortex.simulation.signals import expected_ceiling, expected_score
from lmcortex.statistics.training import measure_growth

COLUMNS = [
    "dataset",
    "fit",
    "effect",
    "model",
    "subject",
    "roi",
    "hemisphere",
    "planted",
    "recovered",
    "ci_low",
    "ci_high",
    "inside",
    "unit",
    "note",
]
SIDES = ("L", "R")
BOTH = "both"
Place = tuple[str, str]
Row = dict[str, Any]


class Estimate(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Study:
    """The study's tables, cut down to one dataset, one fit and the mean subject.

    `pooling` is that of the fit; `settings` are the dataset's `regions`, `signal`, `planted` and
    `n_subjects`.
    """

    scores: pd.DataFrame
    scaling: pd.DataFrame
    lateralization: pd.DataFrame
    training: pd.DataFrame
    settings: Mapping[str, Any]
    pooling: str

    @property
    def rois(self) -> list[tuple[str, str]]:
        """Pairs of ROI and region."""
        regions = self.settings["regions"]
        return [(roi, region) for region in sorted(regions) for roi in sorted(regions[region])]

    @property
    def places(self) -> list[tuple[Place, str]]:
        """Pairs of (ROI, hemisphere) and region."""
        return [((roi, side), region) for roi, region in self.rois for side in SIDES]

    @property
    def follows_states(self) -> bool:
        """Whether responses follow states of the language model that this fit reads, too."""
        signal = self.settings["signal"]
        return signal["states"]["pooling"] == self.pooling and signal["variance"]["states"] > 0

    @property
    def largest(self) -> int:
        return max(self.settings["planted"]["sizes"])

    def score(self, n_params: int, step: int | None, region: str, side: str) -> float:
        """Return the planted r_normalized of a pseudo-model's best layer."""
        best = share(self.settings["planted"], n_params, step, region).max()
        return expected_score(self.settings["signal"], region, side, best)


def recover(
    scores: pd.DataFrame,
    scaling: pd.DataFrame,
    lateralization: pd.DataFrame,
    training: pd.DataFrame,
    spec: Mapping[str, Any],
) -> pd.DataFrame:
    """Compare every planted effect with the study's tables.

    Parameters
    ----------
    scores, scaling, lateralization, training : the study's tables.
    spec : ``datasets``, for each simulated one its ``regions``, ``signal``, ``planted`` and
        ``n_subjects``; ``poolings``, that of each fit.

    Returns
    -------
    One row per dataset, fit, effect, model and ROI (and hemisphere, or `both`). ``effect`` is
    `layer`, `score` (r_normalized), `size_slope`, `hemisphere` (left minus right r),
    `hemisphere_sign` or `onset50`; ``inside`` says whether the 95 % interval holds the planted
    value.
    """
    rows: list[Row] = []
    tables = (scores, scaling, lateralization, training)
    for dataset, settings in sorted(spec["datasets"].items()):
        for fit in sorted(set(scores.loc[scores["dataset"] == dataset, "fit"])):
            parts = [_part(table, dataset, fit) for table in tables]
            study = Study(*parts, settings=settings, pooling=spec["poolings"][fit])
            for effect in EFFECTS:
                rows += [{"dataset": dataset, "fit": fit, **row} for row in effect(study)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _part(table: pd.DataFrame, dataset: str, fit: str) -> pd.DataFrame:
    here = (table["dataset"] == dataset) & (table["fit"] == fit) & (table["subject"] == "average")
    return table[here]


def _row(
    effect: str,
    model: str,
    place: Place,
    planted: float,
    found: Estimate,
    unit: str,
    note: str = "",
) -> Row:
    return {
        "effect": effect,
        "model": model,
        "subject": "average",
        "roi": place[0],
        "hemisphere": place[1],
        "planted": float(planted),
        "recovered": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "inside": bool(found.low <= planted <= found.high),
        "unit": unit,
        "note": note,
    }


def _estimates(rows: pd.DataFrame, value: str, bound: str = "") -> dict[Place, Estimate]:
    """Read the column `value` and its interval, by place."""
    if "hemisphere" not in rows:
        rows = rows.assign(hemisphere=BOTH)
    columns = ["roi", "hemisphere", value, f"{bound}ci_low", f"{bound}ci_high"]
    found = (rows[name].tolist() for name in columns)
    return {
        (roi, side): Estimate(float(middle), float(low), float(high))
        for roi, side, middle, low, high in zip(*found, strict=True)
    }


def layers(study: Study) -> Iterator[Row]:
    """Which layer predicts best; the interval is that of the layers that the folds chose."""
    note = "interval: layers chosen by the folds"
    states = study.settings["signal"]["states"]
    planted = {f"planted-{study.largest}": int(np.argmax(study.settings["planted"]["layers"]))}
    if study.follows_states:
        planted[states["model"]] = states["layer"]
    rows = study.scores[study.scores["final"] & (study.scores["layer"] >= 0)]
    for model, layer in planted.items():
        for roi, _ in study.rois:
            here = rows[(rows["model"] == model) & (rows["roi"] == roi)]
            if not here.empty:
                by_layer = here.groupby("layer")[["r", "selected_share"]].mean()
                numbers = by_layer.index.to_numpy(float)
                chosen = numbers[by_layer["selected_share"].to_numpy() > 0]
                best = numbers[by_layer["r"].to_numpy().argmax()]
                found = Estimate(float(best), float(chosen.min()), float(chosen.max()))
                yield _row("layer", model, (roi, BOTH), layer, found, "layer", note)


def final_scores(study: Study) -> Iterator[Row]:
    """How well the largest pseudo-model predicts, relative to the ceiling."""
    model = f"planted-{study.largest}"
    rows = study.scores[study.scores["final"] & (study.scores["layer"] == -1)]
    rows = rows[rows["model"] == model]
    relative = {name: rows[name] / rows["ceiling"] for name in ("r", "ci_low", "ci_high")}
    found = _estimates(rows.assign(**relative), "r")
    for place, region in study.places:
        if place in found:
            planted = study.score(study.largest, None, region, place[1])
            yield _row("score", model, place, planted, found[place], "r / ceiling")


def size_slopes(study: Study) -> Iterator[Row]:
    """How much the score gains per tenfold of parameters."""
    rows = study.scaling
    rows = rows[(rows["role"] == "planted") & (rows["outcome"] == "r_normalized")]
    found = _estimates(rows[rows["predictor"] == "log10_params"], "slope")
    sizes = study.settings["planted"]["sizes"]
    unit = "r / ceiling per log10(parameters)"
    for place, region in study.places:
        if place in found:
            scores = [study.score(size, None, region, place[1]) for size in sizes]
            planted = np.polyfit(np.log10(sizes), scores, 1)[0]
            yield _row("size_slope", "planted", place, planted, found[place], unit)


def hemispheres(study: Study) -> Iterator[Row]:
    """By how much the left side is better predicted from the largest pseudo-model."""
    model = f"planted-{study.largest}"
    found = _estimates(_final(study, model), "difference")
    ceiling = expected_ceiling(study.settings["signal"], study.settings["n_subjects"])
    for roi, region in study.rois:
        if (place := (roi, BOTH)) in found:
            left, right = (study.score(study.largest, None, region, side) for side in SIDES)
            planted = ceiling * (left - right)
            yield _row("hemisphere", model, place, planted, found[place], "left - right, r")


def hemisphere_signs(study: Study) -> Iterator[Row]:
    """Whether the left side, the right or neither is better predicted from the language model.

    Ridge loses more on the weaker side, by an amount that depends on the model, so that only the
    sign of the difference is known beforehand: that of its interval, 0 where this holds 0.
    """
    states, gain = study.settings["signal"]["states"], study.settings["signal"]["gain"]
    if not study.follows_states:
        return
    found = _estimates(_final(study, states["model"]), "difference")
    for roi, region in study.rois:
        if (place := (roi, BOTH)) in found:
            value, low, high = found[place]
            sign = float(low > 0) - float(high < 0)
            planted = np.sign(gain[region]["L"] - gain[region]["R"])
            note = f"left - right = {value:.3f} [{low:.3f}, {high:.3f}] r"
            same = Estimate(sign, sign, sign)
            yield _row("hemisphere_sign", states["model"], place, planted, same, "sign", note)


def onsets(study: Study) -> Iterator[Row]:
    """At which of its steps a pseudo-model has learnt half of what it will."""
    learning = study.settings["planted"]["learning"]
    if not learning:
        return
    size, steps = learning["size"], np.array(sorted(learning["steps"]))
    rows = study.training[study.training["model"] == f"planted-{size}"]
    found = _estimates(rows, "onset50", "onset50_")
    note = "first of the saved steps with half of the rise"
    for place, region in study.places:
        if place in found:
            curve = [study.score(size, int(step), region, place[1]) for step in steps]
            planted = measure_growth(np.array([curve]), steps)["onset50"][0]
            yield _row("onset50", f"planted-{size}", place, planted, found[place], "step", note)


EFFECTS = (layers, final_scores, size_slopes, hemispheres, hemisphere_signs, onsets)


def _final(study: Study, model: str) -> pd.DataFrame:
    """Return the rows of `lateralization` of a model's last checkpoint."""
    scores, rows = study.scores, study.lateralization
    last = scores.loc[scores["final"] & (scores["model"] == model), "checkpoint"]
    return rows[(rows["model"] == model) & rows["checkpoint"].isin(set(last))]
