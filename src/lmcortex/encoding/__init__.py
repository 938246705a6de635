"""Ridge encoders from hidden states to brain responses: what one fitting job computes."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex.encoding.design import (
    Features,
    read_features,
    sample_operator,
    scale_columns,
    stack_responses,
)
from lmcortex.encoding.ridge import LayerFit, fit_layer, use_device
from lmcortex.errors import InputError
from lmcortex.folds import Folds, make_folds

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = [
    "Features",
    "dropped_columns",
    "fit_encoding",
    "read_features",
    "stack_responses",
    "use_device",
]

SAMPLE_COORDS = ("item", "run", "time")
TARGET_COORDS = ("target", "subject", "roi", "hemisphere", "x", "y", "z")


def penalties(spec: Mapping[str, Any]) -> np.ndarray:
    """Return the grid of penalties, in multiples of trace(K) / n_samples."""
    return np.logspace(spec["low"], spec["high"], spec["n"])


def fit_encoding(
    features: Features,
    responses: "xr.Dataset",
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    spec: Mapping[str, Any],
) -> "xr.Dataset":
    """Fit and test ridge encoders of every target from every layer.

    Each outer fold is predicted from the others. The penalty of each target is the one with the
    least mean squared error over the inner folds, which are the other outer folds. All targets of
    all subjects share the decompositions of a (layer, fold).

    Parameters
    ----------
    features : rows of `items` or `words`, and (layer, (n_rows, width) array) pairs.
    responses : from `stack_responses`.
    items, words : the stimulus tables.
    spec : `folds`, `alphas`, `kind`, `response`; `dataset`, `fit`, `model`, `checkpoint`.

    Returns
    -------
    Dataset with dims layer, fold, sample, target: `r_test`, `r_inner`, `alpha_index`, `prediction`
    (out of fold, float32), `response`, `test_fold`. r with a constant is 0 by
    definition.

    Raises
    ------
    InputError : features that are not finite, or have another number of rows than their table, or
        no column in any layer that changes.
    """
    folds = make_folds(spec["folds"], items)
    to_samples = sample_operator(features.rows, items, words, spec)
    n_rows = len(items if features.rows == "items" else words)
    measured = responses["response"].to_numpy().astype(np.float64)
    grid, runs = penalties(spec["alphas"]), items["run"].to_numpy()
    fits, numbers, dropped, widths = [], [], [], []
    for layer, states in _progress(features.layers):
        _check_states(states, n_rows, f"{spec['model']} {spec['checkpoint']} layer {layer}")
        scaled, n_dropped = scale_columns(to_samples(states), runs)
        fits.append(fit_layer(scaled, measured, folds, grid))
        numbers.append(layer)
        dropped.append(n_dropped)
        widths.append(scaled.shape[1])
    if not any(widths):
        raise InputError(
            f"{spec['model']} {spec['checkpoint']} on {spec['dataset']}: every feature is constant "
            "over the samples; use another pooling or leave the model out"
        )
    return _as_dataset(fits, numbers, dropped, folds, responses, spec)


def _check_states(states: np.ndarray, n_rows: int, where: str) -> None:
    if len(states) != n_rows:
        raise InputError(
            f"{where}: {len(states)} rows of features, expected {n_rows}; extract them again"
        )
    if not np.isfinite(states).all():
        row, unit = np.argwhere(~np.isfinite(states))[0]
        raise InputError(
            f"{where}: row {row}, unit {unit} is {states[row, unit]}, expected a number; "
            "extract the features in a wider dtype"
        )


def _as_dataset(
    fits: Sequence[LayerFit],
    layers: Sequence[int],
    dropped: Sequence[int],
    folds: Folds,
    responses: "xr.Dataset",
    spec: Mapping[str, Any],
) -> "xr.Dataset":
    import xarray as xr

    by_fold = ("layer", "fold", "target")
    stacked = LayerFit(*(np.stack(values) for values in zip(*fits, strict=True)))
    coords = {
        **{name: responses[name] for name in SAMPLE_COORDS},
        **{name: responses[name] for name in TARGET_COORDS if name in responses.coords},
    }
    return xr.Dataset(
        {
            "r_test": (by_fold, stacked.r_test),
            "r_inner": (by_fold, stacked.r_inner),
            "alpha_index": (by_fold, stacked.alpha_index.astype(np.int16)),
            "prediction": (
                ("layer", "sample", "target"),
                stacked.prediction.astype(np.float32),
            ),
            "response": (("sample", "target"), responses["response"].to_numpy()),
            "test_fold": ("sample", folds.test.astype(np.int16)),
        },
        coords={"layer": list(layers), "fold": np.arange(folds.n), **coords},
        attrs={
            **{name: spec[name] for name in ("dataset", "fit", "model", "checkpoint")},
            "n_alphas": spec["alphas"]["n"],
            "alpha_low": float(spec["alphas"]["low"]),
            "alpha_high": float(spec["alphas"]["high"]),
            "n_dropped_columns": json.dumps(list(dropped)),
        },
    )


def _progress(layers: Any) -> Any:
    from tqdm import tqdm

    return tqdm(layers, desc="layers", unit="layer", mininterval=5, file=sys.stderr)


def dropped_columns(result: "xr.Dataset") -> list[dict[str, Any]]:
    """Say for the ``quality`` table how many constant columns each layer of a fit lost."""
    counts = json.loads(result.attrs["n_dropped_columns"])
    cell = f"{result.attrs['model']} {result.attrs['checkpoint']}, fit {result.attrs['fit']}"
    return [
        {"measure": "constant columns dropped", "value": n, "detail": f"{cell}, layer {layer}"}
        for layer, n in zip(result["layer"].to_numpy().tolist(), counts, strict=True)
        if n > 0
    ]
