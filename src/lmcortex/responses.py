"""Brain responses: read, filtered, trimmed and z-scored, in step with the stimulus' items."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from lmcortex.drift import remove_drift
from lmcortex.errors import InputError
from lmcortex.homologues import MIDLINE, pair_sides
from lmcortex.stimuli import Quality, fact, samples_per_run
from lmcortex.tabular import numbers, read_series, read_table, repeated, require_columns

AVERAGE = "average"  # label of the mean over subjects
TARGET_COLUMNS = ("target", "roi", "hemisphere", "x", "y", "z", "ceiling")
HEMISPHERES = ("L", "R", MIDLINE)


# --- targets and the container --------------------------------------------------------------------


def target_table(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Complete a list of targets: place in mm and published ceiling are NaN where not given."""
    table = pd.DataFrame(list(entries)).reindex(columns=list(TARGET_COLUMNS))
    return table.astype(dict.fromkeys(("x", "y", "z", "ceiling"), np.float64))


def read_targets(path: str | Path) -> pd.DataFrame:
    """Read targets.csv: `target, roi, hemisphere`, and if known `x, y, z` (mm) and `ceiling`."""
    table = read_table(path)
    require_columns(table.columns, ["target", "roi", "hemisphere"], path)
    if (twice := repeated(table["target"])) is not None:
        raise InputError(f"{path}: target `{twice}` stands twice; keep one")
    if (wrong := ~table["hemisphere"].isin(HEMISPHERES)).any():
        raise InputError(
            f"{path}: line {int(np.argmax(wrong)) + 2}, column `hemisphere`: expected one of "
            f"{', '.join(HEMISPHERES)}, found `{table['hemisphere'][wrong].iloc[0]}`"
        )
    for name in ("x", "y", "z", "ceiling"):
        table[name] = numbers(table[name], path, may_miss=True) if name in table else np.nan
    return table[list(TARGET_COLUMNS)]


def to_dataset(
    values: np.ndarray, items: pd.DataFrame, targets: pd.DataFrame, *, dataset: str, subject: str
) -> xr.Dataset:
    """Label responses with their items and targets.

    Parameters
    ----------
    values : (n_samples, n_targets), rows as in `items`, columns as in `targets`.
    items : ``item``, ``run``, ``time``.
    targets : ``target``, ``roi``, ``hemisphere``, ``x``, ``y``, ``z`` (mm), ``ceiling`` (the
        published noise ceiling, r).
    """
    coordinates = {name: ("sample", items[name].to_numpy()) for name in ("item", "run", "time")}
    coordinates |= {name: ("target", targets[name].to_numpy()) for name in TARGET_COLUMNS}
    return xr.Dataset(
        {"response": (("sample", "target"), np.asarray(values, np.float64))},
        {
            name: (dimension, column.astype(str) if column.dtype == object else column)
            for name, (dimension, column) in coordinates.items()
        },
        {"dataset": dataset, "subject": subject},
    )


# --- one subject ----------------------------------------------------------------------------------


class Files(NamedTuple):
    """The files of one subject's responses, and those that say what the targets are.

    Attributes
    ----------
    responses : one file per run; for sentences, the one table.
    targets : targets.csv, where the dataset file does not list the targets.
    mask, atlas : NIfTI images, for NIfTI responses.
    """

    responses: Sequence[str]
    targets: str | None = None
    mask: str | None = None
    atlas: str | None = None


def prepare(
    files: Files, items: pd.DataFrame, spec: Mapping[str, Any], *, subject: str
) -> tuple[xr.Dataset, Quality]:
    """Prepare one subject's responses, row by row in step with the items.

    Parameters
    ----------
    items : the dataset's items.
    spec : ``dataset``, ``kind``, ``targets`` unless `files` has them or the responses are NIfTI
        images (then ``rois``, see `volumes.find_voxels`, ``grid`` if they are to be resampled, see
        `volumes.stated_grid`, and ``smoothing``, mm, if they are to be smoothed), and what
        `prepare_sentences` or `prepare_story` needs.

    Returns
    -------
    Responses as `to_dataset` lays them out, and facts for the ``quality`` table.
    """
    images = files.responses[0].endswith((".nii", ".nii.gz"))
    if images:
        runs, targets, quality = read_images(files, spec)
    else:
        targets = read_targets(files.targets) if files.targets else target_table(spec["targets"])
        runs, quality = {}, []
    pair_sides(targets, f"dataset {spec['dataset']}")
    if spec["kind"] == "sentences":
        values, more = prepare_sentences(files.responses[0], items, targets, spec, subject=subject)
    else:
        runs = runs or read_runs(files.responses, targets, spec)
        values, more = prepare_story(runs, targets["target"].tolist(), spec)
    if len(values) != len(items):
        raise InputError(
            f"subject {subject}: {len(values)} samples for {len(items)} items; prepare the stimuli "
            "again with the same samples and trim"
        )
    dataset = to_dataset(values, items, targets, dataset=spec["dataset"], subject=subject)
    return dataset, [*quality, *more]


