"""Ridge encoders from hidden states to brain responses: what one fitting job computes."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex.encoding.banded import BandedFit, fit_banded
from lmcortex.encoding.design import (
    Features,
    Operator,
    read_features,
    sample_operators,
    scale_columns,
    stack_responses,
    target_batches,
)
from lmcortex.encoding.devices import use_device
from lmcortex.encoding.ridge import Penalties, fit_layer
from lmcortex.encoding.rotations import stimulus_of
from lmcortex.errors import InputError
from lmcortex.folds import Folds, make_folds

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = [
    "Features",
    "dropped_columns",
    "fill_fit",
    "fit_encoding",
    "fit_frame",
    "fit_variables",
    "read_features",
    "stack_responses",
    "use_device",
]

SAMPLE_COORDS = ("item", "run", "time")
TARGET_COORDS = ("target", "subject", "roi", "hemisphere", "x", "y", "z")
BY_FOLD = ("layer", "fold", "target")
AVERAGE = "average"  # label of the mean over subjects
TARGETS_PER_BATCH = 2000


def penalties(spec: Mapping[str, Any]) -> Penalties:
    """Return the grid of penalties of a fit, and how one is chosen."""
    alphas = spec["alphas"]
    return Penalties(
        grid=np.logspace(alphas["low"], alphas["high"], alphas["n"]),
        relative=alphas["scale"] == "trace",
        common=alphas["choice"] == "common",
    )


def fit_encoding(
    features: Features,
    responses: "xr.Dataset",
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    spec: Mapping[str, Any],
    *,
    nuisance: Sequence[Features] = (),
    device: str = "cpu",
    batch: int = TARGETS_PER_BATCH,
) -> "xr.Dataset":
    """Fit and test ridge encoders of every target from every layer.

    Each outer fold is predicted from the others. The penalty of each target is the one with the
    least mean squared error over the inner folds, which are the other outer folds. All targets of
    all subjects share the decompositions of a (layer, training set).

    Parameters
    ----------
    features : rows of `items` or `words`, and (n_rows, width) arrays by layer.
    responses : from `stack_responses`.
    items, words : the stimulus tables.
    spec : `folds`, `alphas`, `nuisance`, `kind`, `response`, `dtype`, `predictions`; `dataset`,
        `fit`, `model`, `checkpoint`.
    nuisance : features that are known already: the scores are what the model adds to them.
    device : `cpu` or `cuda`.
    batch : targets that are fitted at a time, which bounds memory.

    Returns
    -------
    Dataset with dims layer, fold, sample, target: `r_test`, `r_inner`, `alpha_index`, `test_fold`;
    and `prediction` (out of fold, float32), `response`, unless `predictions` is `average` and these
    responses are not. r with a constant is 0 by definition. With a nuisance, `r_test` and `r_inner`
    are gains over the nuisance alone, and `known` is what that predicts.

    Raises
    ------
    InputError : features or responses that are not finite, features that have another number of
        rows than their table, or no column in any layer that changes.
    """
    frame = fit_frame(features, responses, make_folds(spec["folds"], items), spec)
    variables = fit_variables(responses, spec)
    filled = {
        name: np.empty([frame.sizes[dim] for dim in dims], dtype)
        for name, (dims, dtype) in variables.items()
    }
    dropped = fill_fit(
        filled,
        features,
        responses,
        items,
        words,
        spec,
        nuisance=nuisance,
        device=device,
        batch=batch,
    )
    found = {name: (dims, filled[name]) for name, (dims, _) in variables.items()}
    return frame.assign(found).assign_attrs(n_dropped_columns=json.dumps(dropped))


def keeps_predictions(responses: "xr.Dataset", spec: Mapping[str, Any]) -> bool:
    """Tell whether a fit keeps predictions: for the statistics that do not rest on subjects."""
    return spec["predictions"] == "all" or set(responses["subject"].to_numpy()) == {AVERAGE}


def fit_variables(
    responses: "xr.Dataset", spec: Mapping[str, Any]
) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return the dimensions and the dtype of each variable of a fit."""
    kept = {
        "prediction": (("layer", "sample", "target"), "float32"),
        "response": (("sample", "target"), "float64"),
        **({"known": (("sample", "target"), "float32")} if spec["nuisance"] else {}),
    }
    return {
        "r_test": (BY_FOLD, "float64"),
        "r_inner": (BY_FOLD, "float64"),
        "alpha_index": (BY_FOLD, "int16"),
        **(kept if keeps_predictions(responses, spec) else {}),
    }


