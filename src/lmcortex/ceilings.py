"""Noise ceilings: how well any model could predict the responses, given their reliability."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from lmcortex.responses import AVERAGE, check_alike
from lmcortex.stimuli import Quality, fact

PLACE = ["target", "roi", "hemisphere"]
COLUMNS = ["dataset", "subject", *PLACE, "ceiling", "source", "n_subjects"]


def estimate(
    subjects: Sequence[xr.Dataset], published: Mapping[str, float] | None = None
) -> tuple[pd.DataFrame, Quality]:
    """Estimate the ceiling of every target, for each subject and for the average.

    A single subject's ceiling is the leave-one-out inter-subject correlation. The average's is the
    published value where the dataset gives one, else the square root of the Spearman-Brown
    reliability of a mean over n subjects, from the mean pairwise correlation.

    Parameters
    ----------
    subjects : prepared responses of the same items and targets. Their average, if it is among
        them, is set aside; it may stand alone.
    published : ceilings (r) by target; those not given are the responses' own, if they have any.

    Returns
    -------
    table : one row per subject and target; columns `COLUMNS`. ``ceiling`` is on the scale of r.
        ``source`` is `published`, `leave-one-out ISC`, `Spearman-Brown`, or `none` (NaN).
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
        tables.append(table[COLUMNS])
    return pd.concat(tables, ignore_index=True), quality


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
