"""The windows of all checkpoints of a study, layer by layer, and what they say of the brain."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.inference import benjamini_hochberg
from lmcortex.scores import NESTED
from lmcortex.statistics.collect import ABOUT, about_models, is_summary, table
from lmcortex.statistics.geometry import Grid
from lmcortex.statistics.geometry_brain import UNIT, correlations, enough
from lmcortex.statistics.partial import CONTROLS, Partial, control_columns
from lmcortex.windows.fits import FORMS, UNDEFINED, exponential, power

RUN = ["text", "model", "checkpoint"]
MEDIANS = ("length", "level", "rate", "exponent")
MIXTURE = ("mixture_exponent", "mixture_rate", "mixture_weight")
HELD_OUT = tuple(f"mse_{form}" for form in FORMS)
QUARTILES = [0.25, 0.75]
# What is held against scores: how long a window is, how much of it falls slowly, and how slowly.
MEASURES = ("length", "mixture_weight", "mixture_exponent")
YOKING = [
    *(*RUN, "unit_words", "side", "layer", *ABOUT, "n_layers", "depth", "n_units"),
    *("index", "index_first", "index_second", "index_low", "index_high"),
]
COLUMNS = [
    *UNIT,
    *("text", "model", "family", "n_params", "measure", "control", "method"),
    *("estimate", "ci_low", "ci_high", "p", "q", "n_effective"),
    *("layers_low", "layers_high", "p_shift"),
    *("n_layers", "n_steps"),
]


def collect_windows(runs: Iterable[pd.DataFrame], spec: Mapping[str, Any]) -> pd.DataFrame:
    """Sum the units of each layer up, and join all runs.

    Parameters
    ----------
    runs : tables of `windows.measure.fitted_rows`, each with the columns text, model, checkpoint;
        one is held at a time.
    spec : `models`, as for `collect_geometry`.

    Returns
    -------
    One row per run, side (`past`; `future` for models that are not causal) and layer, with what is
    known of the model and

    * n_units; share_{kind}: the share of them whose window has a kind (`windows.fits.simplest`);
    * length (words), level, rate, exponent: medians over units with a window, of `length` also
      quartiles (length_low, length_high);
    * power_tail: the share of units with a window in whose mixture the power law is the larger part
      at the last lag;
    * mixture_exponent, mixture_rate, mixture_weight: medians over those units, as in the others
      weight and exponent are those of the steep part; NaN where there are none;
    * mse_{form}: median held-out error; mixture_best, power_best: the share of units with a window
      in which the mixture predicts the held-out half better than the power law and the exponential
      alone, and the power law better than the exponential.
    """
    parts = [
        pd.DataFrame(
            [
                {**dict(zip([*RUN, "side", "layer"], key, strict=True)), **of_layer(rows)}
                for key, rows in run.groupby([*RUN, "side", "layer"], sort=True)
            ]
        )
        for run in runs
    ]
    return with_models(parts, spec)


def of_layer(units: pd.DataFrame) -> dict[str, Any]:
    """Return the row of one layer."""
    kinds = units["kind"].value_counts(normalize=True)
    with_window = units[units["kind"] != UNDEFINED]
    low, high = with_window["length"].quantile(QUARTILES)
    lasting = ends_in_power(with_window)
    medians = with_window[[*MEDIANS, *HELD_OUT]].median()
    of_mixture = with_window.loc[lasting, list(MIXTURE)].median()
    both, slow, fast = (with_window[f"mse_{form}"] for form in ("mixture", "power", "exponential"))
    return {
        "n_units": len(units),
        **{f"share_{kind}": float(kinds.get(kind, 0.0)) for kind in (*FORMS, UNDEFINED)},
        **{str(name): float(value) for name, value in medians.items()},
        **{str(name): float(value) for name, value in of_mixture.items()},
        "length_low": low,
        "length_high": high,
        "power_tail": float(lasting.mean()) if len(lasting) else np.nan,
        "mixture_best": float((both < np.minimum(slow, fast)).mean()),
        "power_best": float((slow < fast).mean()),
    }


def ends_in_power(units: pd.DataFrame) -> np.ndarray:
    """Tell in which units' mixtures the power law is the larger part at the last lag (n,)."""
    if units.empty:
        return np.zeros(0, dtype=bool)
    exponent, rate, weight = (units[[name]].to_numpy(float) for name in MIXTURE)
    last = np.array([len(units["window"].iloc[0]) - 1.0])
    slow, fast = weight * power(exponent, last), (1 - weight) * exponential(rate, last)
    return (slow >= fast)[:, 0]


