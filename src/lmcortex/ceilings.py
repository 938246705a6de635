"""Noise ceilings: how well any model could predict the responses, given their reliability."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from lmcortex.errors import InputError
from lmcortex.responses import AVERAGE, check_alike
from lmcortex.stimuli import Quality, fact
from lmcortex.volumes import values_at

PLACE = ["target", "roi", "hemisphere"]
COLUMNS = ["dataset", "subject", *PLACE, "ceiling", "source", "n_subjects", "reliable"]
RELIABLE_PERCENTILE = 75
# Bonnasse-Gahot and Pallier 2024: how often subjects are halved, the seed, and the ridge penalties.
HALVINGS, HALVING_SEED = 10, 1234
ALPHAS = np.logspace(2, 7, 16)


def estimate(
    subjects: Sequence[xr.Dataset],
    published: Mapping[str, float] | None = None,
    *,
    half_groups: bool = False,
) -> tuple[pd.DataFrame, Quality]:
    """Estimate the ceiling of every target, for each subject and for the average.

    A single subject's ceiling is the leave-one-out inter-subject correlation. The average's is the
    published value where the dataset gives one, else the square root of the Spearman-Brown
    reliability of a mean over n subjects, from the mean pairwise correlation; or how well one half
    of the subjects predicts the other (`half_group_isc`).

    Parameters
    ----------
    subjects : prepared responses of the same items and targets. Their average, if it is among
        them, is set aside; it may stand alone.
    published : ceilings (r) by target; those not given are the responses' own, if they have any.
    half_groups : how the ceiling of the average is estimated.

    Returns
    -------
    table : one row per subject and target; columns `COLUMNS`. ``ceiling`` is on the scale of r.
        ``source`` is `published`, `leave-one-out ISC`, `Spearman-Brown`, `half-groups`, or
        `none` (NaN). ``reliable`` marks the quarter of the subject's targets with the highest
        ceilings.
    quality : ``ISC`` of each ROI, the mean over subjects and targets.
    """
    apart = [subject for subject in subjects if subject.attrs["subject"] != AVERAGE]
    subjects = apart or list(subjects)
    first, n = subjects[0], len(subjects)
    labels = [subject.attrs["subject"] for subject in subjects]
    places = pd.DataFrame({name: first[name].to_numpy() for name in PLACE})
    own = first["ceiling"].to_numpy() if "ceiling" in first.coords else np.full(len(places), np.nan)
    known = published or {}
    given = np.array([known.get(t, r) for t, r in zip(places["target"], own, strict=True)], float)

    if n == 1:
        ceilings = {labels[0]: (np.full(len(places), np.nan), "none")}
        quality = []
    else:
        check_alike(subjects)
        series = [subject["response"] for subject in subjects]
        alone = leave_one_out(series)
        ceilings = {
            label: (isc, "leave-one-out ISC") for label, isc in zip(labels, alone, strict=True)
        }
        if half_groups:
            halves = half_group_isc(series, first["run"].to_numpy()).mean(axis=0)
            ceilings[AVERAGE] = halves, "half-groups"
        else:
            ceilings[AVERAGE] = spearman_brown(pairwise(series), n), "Spearman-Brown"
        quality = _isc_facts(places, alone)

    tables = []
    for label, (ceiling, source) in ceilings.items():
        # A published ceiling is that of the response that speaks for the dataset.
        here = np.isfinite(given) & (label == AVERAGE or n == 1)
        table = places.assign(
            dataset=first.attrs["dataset"],
            subject=label,
            ceiling=np.where(here, given, ceiling),
            source=np.where(here, "published", source),
            n_subjects=n,
        )
        tables.append(table.assign(reliable=reliable(table["ceiling"].to_numpy()))[COLUMNS])
    return pd.concat(tables, ignore_index=True), quality


def read_published(image: str, responses: xr.Dataset) -> dict[str, float]:
    """Read the published ceiling of each voxel.

    Parameters
    ----------
    image : 3-D NIfTI of r, on the grid of the voxels; NaN where there is no ceiling.
    responses : prepared, of voxels.

    Returns
    -------
    Ceilings (r) by target.

    Raises
    ------
    InputError : a voxel without a ceiling, or one that is no correlation.
    """
    targets = responses["target"].to_numpy().astype(str)
    places = np.stack([responses[axis].to_numpy() for axis in "xyz"], axis=1)
    values = values_at(image, places)
    if (wrong := ~(np.abs(values) <= 1)).any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{image}: {wrong.sum()} of {len(values)} voxels have no ceiling from -1 to 1, as that "
            f"at {places[first]} mm, found {values[first]:g}; is it of this dataset's mask?"
        )
    return dict(zip(targets, values.tolist(), strict=True))


def reliable(ceiling: np.ndarray) -> np.ndarray:
    """Mark the targets whose ceiling is above the 75th percentile of all that have one."""
    if not np.isfinite(ceiling).any():
        return np.zeros(len(ceiling), bool)
    return ceiling > np.nanpercentile(ceiling, RELIABLE_PERCENTILE)


def leave_one_out(series: Sequence[xr.DataArray | np.ndarray]) -> np.ndarray:
    """Correlate each subject with the mean of all others.

    Parameters
    ----------
    series : (n_samples, n_targets) of each subject; of opened files, one at a time is in memory.

    Returns
    -------
    (n_subjects, n_targets) r.
    """
    total = sum(np.asarray(one) for one in series)

    def with_others(one: np.ndarray) -> np.ndarray:
        return (_unit(one) * _unit((total - one) / (len(series) - 1))).sum(axis=0)

    return np.stack([with_others(np.asarray(one)) for one in series])


def pairwise(series: Sequence[xr.DataArray | np.ndarray]) -> np.ndarray:
    """Return the mean correlation over pairs of subjects.

    Parameters
    ----------
    series : (n_samples, n_targets) of each subject; of opened files, one at a time is in memory.

    Returns
    -------
    (n_targets,) r.
    """
    n = len(series)
    # |sum of unit vectors|^2 = n + the sum over ordered pairs
    total = np.asarray(sum(_unit(np.asarray(one)) for one in series))
    return ((total**2).sum(axis=0) - n) / (n * (n - 1))


def half_group_isc(
    series: Sequence[xr.DataArray | np.ndarray],
    runs: np.ndarray,
    n_halvings: int = HALVINGS,
    seed: int = HALVING_SEED,
) -> np.ndarray:
    """Predict the mean response of one half of the subjects from all targets of the other half.

    The inter-subject correlation of Bonnasse-Gahot and Pallier (2024): subjects are halved at
    random, and a ridge from all targets of one half's mean to each target of the other's is trained
    and tested as their encoders are (`ridge_isc`). Halvings are drawn as they drew them.

    Parameters
    ----------
    series : (n_samples, n_targets) of each subject; of opened files, one at a time is in memory.
    runs : (n_samples,), of each sample.

    Returns
    -------
    (n_halvings, n_targets) r; their mean is the ISC.
    """
    n, draws, halves = len(series), np.random.RandomState(seed), []
    for _ in range(n_halvings):
        order = np.arange(n)
        draws.shuffle(order)
        halves.append(set(order[: n // 2].tolist()))
    total, firsts = np.zeros(()), [np.zeros(())] * n_halvings
    for number, one in enumerate(map(np.asarray, series)):
        total = total + one
        for halving, half in enumerate(halves):
            if number in half:
                firsts[halving] = firsts[halving] + one
    return np.array(
        [ridge_isc(first / (n // 2), (total - first) / (n - n // 2), runs) for first in firsts]
    )


def ridge_isc(source: np.ndarray, target: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Predict each target series from all source series, one run left out at a time.

    One penalty for all targets: the one with the best mean r on the first training run, trained on
    the others; then a ridge without intercept on all training runs.

    Parameters
    ----------
    source, target : (n_samples, n_targets), scaled run by run; neither is centred here.
    runs : (n_samples,).

    Returns
    -------
    (n_targets,) r, mean over runs.
    """
    names = list(dict.fromkeys(runs.tolist()))
    if len(names) < 3:
        raise InputError(f"a ceiling from half-groups needs 3 runs or more, found {len(names)}")
    kernel = source @ source.T
    found = []
    for test in names:
        training = runs != test
        validation = runs == next(name for name in names if name != test)
        scores = [
            _correlations(target[validation], predicted).mean()
            for predicted in _ridge(kernel, target, training & ~validation, validation, ALPHAS)
        ]
        best = ALPHAS[[int(np.argmax(scores))]]
        (predicted,) = _ridge(kernel, target, training, runs == test, best)
        found.append(_correlations(target[runs == test], predicted))
    return np.mean(found, axis=0)