def prepare_sentences(
    path: str | Path,
    items: pd.DataFrame,
    targets: pd.DataFrame,
    spec: Mapping[str, Any],
    *,
    subject: str,
) -> tuple[np.ndarray, Quality]:
    """Read one subject's response to each sentence, in the order of the items.

    The responses stay as they are; with several runs they are z-scored within each run.

    Parameters
    ----------
    path : .csv or .tsv, one row per subject and item, one column per target.
    spec : ``columns``, the names of the columns `item` and `subject`; `subject` may be null, which
        says that every row belongs to this subject.

    Returns
    -------
    (n_items, n_targets) responses, and facts for the ``quality`` table.
    """
    table = read_table(path)
    columns = {"item": "item", "subject": "subject"} | dict(spec.get("columns", {}))
    item = columns["item"]
    require_columns(table.columns, [name for name in (item, columns["subject"]) if name], path)
    names = targets["target"].tolist()
    require_columns(table.columns, names, path)
    where = str(path)
    if columns["subject"]:
        where = f"{path}: subject {subject}"
        table = table[table[columns["subject"]] == subject]
        if table.empty:
            raise InputError(f"{where}: no row has this label in column `{columns['subject']}`")
    if (twice := repeated(table[item])) is not None:
        raise InputError(f"{where}: item `{twice}` has more than one response; keep one")
    _match_items(items["item"], table[item], where)

    values = np.column_stack([numbers(table[name], path) for name in names])
    order = pd.Index(table[item]).get_indexer(pd.Index(items["item"]))
    values = values[order]
    refuse_constant(values, names, where)
    if items["run"].nunique() > 1:
        for run, rows in items.groupby("run").indices.items():
            values[rows] = standardise(values[rows], values[rows], names, f"{where}: run {run}")
    return values, [fact("responses", len(values)), fact("targets", len(targets))]


def _match_items(items: pd.Series, found: pd.Series, where: str) -> None:
    for have, other, what in (
        (items, found, "have no response"),
        (found, items, "have a response but are not in the stimuli"),
    ):
        if len(missing := have[~have.isin(other)]):
            names = ", ".join(missing.iloc[:3])
            raise InputError(
                f"{where}: {len(missing)} of {len(have)} items {what} ({names}"
                f"{', ...' if len(missing) > 3 else ''}); responses and stimuli must match"
            )


def prepare_story(
    runs: Mapping[str, tuple[np.ndarray, str]], targets: list[str], spec: Mapping[str, Any]
) -> tuple[np.ndarray, Quality]:
    """Filter, trim and z-score one subject's time series, run by run.

    Parameters
    ----------
    runs : for each run its (n_samples, n_targets) series, and the file that they are from.
    targets : names of the columns.
    spec : ``runs``, ``samples``, ``tr``, ``trim``, ``detrend``, ``zscore`` (`whole`: a run is
        z-scored before it is trimmed, else after), and ``may_be_flat``, which lets a target that
        never changes in a run be 0 there, as nilearn's maskers do.

    Returns
    -------
    (kept samples of all runs, n_targets) float64, mean 0 and sd 1 within each run, whole or kept;
    and facts for the ``quality`` table.
    """
    first, last = spec.get("trim", (0, 0))
    prepared, removed, n_flat = [], 0, 0
    for run, expected in samples_per_run(spec).items():
        values, path = runs[run]
        where = f"{path}: run {run}"
        if len(values) != expected:
            raise InputError(
                f"{where}: expected {expected} samples, found {len(values)}; cut the file, or "
                "exclude the subject"
            )
        flat = np.ptp(values, axis=0) == 0
        if flat.all() or not spec.get("may_be_flat"):
            refuse_constant(values, targets, where)
        left, n_regressors = remove_drift(values, spec["tr"], spec.get("detrend") or {}, where)
        removed += n_regressors
        kept = slice(first, expected - last)
        if spec.get("zscore") != "whole":
            left, kept = left[kept], slice(None)
        done = np.zeros_like(left)
        varying = [target for target, still in zip(targets, flat, strict=True) if not still]
        done[:, ~flat] = standardise(left[:, ~flat], values[:, ~flat], varying, where)
        prepared.append(done[kept])
        n_flat += int(flat.sum())
    quality = [
        fact("samples", sum(map(len, prepared)), f"of {sum(samples_per_run(spec).values())}"),
        fact("targets", len(targets)),
        fact("drift regressors removed", removed, str(spec.get("detrend") or "mean only")),
    ]
    if spec.get("may_be_flat"):
        quality.append(fact("targets without signal", n_flat, "summed over runs; 0 there"))
    return np.concatenate(prepared), quality


Runs = dict[str, tuple[np.ndarray, str]]  # of each run: its series and its file


