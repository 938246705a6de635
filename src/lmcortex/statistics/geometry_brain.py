"""Do layers of low entropy and curvature predict the brain better, beyond training progress?"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.inference import LEVEL, benjamini_hochberg, interval
from lmcortex.scores import NESTED
from lmcortex.seeds import generator
from lmcortex.statistics.collect import is_summary, table
from lmcortex.statistics.geometry import VARIANT, Grid, first_choices, grids
from lmcortex.statistics.mixed import Mixed
from lmcortex.statistics.partial import (
    CONTROLS,
    Partial,
    Test,
    control_columns,
    layer_bootstrap,
    matched_test,
    shift_p,
)

MIN_LAYERS, MIN_STEPS, MIN_SIZES = 4, 4, 3
N_BOOTSTRAP = 1000
# For variants other than the first choice: the published control, and the one that takes out
# whatever training does to all layers alike.
SENSITIVITY = ("log step", "steps")
UNIT = ["dataset", "fit", "subject", "roi", "hemisphere"]
COLUMNS = [
    *UNIT,
    "model",
    "family",
    "n_params",
    *VARIANT,
    "first_choice",
    "control",
    "method",
    *("estimate", "ci_low", "ci_high", "p", "q", "n_effective"),
    *("layers_low", "layers_high", "p_shift"),
    *("n_layers", "n_steps"),
]


def relate_geometry(
    scores: pd.DataFrame, geometry: pd.DataFrame, spec: Mapping[str, Any]
) -> pd.DataFrame:
    """Correlate geometry with scores over layers and steps, other things taken out.

    Parameters
    ----------
    scores, geometry : the study's tables.
    spec : `seed` of the bootstrap; `geometry`, the first choice (`config.Geometry`).

    Returns
    -------
    One row per dataset, fit, subject (`group`, `average`), roi, hemisphere, model, variant of the
    geometry (`first_choice` or not), control and method.

    * `method`: `pearson`; `spearman` (of ranks); `mixed`, the coefficient of the z-scored measure
      in a mixed model of the z-scored score on entropy, curvature and log step with an intercept
      for each layer; `growth` (model `all`), the slope of Fisher's z of the `pearson` rows on log10
      parameters over at least three sizes.
    * `control`: what is taken out (`partial.CONTROLS`), for the first choice also the other
      measure (`log step, entropy` for curvature and the reverse). All variants have `SENSITIVITY`,
      the first choice all controls.
    * `estimate` with `ci_low`, `ci_high` and `p` by `partial.matched_test`, worth `n_effective`
      independent cells; mixed: of the model, with errors for as many (`mixed.Mixed`); growth:
      interval only. `q` is Benjamini-Hochberg within a dataset, fit, variant, control and method.
    * first choice, pearson: `layers_low`, `layers_high` by drawing layers, `p_shift` by circular
      shifts.

    Models with fewer than four blocks or four steps after the first initialisation are left out.
    """
    summary = scores[is_summary(scores) & (scores["layer"] != NESTED) & (scores["step"] > 0)]
    rows: list[dict[str, Any]] = []
    for (dataset, model), measured in geometry.groupby(["dataset", "model"], sort=True):
        here = summary[(summary["dataset"] == dataset) & (summary["model"] == model)]
        if here.empty or not enough(measured):
            continue
        about = {name: measured[name].iloc[0] for name in ("model", "family", "n_params")}
        rows += [{**row, **about} for row in _relations(here, measured, spec)]
    found = table(rows, COLUMNS)
    found = pd.concat([found, growth(found)], ignore_index=True)
    for _, group in found.groupby(["dataset", "fit", *VARIANT, "control", "method"], dropna=False):
        found.loc[group.index, "q"] = benjamini_hochberg(group["p"].to_numpy(float))
    return found


def enough(measured: pd.DataFrame) -> bool:
    """Tell whether a model has layers and steps enough for a grid."""
    steps = measured.loc[measured["step"] > 0, "step"].nunique()
    return measured["n_layers"].iloc[0] >= MIN_LAYERS and steps >= MIN_STEPS


def _relations(
    scores: pd.DataFrame, measured: pd.DataFrame, spec: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    known = list(grids(measured[measured["step"] > 0]))
    wanted = first_choices(spec["geometry"])
    first = {
        measure: next(grid for grid in known if grid.variant == variant)
        for measure, variant in wanted.items()
    }
    n_blocks = int(measured["n_layers"].iloc[0])
    targets = [
        (dict(zip(UNIT, key, strict=True)), rows.pivot(index="layer", columns="step", values="r"))
        for key, rows in scores.groupby(UNIT, sort=True)
    ]
    partials: dict[tuple[int, str], Partial] = {}
    for grid in known:
        measure = str(grid.variant["measure"])
        chosen = first[measure] is grid
        for control in CONTROLS if chosen else SENSITIVITY:
            shape = (len(grid.layers), len(grid.steps))
            if (key := (shape[0], control)) not in partials:
                columns = control_columns(control, grid.layers / n_blocks, grid.steps)
                partials[key] = Partial(shape, columns)
            for unit, wide in targets:
                score = wide.loc[grid.layers, grid.steps].to_numpy(float)
                about = {**unit, **grid.variant, "first_choice": chosen, "control": control}
                yield from correlations(about, partials[key], grid, score, chosen, spec)
        if chosen:
            yield from _beside_the_other(targets, grid, first, n_blocks)
    yield from _mixed(targets, first)


def correlations(
    about: dict[str, Any],
    partial: Partial,
    grid: Grid,
    score: np.ndarray,
    chosen: bool,
    spec: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Yield a row by `pearson` and one by `spearman`, as in `relate_geometry`.

    Parameters
    ----------
    about : what the rows say beside their numbers, dataset, fit and control among it.
    chosen : whether layers are drawn and shifted, too.
    spec : `seed` of the draws.
    """
    shape = {"n_layers": partial.shape[0], "n_steps": partial.shape[1]}
    row = {**about, **shape, "method": "pearson", **_tested(partial, grid.values, score)}
    if chosen:
        rng = generator("layers", about["dataset"], about["fit"], about["control"], spec["seed"])
        draws = layer_bootstrap(partial, grid.values, score, N_BOOTSTRAP, rng)
        defined = draws[~np.isnan(draws)]
        low, high = interval(defined) if len(defined) else (np.nan, np.nan)
        row |= {"layers_low": low, "layers_high": high}
        row["p_shift"] = shift_p(partial, grid.values, score)
    yield row
    tested = _tested(partial, ranks(grid.values), ranks(score))
    yield {**about, **shape, "method": "spearman", **tested}


