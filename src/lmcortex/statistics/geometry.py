"""The geometry of all checkpoints of a study as one table, and its grids of layers by steps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex.geometry.variants import DEGREES, KEY
from lmcortex.seeds import generator
from lmcortex.statistics.collect import ABOUT, about_models

RUN = ["dataset", "model", "checkpoint"]
# What stands for the last layer: the residual stream as in other layers (first choice), the
# model's output after its final norm (what most published code takes), or nothing.
LAST_LAYERS = ("residual", "normed", "left out")
VARIANT = ["measure", "variant", "unit", "first_token", "last_layer"]
N_DRAWS = 200  # of sentences


class Grid(NamedTuple):
    """A measure over layers and training.

    `variant` has the keys `VARIANT`; `layers` (n_layers,) are numbers of blocks, from 1; `steps`
    (n_steps,) rise; `values` is (n_layers, n_steps), the mean over sentences.
    """

    variant: dict[str, Any]
    layers: np.ndarray
    steps: np.ndarray
    values: np.ndarray


def collect_geometry(runs: Sequence[pd.DataFrame], spec: Mapping[str, Any]) -> pd.DataFrame:
    """Join the geometry of all runs.

    Parameters
    ----------
    runs : tables of `geometry.measure_geometry`, each with the columns dataset, model, checkpoint.
    spec : `models`, as for `collect_scores`, each with its `n_layers`, too; `geometry`, the first
        choice (`config.Geometry`).

    Returns
    -------
    One row per run, layer and variant (`lmcortex.geometry.variants`): what `measure_geometry`
    says but for single sentences, and what is known of the model; `depth` is layer / n_layers;
    `first_choice` tells the rows that the first choice is made of.
    """
    table = pd.concat([run.drop(columns="values") for run in runs], ignore_index=True)
    layers = {name: about["n_layers"] for name, about in spec["models"].items()}
    table["n_layers"] = table["model"].map(layers).astype(int)
    table["depth"] = table["layer"] / table["n_layers"].clip(lower=1)
    table = pd.concat([table, about_models(table, spec["models"])], axis=1)
    table["first_choice"] = is_first_choice(table, spec["geometry"])
    columns = [*RUN, *ABOUT, "n_layers", *KEY]
    rest = [name for name in table.columns if name not in columns]
    return table[[*columns, *rest]].sort_values([*RUN, *KEY], ignore_index=True)


def first_choices(chosen: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the variant (keys `VARIANT`) of each measure that a study's settings put first.

    Parameters
    ----------
    chosen : fields of `config.Geometry`.
    """
    both = {name: chosen[name] for name in ("first_token", "last_layer")}
    units = {"entropy": chosen["entropy_unit"], "curvature": DEGREES}
    return {
        measure: {"measure": measure, "variant": chosen[measure], "unit": unit, **both}
        for measure, unit in units.items()
    }


def is_first_choice(table: pd.DataFrame, chosen: Mapping[str, Any]) -> np.ndarray:
    """Tell which rows of the table of geometry the first choice is made of."""
    wanted = pd.DataFrame(first_choices(chosen).values()).drop(columns="last_layer")
    found = table[list(wanted)].merge(wanted.assign(wanted=True), how="left")["wanted"].notna()
    is_last = table["layer"] == table["n_layers"]
    state = np.where(is_last, chosen["last_layer"], "residual")
    return found.to_numpy() & (table["state"] == state).to_numpy()


def resample_sentences(
    runs: Iterable[pd.DataFrame], geometry: pd.DataFrame, spec: Mapping[str, Any]
) -> pd.DataFrame:
    """Draw the sentences of the first choice with replacement.

    Parameters
    ----------
    runs : as for `collect_geometry`; one is held at a time.
    geometry : the study's table.
    spec : `seed`.

    Returns
    -------
    The first choice's rows of `geometry` with `draws`, arrays (`N_DRAWS`,) of the mean over the
    sentences drawn, NaN where none of them has a value. Draw b counts the same sentences in all
    rows of a dataset.
    """
    wanted = geometry[geometry["first_choice"]]
    parts = []
    for run in runs:
        rows = wanted.merge(run[[*RUN, *KEY, "values"]], on=[*RUN, *KEY])
        if rows.empty:
            continue
        values = np.stack(rows["values"].to_list())
        n = values.shape[1]
        rng = generator("sentences", str(rows["dataset"].iloc[0]), spec["seed"])
        weights = rng.multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):  # 0 / 0 = NaN: no sentence
            means = np.nan_to_num(values) @ weights.T / (known @ weights.T)
        parts.append(rows.drop(columns="values").assign(draws=list(means)))
    return pd.concat(parts, ignore_index=True)


def grids(rows: pd.DataFrame) -> Iterator[Grid]:
    """Yield each variant of the geometry of one model on one dataset.

    The embeddings (layer 0) are left out: no context has reached them.

    Parameters
    ----------
    rows : rows of the table of geometry; those without a training step do not count.
    """
    rows = rows[rows["step"].notna() & (rows["layer"] > 0)]
    key = ["measure", "variant", "unit", "first_token"]
    for values, group in rows.groupby(key, sort=True):
        named = dict(zip(key, values, strict=True))
        for last in LAST_LAYERS:
            wide = with_last(group, last).pivot(index="layer", columns="step", values="mean")
            yield Grid(
                {**named, "last_layer": last},
                wide.index.to_numpy(int),
                wide.columns.to_numpy(float),
                wide.to_numpy(float),
            )


def with_last(rows: pd.DataFrame, last: str) -> pd.DataFrame:
    """Keep one row per layer and step, of the last layer what `last` says."""
    is_last = rows["layer"] == rows["n_layers"]
    residual = rows["state"] == "residual"
    if last == "residual":
        return rows[residual]
    return rows[(residual & ~is_last) | (is_last & ~residual & (last == "normed"))]
