"""What goes into an encoder: a model's states and the responses, on the same samples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmcortex import storage
from lmcortex.errors import InputError
from lmcortex.hrf import UNDERSHOOT, hrf_operator, words_to_grid

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# A column that varies by less than float32 can tell from its size holds rounding errors only.
FLOAT32_PRECISION = 1e-6

Operator = Callable[[np.ndarray], np.ndarray]


class Features(NamedTuple):
    """States of one model: which table their rows follow, and one array for each layer."""

    rows: str
    layers: Mapping[int, np.ndarray]


class LayersOnDisk(Mapping[int, np.ndarray]):
    """The layers of a features file, each read when it is asked for."""

    def __init__(self, path: str | Path, keys: Mapping[int, str]) -> None:
        self._path, self._keys = path, dict(keys)

    def __getitem__(self, layer: int) -> np.ndarray:
        with storage.open_arrays(self._path) as arrays:
            return arrays.get_tensor(self._keys[layer])

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


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
    return Features(rows, LayersOnDisk(path, {layer: found[layer] for layer in wanted}))


def stack_responses(responses: Sequence["xr.Dataset"], items: "pd.DataFrame") -> "xr.Dataset":
    """Put the targets of several subjects side by side, and check them against the items.

    Raises
    ------
    InputError : another number or order of samples than the items.
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
        n_targets = part.sizes["target"]
        parts.append(part.assign_coords(subject=("target", np.full(n_targets, subject))))
    if len(parts) == 1:  # as it is, so that a file that was opened and not read stays so
        return parts[0]
    return xr.concat(parts, "target", join="override", combine_attrs="drop_conflicts")


def target_batches(responses: "xr.Dataset", size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Read responses a batch of targets at a time.

    Parameters
    ----------
    responses : from `stack_responses`.
    size : targets in a batch.

    Yields
    ------
    The slice of the targets, and their (n_samples, n_targets) responses in float64.

    Raises
    ------
    InputError : a value that is not finite, or a target that never changes.
    """
    names, subjects = (responses[name].to_numpy() for name in ("target", "subject"))
    for start in range(0, len(names), size):
        batch = slice(start, min(start + size, len(names)))
        values = responses["response"][:, batch].to_numpy().astype(np.float64)
        _check_targets(values, names[batch], subjects[batch])
        yield batch, values


def _check_targets(values: np.ndarray, names: np.ndarray, subjects: np.ndarray) -> None:
    if (bad := np.argwhere(~np.isfinite(values))).size:
        sample, target = bad[0]
        raise InputError(
            f"sub-{subjects[target]}: target {names[target]}, sample {sample} is "
            f"{values[sample, target]}, expected a number; prepare the responses again"
        )
    if (constant := np.flatnonzero(np.ptp(values, axis=0) == 0)).size:
        raise InputError(
            f"sub-{subjects[constant[0]]}: target {names[constant[0]]} never changes; leave the "
            "target or the subject out"
        )


def sample_operators(
    rows: str, items: "pd.DataFrame", words: "pd.DataFrame", spec: Mapping[str, Any]
) -> list[Operator]:
    """Return the functions that take feature rows to samples, each to a block of columns.

    Rows of items are samples already. Rows of words pass through the haemodynamic response, one
    linear operator per run that is built once and applied to every unit of every layer; or through
    one operator for each delay.

    Parameters
    ----------
    rows : `items`, or `words`.
    items, words : the dataset's tables.
    spec : ``kind`` and, of a story, ``response``, and ``trim``, how many samples were dropped at
        either end of a run: the haemodynamic response is reckoned on the run as it was recorded.
    """
    if rows == "items":
        return [lambda states: states]
    if spec["kind"] != "story":
        raise InputError(f"features of words, dataset of kind {spec['kind']}: words need a story")
    runs = [_run_operators(run, items, words, spec) for run in items["run"].unique()]
    here = [words_here for words_here, _ in runs]
    return [
        lambda states, block=block: np.concatenate(
            [operator(states[rows]) for rows, operator in zip(here, block, strict=True)]
        )
        for block in zip(*(operators for _, operators in runs), strict=True)
    ]


def _run_operators(
    run: str, items: "pd.DataFrame", words: "pd.DataFrame", spec: Mapping[str, Any]
) -> tuple[np.ndarray, list[Operator]]:
    """Return which words belong to a run, and the functions that take them to its samples."""
    frame_times = items.loc[items["run"] == run, "time"].to_numpy(float)
    here = (words["run"] == run).to_numpy()
    onsets, durations = (words.loc[here, name].to_numpy(float) for name in ("onset", "duration"))
    if not here.any():
        raise InputError(f"words.parquet: run {run} has no words; prepare the stimuli again")
    response = spec["response"]
    if response == "glover" or "undershoot" in response:
        undershoot = UNDERSHOOT if response == "glover" else response["undershoot"]
        recorded, kept = _recorded_run(frame_times, spec.get("trim", (0, 0)))
        matrix = hrf_operator(onsets, durations, recorded, undershoot=undershoot)[kept]
        return here, [lambda states: matrix @ states.astype(np.float64)]
    middles = onsets + durations / 2
    return here, [
        lambda states, delay=delay: words_to_grid(states, middles + delay, frame_times)
        for delay in response["delays"]
    ]


def _recorded_run(frame_times: np.ndarray, trim: Sequence[int]) -> tuple[np.ndarray, slice]:
    """Return the times of all samples of a run, and which of them are left once it is trimmed."""
    first, last = trim
    places = np.arange(-first, len(frame_times) + last)
    recorded = frame_times[0] + (frame_times[1] - frame_times[0]) * places
    return recorded, slice(first, first + len(frame_times))


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