def _beside_the_other(
    targets: list[tuple[dict[str, Any], pd.DataFrame]],
    grid: Grid,
    first: Mapping[str, Grid],
    n_blocks: int,
) -> Iterator[dict[str, Any]]:
    """Take the other measure out beside log step."""
    other = next(name for name in first if name != grid.variant["measure"])
    columns = control_columns("log step", grid.layers / n_blocks, grid.steps)
    scaled = (first[other].values - first[other].values.mean()) / first[other].values.std()
    shape = (len(grid.layers), len(grid.steps))
    partial = Partial(shape, np.column_stack([columns, scaled.ravel()]))
    for unit, wide in targets:
        score = wide.loc[grid.layers, grid.steps].to_numpy(float)
        yield {
            **unit,
            **grid.variant,
            "first_choice": True,
            "control": f"log step, {other}",
            "method": "pearson",
            "n_layers": shape[0],
            "n_steps": shape[1],
            **_tested(partial, grid.values, score),
        }


def _tested(partial: Partial, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return as_columns(matched_test(partial, x, y))


def as_columns(found: Test) -> dict[str, float]:
    return {"estimate": found.r, **{name: getattr(found, name) for name in found._fields[1:]}}


def ranks(grid: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(grid).reshape(grid.shape)


def _mixed(
    targets: list[tuple[dict[str, Any], pd.DataFrame]], first: Mapping[str, Grid]
) -> Iterator[dict[str, Any]]:
    """Fit score ~ entropy + curvature + log step with an intercept for each layer."""
    grid = next(iter(first.values()))
    model = Mixed([each.values for each in first.values()], grid.steps)
    for unit, wide in targets:
        score = wide.loc[grid.layers, grid.steps].to_numpy(float)
        if not score.std():
            continue
        for each, found in zip(first.values(), model.fit(score), strict=True):
            yield {
                **unit,
                **each.variant,
                "first_choice": True,
                "control": "layers (random), log step, the other measure",
                "method": "mixed",
                "n_layers": len(grid.layers),
                "n_steps": len(grid.steps),
                **as_columns(found),
            }


def growth(found: pd.DataFrame) -> pd.DataFrame:
    """Regress Fisher's z of partial correlations on log10 parameters, over the sizes of a family.

    So few sizes allow no test.
    """
    usable = found[(found["method"] == "pearson") & (found["n_effective"] > 4)]
    rows = []
    key = [*UNIT, "family", *VARIANT, "first_choice", "control"]
    for values, group in usable.groupby(key, sort=True):
        if len(group) < MIN_SIZES or group["n_params"].nunique() < MIN_SIZES:
            continue
        numbers = group[["n_params", "estimate", "n_effective"]].to_numpy(float)
        slope, low, high = slope_over_sizes(*numbers.T)
        rows.append(
            {
                **dict(zip(key, values, strict=True)),
                "model": "all",
                "method": "growth",
                "estimate": slope,
                "ci_low": low,
                "ci_high": high,
            }
        )
    return table(rows, COLUMNS)


def slope_over_sizes(
    n_params: np.ndarray, r: np.ndarray, n_effective: np.ndarray
) -> tuple[float, float, float]:
    """Return the slope of Fisher's z of r on log10 parameters, and its interval.

    Sizes stand for independent models. The variance of z is, to first order, the 1 / (n - 1) by
    which the number of independent cells is defined; Fisher's n - 3, for independent pairs, makes
    it larger than it is found in simulations.

    Parameters
    ----------
    n_params, r, n_effective : (n_sizes,), as the rows of `relate_geometry` have them.
    """
    from scipy.stats import norm

    size = np.log10(n_params)
    centred = size - size.mean()
    weights = centred / (centred @ centred)
    slope = float(weights @ np.arctanh(r))
    reach = float(norm.ppf((1 + LEVEL) / 2) * np.sqrt(weights**2 @ (1 / (n_effective - 1))))
    return slope, slope - reach, slope + reach