def read_images(files: Files, spec: Mapping[str, Any]) -> tuple[Runs, pd.DataFrame, Quality]:
    """Read one subject's NIfTI images, one per run; the targets are voxels."""
    from lmcortex.volumes import find_voxels, grid_of, read_image, read_voxels, stated_grid

    if files.mask is None:
        raise InputError(f"{files.responses[0]}: NIfTI responses need a brain mask; give `mask`")
    _one_per_run(files.responses, spec)
    stated = spec.get("grid")
    grid = stated_grid(stated) if stated else grid_of(read_image(files.responses[0], 4))
    voxels = find_voxels(grid, files.mask, spec.get("rois", {}), files.atlas)
    smoothing = spec.get("smoothing")
    series = read_voxels(files.responses, voxels, grid, resample=bool(stated), smoothing=smoothing)
    runs = dict(zip(spec["runs"], zip(series, files.responses, strict=True), strict=True))
    targets = voxels.reindex(columns=list(TARGET_COLUMNS)).astype({"ceiling": np.float64})
    n_midline = (voxels["hemisphere"] == MIDLINE).sum()
    return runs, targets, [fact("midline voxels", n_midline, "x = 0, on neither side")]


def _one_per_run(files: Sequence[str], spec: Mapping[str, Any]) -> None:
    if len(files) != len(spec["runs"]):
        raise InputError(f"{len(files)} response files for {len(spec['runs'])} runs; one per run")


def read_runs(files: Sequence[str], targets: pd.DataFrame, spec: Mapping[str, Any]) -> Runs:
    """Read one subject's tables of time x target, one file per run.

    Columns with a header are found by the target's name; without one they must be the targets, in
    order.
    """
    _one_per_run(files, spec)
    runs = {}
    for run, path in zip(spec["runs"], files, strict=True):
        values, names = read_series(path)
        if names is not None:
            require_columns(names, targets["target"], path)
            values = values[:, [names.index(name) for name in targets["target"]]]
        elif values.shape[1] != len(targets):
            raise InputError(
                f"{path}: expected {len(targets)} columns, one per target, found {values.shape[1]}"
            )
        runs[run] = values, str(path)
    return runs


def refuse_constant(values: np.ndarray, targets: list[str], where: str) -> None:
    """Refuse responses that cannot be real: all zero, or a target that never changes."""
    if not values.any():
        raise InputError(f"{where}: all values are zero; exclude this subject")
    if len(flat := np.flatnonzero(np.ptp(values, axis=0) == 0)):
        name, value = targets[flat[0]], values[0, flat[0]]
        raise InputError(
            f"{where}: target `{name}` is constant ({value:g} in all {len(values)} rows; "
            f"{len(flat)} such targets); take it out of the targets"
        )


def standardise(
    values: np.ndarray, recorded: np.ndarray, targets: list[str], where: str
) -> np.ndarray:
    """Return each column with mean 0 and standard deviation 1 (ddof 0).

    Parameters
    ----------
    values : (n_samples, n_targets), filtered and trimmed.
    recorded : (n_recorded, n_targets), the series as they were; a spread that is no more than their
        rounding error is an error.
    """
    if len(values) < 2:
        raise InputError(f"{where}: {len(values)} samples; a run needs at least 2")
    centred = values - values.mean(axis=0)
    deviation = centred.std(axis=0)
    if len(flat := np.flatnonzero(deviation <= 1e-12 * np.abs(recorded).max(axis=0))):
        raise InputError(f"{where}: target `{targets[flat[0]]}` is constant once prepared")
    return centred / deviation


# --- all subjects ---------------------------------------------------------------------------------


def average(subjects: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the mean response over subjects, as subject `average`; files are read one by one.

    With several runs the mean is z-scored within each, as the subjects are: otherwise runs in which
    they agree less would count less in training.
    """
    check_alike(subjects)
    total = sum(subject["response"].to_numpy() for subject in subjects)
    mean = np.asarray(total) / len(subjects)
    runs, names = subjects[0]["run"].to_numpy(), subjects[0]["target"].to_numpy().tolist()
    labels = list(dict.fromkeys(runs.tolist()))
    for run in labels if len(labels) > 1 else []:
        here = runs == run
        mean[here] = standardise(mean[here], mean[here], names, f"mean response: run {run}")
    averaged = subjects[0].copy(data={"response": mean})
    return averaged.assign_attrs(subject=AVERAGE, n_subjects=len(subjects))


def check_alike(subjects: Sequence[xr.Dataset]) -> None:
    """Refuse subjects whose items or targets differ."""
    first = subjects[0]
    for other in subjects[1:]:
        for name in ("item", "target"):
            if not np.array_equal(first[name], other[name]):
                raise InputError(
                    f"subject {other.attrs['subject']}: its {name}s differ from those of subject "
                    f"{first.attrs['subject']}; prepare both from the same dataset file"
                )