def collect_yoking(runs: Iterable[pd.DataFrame], spec: Mapping[str, Any]) -> pd.DataFrame:
    """Sum the units of each layer up, and join all runs.

    Parameters
    ----------
    runs : tables of `windows.measure.yoked_rows`, each with the columns text, model, checkpoint.
    spec : as for `collect_windows`.

    Returns
    -------
    One row per run, length of sentences (unit_words), side and layer, with what is known of the
    model, n_units and, over units, the median of the yoking index (index), its quartiles
    (index_low, index_high) and its median in each half of the series (index_first, index_second).
    """
    key = [*RUN, "unit_words", "side", "layer"]
    parts = []
    for run in runs:
        if run.empty:  # a text without sentences
            continue
        groups = run.groupby(key, sort=True)
        medians = groups[["index", "index_first", "index_second"]].median()
        medians["index_low"] = groups["index"].quantile(QUARTILES[0])
        medians["index_high"] = groups["index"].quantile(QUARTILES[1])
        medians.insert(0, "n_units", groups.size())
        parts.append(medians.reset_index())
    return with_models(parts, spec) if parts else table([], YOKING)


def with_models(parts: list[pd.DataFrame], spec: Mapping[str, Any]) -> pd.DataFrame:
    """Join the rows of all runs with what is known of their models."""
    rows = pd.concat(parts, ignore_index=True)
    layers = {name: about["n_layers"] for name, about in spec["models"].items()}
    rows["n_layers"] = rows["model"].map(layers).astype(int)
    rows["depth"] = rows["layer"] / rows["n_layers"].clip(lower=1)
    rows = pd.concat([rows, about_models(rows, spec["models"])], axis=1)
    key = [*RUN, *(["unit_words"] if "unit_words" in rows else []), "side", "layer"]
    first = [*key, *ABOUT, "n_layers", "depth"]
    rest = [name for name in rows.columns if name not in first]
    return rows[[*first, *rest]].sort_values(key, ignore_index=True)


def relate_windows(
    scores: pd.DataFrame, windows: pd.DataFrame, yoking: pd.DataFrame, spec: Mapping[str, Any]
) -> pd.DataFrame:
    """Correlate windows with scores over layers and steps, other things taken out.

    Parameters
    ----------
    scores, windows, yoking : the study's tables; of windows and yoking, what looks into the past.
    spec : `seed` of the bootstrap.

    Returns
    -------
    One row per dataset, fit, subject (`group`, `average`), roi, hemisphere, text, model, measure,
    control (`partial.CONTROLS`, all of them) and method (`pearson`, `spearman`). `measure` is one
    of `MEASURES` or ``yoking-{unit_words}``, each the median over a layer's units. The other
    columns are those of `geometry_brain.relate_geometry`; `q` is Benjamini-Hochberg within a
    dataset, fit, text, measure, control and method. Embeddings are left out, and so are models
    with fewer than four blocks or four steps and measures that some layer does not have.
    """
    summary = scores[is_summary(scores) & (scores["layer"] != NESTED) & (scores["step"] > 0)]
    rows: list[dict[str, Any]] = []
    for grid, first in grids(windows, yoking):
        of_model = summary[summary["model"] == first["model"]]
        about = {name: first[name] for name in ("model", "family", "n_params")}
        for control in CONTROLS:
            depth = grid.layers / first["n_layers"]
            shape = (len(grid.layers), len(grid.steps))
            partial = Partial(shape, control_columns(control, depth, grid.steps))
            for key, part in of_model.groupby(UNIT, sort=True):
                wide = part.pivot(index="layer", columns="step", values="r")
                score = wide.loc[grid.layers, grid.steps].to_numpy(float)
                unit = dict(zip(UNIT, key, strict=True))
                known = {**unit, **grid.variant, **about, "control": control}
                rows += correlations(known, partial, grid, score, True, spec)
    found = table(rows, COLUMNS)
    family = ["dataset", "fit", "text", "measure", "control", "method"]
    for _, group in found.groupby(family):
        found.loc[group.index, "q"] = benjamini_hochberg(group["p"].to_numpy(float))
    return found


def grids(windows: pd.DataFrame, yoking: pd.DataFrame) -> Iterator[tuple[Grid, pd.Series]]:
    """Yield each measure of each text and model over layers and steps, with one of its rows."""
    sources = [(windows, name, name) for name in MEASURES]
    sources += [
        (yoking[yoking["unit_words"] == length], "index", f"yoking-{length}")
        for length in sorted(set(yoking["unit_words"]))
    ]
    for source, column, measure in sources:
        past = source[(source["side"] == "past") & (source["step"] > 0) & (source["layer"] > 0)]
        for (text, _), rows in past.groupby(["text", "model"], sort=True):
            wide = rows.pivot(index="layer", columns="step", values=column)
            values = wide.to_numpy(float)
            if enough(rows) and np.isfinite(values).all():
                variant = {"text": text, "measure": measure}
                layers, steps = wide.index.to_numpy(int), wide.columns.to_numpy(float)
                yield Grid(variant, layers, steps, values), rows.iloc[0]
