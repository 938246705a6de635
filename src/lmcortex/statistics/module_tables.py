"""Modules of layers of all models of a study, and how well each module predicts the brain."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.geometry.variants import CURVATURES, ENTROPIES, LOG_TOKENS, NATS
from lmcortex.inference import interval
from lmcortex.scores import NESTED
from lmcortex.seeds import generator
from lmcortex.statistics.collect import is_summary, records, table
from lmcortex.statistics.geometry import LAST_LAYERS, Grid, first_choices, grids
from lmcortex.statistics.geometry_brain import enough
from lmcortex.statistics.modules import (
    MIN_LAYERS,
    Modules,
    arrangements,
    contrast_p,
    count_arrangements,
    find_modules,
    module_contrast,
    resampled_agreement,
)

MEASURED = ("entropy", "curvature")
FIRST_CHOICE = "first choice"
# What may be chosen otherwise, and how that is called.
OPTIONS: dict[str, dict[Any, str]] = {
    "entropy": {name: f"entropy {name}" for name in ENTROPIES},
    "entropy_unit": {NATS: "entropy in nats", LOG_TOKENS: "entropy per log tokens"},
    "curvature": {name: f"curvature {name}" for name in CURVATURES},
    "first_token": {True: "with first token", False: "without first token"},
    "last_layer": {name: f"last layer {name}" for name in LAST_LAYERS},
}
N_ARRANGEMENTS = 1000
N_NULLS = 200
MODEL = ["dataset", "model", "family", "n_params", "choice"]
MODULES = [
    *MODEL,
    *("step", "layer", "depth", "low", "low_course", "z_entropy", "z_curvature"),
    *(
        "n_low",
        "n_blocks",
        "entropy",
        "curvature",
        "n_clusters_silhouette",
        "n_clusters_gap",
        "silhouette",
    ),
    *("ari_previous", "ari_final", "r"),
]
NULL_TABLE = [*MODEL, "statistic", "null", "observed", "expected", "p", "ci_low", "ci_high"]
UNIT = ["dataset", "fit", "subject", "roi", "hemisphere"]
SCORES = [
    *UNIT,
    *MODEL[1:],
    *("membership", "step", "r_low", "r_high", "difference", "ci_low", "ci_high"),
    *("p", "n_arrangements", "entropy", "curvature"),
]
SUMMARY = ("n_clusters_silhouette", "n_clusters_gap", "silhouette", "ari_course", "stable_step")


def cluster_layers(
    geometry: pd.DataFrame, resampled: pd.DataFrame, spec: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cluster the layers of each model by entropy and curvature.

    Parameters
    ----------
    geometry : the study's table.
    resampled : the first choice with its draws of sentences (`geometry.resample_sentences`).
    spec : `seed`; `geometry`, the first choice (`config.Geometry`).

    Returns
    -------
    modules : one row per dataset, model, choice of measures (`choices`; of four layers, none that
        leaves one out), step and layer: `low`, whether the layer is in the low-complexity module at
        this step, `low_course` whether it is by the whole course of training; `z_entropy` and
        `z_curvature`, over the layers of the step; and, the same for all layers of a step, what
        `modules.Modules.steps` says.
    nulls : one row per dataset, model, choice and statistic: the observed value beside what a null
        expects and its one-sided p; and, without a null, what `modules.Modules.summary` says. Of
        the first choice's `ari_final`, ci_low and ci_high are over draws of sentences.
    """
    modules, nulls = [], []
    for (dataset, model), measured in geometry.groupby(["dataset", "model"], sort=True):
        if not enough(measured):
            continue
        about = {name: measured[name].iloc[0] for name in MODEL[:-1]}
        n_blocks = int(measured["n_layers"].iloc[0])
        known = list(grids(measured))
        for choice, settings in choices(spec["geometry"]):
            wanted = first_choices(settings)
            entropy, curvature = (
                next(grid for grid in known if grid.variant == wanted[measure])
                for measure in MEASURED
            )
            if len(entropy.layers) < MIN_LAYERS:  # the last of four is left out
                continue
            rng = generator("modules", str(dataset), str(model), spec["seed"])
            first = choice == FIRST_CHOICE
            n_nulls = N_NULLS if first else N_NULLS // 4
            found = find_modules(
                entropy.values.T, curvature.values.T, entropy.steps, rng, n_nulls=n_nulls
            )
            if first:
                here = (resampled["dataset"] == dataset) & (resampled["model"] == model)
                low, high = interval(resampled_agreement(*draws_of(resampled[here], entropy)))
                agreement = found.nulls["statistic"] == "ari_final"
                found.nulls.loc[agreement, ["ci_low", "ci_high"]] = low, high
            name = {**about, "choice": choice}
            modules += [{**name, **row} for row in _module_rows(found, entropy, n_blocks)]
            nulls += [{**name, **row} for row in _null_rows(found)]
    return table(modules, MODULES), table(nulls, NULL_TABLE)


