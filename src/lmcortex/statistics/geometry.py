"""The geometry of all checkpoints of a study as one table, and its grids of layers by steps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex.geometry.variants import KEY, PRIMARY
from lmcortex.statistics.collect import ABOUT, about_models

RUN = ["dataset", "model", "checkpoint"]
# What stands for the last layer: the residual stream as in other layers (first choice), the
# model's output after its final norm (what most published code takes), or nothing.
LAST_LAYERS = ("residual", "normed", "left out")
VARIANT = ["measure", "variant", "unit", "first_token", "last_layer"]
FIRST_CHOICE = {
    measure: {"measure": measure, **choice, "last_layer": LAST_LAYERS[0]}
    for measure, choice in PRIMARY.items()
}


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
    spec : `models`, as for `collect_scores`, each with its `n_layers`, too.

    Returns
    -------
    One row per run, layer and variant (`lmcortex.geometry.variants`): what `measure_geometry`
    says but for single sentences, and what is known of the model; `depth` is layer / n_layers.
    """
    table = pd.concat([run.drop(columns="values") for run in runs], ignore_index=True)
    layers = {name: about["n_layers"] for name, about in spec["models"].items()}
    table["n_layers"] = table["model"].map(layers).astype(int)
    table["depth"] = table["layer"] / table["n_layers"].clip(lower=1)
    table = pd.concat([table, about_models(table, spec["models"])], axis=1)
    columns = [*RUN, *ABOUT, "n_layers", *KEY]
    rest = [name for name in table.columns if name not in columns]
    return table[[*columns, *rest]].sort_values([*RUN, *KEY], ignore_index=True)


def grids(rows: pd.DataFrame, *, first_choice: bool = False) -> Iterator[Grid]:
    """Yield each variant of the geometry of one model on one dataset.

    The embeddings (layer 0) are left out: no context has reached them.

    Parameters
    ----------
    rows : rows of the table of geometry; those without a training step do not count.
    first_choice : only the first choice of each measure.
    """
    rows = rows[rows["step"].notna() & (rows["layer"] > 0)]
    key = ["measure", "variant", "unit", "first_token"]
    for values, group in rows.groupby(key, sort=True):
        named = dict(zip(key, values, strict=True))
        if first_choice and named != {
            name: FIRST_CHOICE[str(named["measure"])][name] for name in key
        }:
            continue
        for last in LAST_LAYERS[: 1 if first_choice else None]:
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


def is_first_choice(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows with the columns `VARIANT` hold the first choice of their measure."""
    chosen = pd.Series(False, index=rows.index)
    for choice in FIRST_CHOICE.values():
        chosen |= (rows[list(choice)] == pd.Series(choice)).all(axis=1)
    return chosen
