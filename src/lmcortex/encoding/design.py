"""What goes into an encoder: a model's states and the responses, on the same samples."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmcortex import storage
from lmcortex.errors import InputError
from lmcortex.hrf import hrf_operator, words_to_grid

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# A column that varies by less than float32 can tell from its size holds rounding errors only.
FLOAT32_PRECISION = 1e-6

Layers = Iterable[tuple[int, np.ndarray]]


class Features(NamedTuple):
    """States of one model: which table their rows follow, and one array per layer."""

    rows: str
    layers: Layers


def read_features(path: str | Path, pooling: str, layers: str | None = None) -> Features:
    """Open a features file; its layers are read one at a time.

    Parameters
    ----------
    path : safetensors with keys ``{pooling}/{layer}``; baselines have the pooling `any`.
    pooling : `last`, `mean` or `word`.
    layers : `07`, or `00-12` for a block; all when None.

    Raises
    ------
    InputError : the file has no such pooling or layer.
    """
    with storage.open_arrays(path) as arrays:
        keys, rows = list(arrays.keys()), (arrays.metadata() or {}).get("rows")
    if rows not in ("items", "words"):
        raise InputError(f"{path}: metadata `rows` is `{rows}`, expected items or words")
    stored = {key.partition("/")[0] for key in keys}
    used = "any" if stored == {"any"} else pooling
    found = {int(key.partition("/")[2]): key for key in keys if key.startswith(f"{used}/")}
    first, _, last = (layers or "").partition("-")
    wanted = range(int(first), int(last or first) + 1) if layers else sorted(found)
    if not found or not set(wanted) <= set(found):
        raise InputError(
            f"{path}: pooling {pooling}, layers {layers or 'all'} wanted; the file holds "
            f"{', '.join(sorted(keys))}; extract the features again"
        )
    return Features(rows, _read_layers(path, {layer: found[layer] for layer in wanted}))


def _read_layers(path: str | Path, keys: Mapping[int, str]) -> Iterator[tuple[int, np.ndarray]]:
    for layer, key in keys.items():
        with storage.open_arrays(path) as arrays:
            yield layer, arrays.get_tensor(key)


def stack_responses(responses: Sequence["xr.Dataset"], items: "pd.DataFrame") -> "xr.Dataset":
    """Put the targets of several subjects side by side, and check them against the items.

    Raises
    ------
    InputError : another number or order of samples than the items, a value that is not finite, or
        a target that never changes.
    """
    import xarray as xr

    parts: list[xr.Dataset] = []
    for part in responses:
        subject = part.attrs["subject"]
        found = part["item"].to_numpy().astype(str)
        if len(found) != len(items):
            raise InputError(
                f"sub-{subject}: {len(found)} samples, expected the {len(items)} rows of "
                "items.parquet; prepare the responses again"
            )
        if (wrong := np.flatnonzero(found != items["item"].to_numpy().astype(str))).size:
            raise InputError(
                f"sub-{subject}: sample {wrong[0]} is item `{found[wrong[0]]}`, items.parquet has "
                f"`{items['item'].iloc[wrong[0]]}` there; prepare the responses again"
            )
        _check_targets(part["response"].to_numpy(), part["target"].to_numpy(), subject)
        n_targets = part.sizes["target"]
        parts.append(part.assign_coords(subject=("target", np.full(n_targets, subject))))
    return xr.concat(parts, "target", join="override", combine_attrs="drop_conflicts")


def _check_targets(values: np.ndarray, names: np.ndarray, subject: str) -> None:
    if (bad := np.argwhere(~np.isfinite(values))).size:
        sample, target = bad[0]
        raise InputError(
            f"sub-{subject}: target {names[target]}, sample {sample} is {values[sample, target]}, "
            "expected a number; prepare the responses again"
        )
    if (constant := np.flatnonzero(np.ptp(values, axis=0) == 0)).size:
        raise InputError(
            f"sub-{subject}: target {names[constant[0]]} never changes; leave the target or the "
            "subject out"
        )


def sample_operator(
    rows: str,
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    spec: Mapping[str, Any],
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that takes feature rows to samples.

    Rows of items are samples already. Rows of words pass through the haemodynamic response, one
    linear operator per run that is built once and applied to every unit of every layer.
    """
    if rows == "items":
        return lambda states: states
    if spec["kind"] != "story":
        raise InputError(f"features of words, dataset of kind {spec['kind']}: words need a story")
    runs = [_run_operator(run, items, words, spec["response"]) for run in items["run"].unique()]

    def to_samples(states: np.ndarray) -> np.ndarray:
        return np.concatenate([operator(states[here]) for here, operator in runs])

    return to_samples


def _run_operator(
    run: str, items: "pd.DataFrame", words: "pd.DataFrame", response: Any
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return which words belong to a run, and the function that takes them to its samples."""
    frame_times = items.loc[items["run"] == run, "time"].to_numpy(float)
    here = (words["run"] == run).to_numpy()
    onsets, durations = (words.loc[here, name].to_numpy(float) for name in ("onset", "duration"))
    if not here.any():
        raise InputError(f"words.parquet: run {run} has no words; prepare the stimuli again")
    if response == "glover":
        matrix = hrf_operator(onsets, durations, frame_times)
        return here, lambda states: matrix @ states.astype(np.float64)
    middles = onsets + durations / 2

    def delayed(states: np.ndarray) -> np.ndarray:
        copies = [
            words_to_grid(states, middles + delay, frame_times) for delay in response["delays"]
        ]
        return np.concatenate(copies, axis=1)

    return here, delayed


def scale_columns(states: np.ndarray, runs: np.ndarray) -> tuple[np.ndarray, int]:
    """Z-score columns within each run, and drop those that are constant in a run.

    Parameters
    ----------
    states : (n_samples, width).
    runs : (n_samples,).

    Returns
    -------
    (n_samples, n_kept) float64, and the number of columns dropped.
    """
    scaled = np.empty(states.shape, dtype=np.float64)
    varies = np.ones(states.shape[1], dtype=bool)
    for run in np.unique(runs):
        here = runs == run
        values = states[here].astype(np.float64)
        deviation = values.std(axis=0)
        varies &= deviation > FLOAT32_PRECISION * np.abs(values).max(axis=0)
        scaled[here] = (values - values.mean(axis=0)) / np.where(varies, deviation, 1.0)
    return scaled[:, varies], int((~varies).sum())