def choices(first: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the first choice (fields of `config.Geometry`), then all with one thing changed."""
    yield FIRST_CHOICE, dict(first)
    for setting, options in OPTIONS.items():
        for option, name in options.items():
            if option != first[setting]:
                yield name, {**first, setting: option}


def draws_of(resampled: pd.DataFrame, grid: Grid) -> Iterator[np.ndarray]:
    """Yield the draws (n x steps x layers) of entropy and of curvature, in the order of a grid."""
    for measure in MEASURED:
        rows = resampled[resampled["measure"] == measure].set_index(["step", "layer"])["draws"]
        by_cell = [[rows.loc[(step, layer)] for layer in grid.layers] for step in grid.steps]
        yield np.moveaxis(np.array(by_cell, dtype=float), -1, 0)


def _module_rows(found: Modules, grid: Grid, n_blocks: int) -> Iterator[dict[str, Any]]:
    for place, facts in enumerate(records(found.steps)):
        layers = zip(
            grid.layers, found.low[place], found.course_low, found.points[place], strict=True
        )
        for layer, low, course, (entropy, curvature) in layers:
            yield {
                **facts,
                "layer": int(layer),
                "depth": layer / n_blocks,
                "low": bool(low),
                "low_course": bool(course),
                "z_entropy": entropy,
                "z_curvature": curvature,
            }


def _null_rows(found: Modules) -> Iterator[dict[str, Any]]:
    yield from records(found.nulls)
    for statistic in SUMMARY:
        yield {"statistic": statistic, "null": "", "observed": found.summary[statistic]}


def score_modules(
    scores: pd.DataFrame,
    draws: Sequence[pd.DataFrame],
    modules: pd.DataFrame,
    spec: Mapping[str, Any],
) -> pd.DataFrame:
    """Compare how well low- and high-complexity layers predict the brain.

    Parameters
    ----------
    scores : the study's table.
    draws : resampled scores of all layers, as `scores.score_rois` gives them, cell by cell.
    modules : the study's table.
    spec : `seed` of the permutations.

    Returns
    -------
    One row per dataset, fit, subject (`group`, `average`), roi, hemisphere, model, choice of
    measures, `membership` (`step`: the modules of each step; `course`: those of the whole course of
    training) and step; the row without a step is the mean over steps. `r_low` and `r_high` are mean
    scores over the layers of a module, `difference` the first minus the second, with the interval
    of the paired draws. `p` (two-sided) is over other arrangements of the modules that have the
    same sizes and are in as many pieces (`modules.arrangements`); NaN where there are fewer than
    100: not testable. `entropy` and `curvature` are mean z of the low module minus that of the
    other: where one of them is not below 0, the module is of low complexity by the other only.
    """
    summary = scores[is_summary(scores) & (scores["layer"] != NESTED)]
    resampled = pd.concat(draws, ignore_index=True)
    resampled = resampled[resampled["layer"] != NESTED]
    steps = scores[["model", "checkpoint", "step"]].drop_duplicates()
    resampled = resampled.merge(steps, on=["model", "checkpoint"])
    rows: list[dict[str, Any]] = []
    for (dataset, model), members in modules.groupby(["dataset", "model"], sort=True):
        here, drawn = (
            part[(part["dataset"] == dataset) & (part["model"] == model)]
            for part in (summary, resampled)
        )
        by_unit = dict(list(drawn.groupby(UNIT)))
        for key, unit_rows in here.groupby(UNIT, sort=True):
            wide = unit_rows.pivot(index="step", columns="layer", values="r")
            stacked = by_unit[key].set_index(["step", "layer"])["draws"]
            unit = dict(zip(UNIT, key, strict=True))
            for _, member in members.groupby("choice", sort=False):
                about = {name: member[name].iloc[0] for name in MODEL}
                for row in _contrasts(wide, stacked, member, spec):
                    rows.append({**unit, **about, **row})
    return table(rows, SCORES)


def _contrasts(
    wide: pd.DataFrame, draws: pd.Series, member: pd.DataFrame, spec: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    low, course, *z_scores = (
        member.pivot(index="step", columns="layer", values=name)
        for name in ("low", "low_course", *(f"z_{measure}" for measure in MEASURED))
    )
    steps = low.index.intersection(wide.index)
    scores = wide.loc[steps, low.columns].to_numpy(float)
    resampled = np.array(
        [[draws.loc[(step, layer)] for layer in low.columns] for step in steps], dtype=float
    )
    for membership, in_low in (("step", low), ("course", course)):
        member_of = in_low.loc[steps].to_numpy(bool)
        contrast = module_contrast(scores, member_of)
        drawn = module_contrast(resampled.transpose(2, 0, 1), member_of)
        sides = {
            name: module_contrast(z.loc[steps].to_numpy(float), member_of)
            for name, z in zip(MEASURED, z_scores, strict=True)
        }
        for place, step in enumerate(steps):
            yield {
                "membership": membership,
                "step": float(step),
                **_means(scores[place], member_of[place]),
                **_interval(contrast[place], drawn[:, place]),
                **_arranged(scores[place], member_of[place], spec),
                **{name: float(side[place]) for name, side in sides.items()},
            }
        yield {
            "membership": membership,
            **_means(scores, member_of),
            **_interval(contrast.mean(), drawn.mean(axis=1)),
            **{name: float(side.mean()) for name, side in sides.items()},
        }


def _means(scores: np.ndarray, low: np.ndarray) -> dict[str, float]:
    return {"r_low": float(scores[low].mean()), "r_high": float(scores[~low].mean())}


def _interval(difference: float, draws: np.ndarray) -> dict[str, float]:
    low, high = interval(draws)
    return {"difference": float(difference), "ci_low": low, "ci_high": high}


def _arranged(scores: np.ndarray, low: np.ndarray, spec: Mapping[str, Any]) -> dict[str, float]:
    others = arrangements(low, N_ARRANGEMENTS, generator("arrangements", spec["seed"]))
    if others is None:
        return {"n_arrangements": count_arrangements(low)}
    return {"n_arrangements": count_arrangements(low), "p": float(contrast_p(scores, low, others))}