def _ridge(
    kernel: np.ndarray, target: np.ndarray, train: np.ndarray, test: np.ndarray, alphas: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the predictions of a test set, for one penalty after the other."""
    values, vectors = np.linalg.eigh(kernel[np.ix_(train, train)])
    rotated = vectors.T @ target[train]
    reached = kernel[np.ix_(test, train)] @ vectors
    for alpha in alphas:
        yield (reached / (values + alpha)) @ rotated


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (_unit(one) * _unit(other)).sum(axis=0)


def spearman_brown(r: np.ndarray, n: int) -> np.ndarray:
    """Return the ceiling of a mean over `n` subjects who correlate by `r`.

    The square root of the reliability n r / (1 + (n - 1) r); 0 where `r` is not positive.
    """
    r = np.maximum(r, 0)
    return np.sqrt(n * r / (1 + (n - 1) * r))


def _unit(series: np.ndarray) -> np.ndarray:
    """Centre the samples (first axis) and scale them to length 1."""
    centred = series - series.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)


def _isc_facts(places: pd.DataFrame, alone: np.ndarray) -> Quality:
    table = places.assign(isc=alone.mean(axis=0))
    means = table.groupby(["roi", "hemisphere"], sort=False, as_index=False)["isc"].mean()
    detail = f"leave-one-out, mean of {len(alone)} subjects"
    return [
        fact("ISC", row.isc, detail, roi=row.roi, hemisphere=row.hemisphere)
        for row in means.itertuples()
    ]