def fit_frame(
    features: Features, responses: "xr.Dataset", folds: Folds, spec: Mapping[str, Any]
) -> "xr.Dataset":
    """Return a fit without what is fitted: its coordinates, settings and folds."""
    import xarray as xr

    alphas = spec["alphas"]
    return xr.Dataset(
        {"test_fold": ("sample", folds.test.astype(np.int16))},
        coords={
            "layer": list(features.layers),
            "fold": np.arange(folds.n),
            **{name: responses[name] for name in SAMPLE_COORDS},
            **{name: responses[name] for name in TARGET_COORDS if name in responses.coords},
        },
        attrs={
            **{name: spec[name] for name in ("dataset", "fit", "model", "checkpoint")},
            "n_alphas": alphas["n"],
            "alpha_low": float(alphas["low"]),
            "alpha_high": float(alphas["high"]),
        },
    )


def fill_fit(
    fit: Mapping[str, Any],
    features: Features,
    responses: "xr.Dataset",
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    spec: Mapping[str, Any],
    *,
    nuisance: Sequence[Features] = (),
    device: str,
    batch: int,
) -> list[int]:
    """Fit all layers, and assign what is found to `fit` a batch of targets at a time.

    Parameters
    ----------
    fit : the arrays of `fit_variables`, in memory or in a file.
    features, responses, items, words, spec, nuisance, device, batch : see `fit_encoding`.

    Returns
    -------
    How many constant columns each layer lost.
    """
    folds, settings = make_folds(spec["folds"], items), penalties(spec)
    n_train = min(len(folds.outer(fold)[0]) for fold in range(folds.n))
    known = _known_kernels(nuisance, items, words, spec, device)
    operators = sample_operators(features.rows, items, words, spec)
    n_rows = len(items if features.rows == "items" else words)
    dropped, any_width = [], False

    def batches() -> Iterator[tuple[slice, np.ndarray]]:
        return target_batches(responses, batch)

    for row, layer in enumerate(_progress(features.layers)):
        states = features.layers[layer]
        _check_states(states, n_rows, f"{spec['model']} {spec['checkpoint']} layer {layer}")
        blocks = _Blocks(states, operators, items["run"].to_numpy())
        # The bands of a mixture are kernels, however few columns they have.
        stimulus = stimulus_of(blocks, 0 if known else n_train, device)
        dropped.append(blocks.n_dropped)
        any_width = any_width or stimulus.width > 0
        if known:
            found = fit_banded(stimulus.kernel, known, batches, folds, settings.grid, device=device)
        else:
            found = fit_layer(
                stimulus, batches, folds, settings, device=device, dtype=spec["dtype"]
            )
        for targets, values in found:
            for name in ("r_test", "r_inner", "alpha_index"):
                fit[name][row, :, targets] = getattr(values, name)
            if "prediction" in fit:
                fit["prediction"][row, :, targets] = values.prediction
            if "known" in fit and isinstance(values, BandedFit):  # of all layers the same
                fit["known"][:, targets] = values.known
    if not any_width:
        raise InputError(
            f"{spec['model']} {spec['checkpoint']} on {spec['dataset']}: every feature is constant "
            "over the samples; use another pooling or leave the model out"
        )
    if "response" in fit:
        for targets, values in batches():
            fit["response"][:, targets] = values
    return dropped


def _known_kernels(
    nuisance: Sequence[Features],
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    spec: Mapping[str, Any],
    device: str,
) -> list[Any]:
    """Return a kernel of each nuisance, which all layers share."""
    kernels, runs = [], items["run"].to_numpy()
    for features in nuisance:
        operators = sample_operators(features.rows, items, words, spec)
        [states] = features.layers.values()
        known = stimulus_of(_Blocks(states, operators, runs), 0, device)
        if not known.width:
            raise InputError(f"{spec['dataset']}: a nuisance of fit {spec['fit']} is constant")
        kernels.append(known.kernel)
    return kernels


class _Blocks:
    """The z-scored columns of one layer on the samples: a block for each operator."""

    def __init__(self, states: np.ndarray, operators: Sequence[Operator], runs: np.ndarray) -> None:
        self.n_dropped = 0
        self._states, self._operators, self._runs = states, operators, runs

    def __iter__(self) -> Iterator[np.ndarray]:
        for to_samples in self._operators:
            scaled, n_dropped = scale_columns(to_samples(self._states), self._runs)
            self.n_dropped += n_dropped
            yield scaled


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


def _progress(layers: Any) -> Any:
    from tqdm import tqdm

    return tqdm(layers, desc="layers", unit="layer", mininterval=5, file=sys.stderr)


def dropped_columns(cell: str, layers: Any, dropped: list[int]) -> list[dict[str, Any]]:
    """Say for the ``quality`` table how many constant columns each layer of a fit lost."""
    return [
        {"measure": "constant columns dropped", "value": n, "detail": f"{cell}, layer {layer}"}
        for layer, n in zip(layers, dropped, strict=True)
        if n > 0
    ]
