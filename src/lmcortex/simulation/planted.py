"""Latent signals, and pseudo-models that carry a stated share of them.

A latent is a signal that has nothing to do with the text; each region of the brain follows its
own. The features of ``planted-{n_params}`` at layer l and training step t hold, for every latent of
region g, ``share * latent + sqrt(1 - share**2) * noise``, rotated, where ::

    share = (intercept + slope * log10(n_params)) * layers[l] * learnt(t, g)
    learnt(t, g) = 1 / (1 + exp(-log10(t / onset50[g]) / width)),  0 at step 0

The share is the correlation of the best linear readout of the features with the latent. Latents
and noise have unit variance and no correlation *in the stimulus at hand, run by run, as the encoder
sees them* (after the haemodynamic response), so that shares are exact and not only expected.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex import storage
from lmcortex.errors import InputError
from lmcortex.hrf import hrf_operator
from lmcortex.seeds import generator

Settings = Mapping[str, Any]


class Run(NamedTuple):
    """How the rows of features (items or words) of one run become its samples.

    Attributes
    ----------
    samples : indices of the run's items.
    rows : indices of its feature rows.
    operator : (n_samples, n_rows).
    """

    samples: np.ndarray
    rows: np.ndarray
    operator: np.ndarray


def runs_of(kind: str, items: pd.DataFrame, words: pd.DataFrame) -> list[Run]:
    """Return the runs of a dataset; sentences are their own samples, words pass through the HRF."""
    runs = []
    for run in items["run"].unique():
        samples = np.flatnonzero(items["run"] == run)
        if kind == "sentences":
            runs.append(Run(samples, samples, np.eye(len(samples))))
        else:
            spoken = words[words["run"] == run]
            times = items["time"].to_numpy()[samples]
            onsets, durations = spoken["onset"].to_numpy(), spoken["duration"].to_numpy()
            rows = np.flatnonzero(words["run"] == run)
            runs.append(Run(samples, rows, hrf_operator(onsets, durations, times)))
    return runs


def seen(runs: Sequence[Run], features: np.ndarray) -> np.ndarray:
    """Return features (rows x columns) as an encoder sees them: on samples, centred by run."""
    result = np.empty((sum(len(run.samples) for run in runs), features.shape[1]))
    for run in runs:
        values = run.operator @ features[run.rows]
        result[run.samples] = values - values.mean(axis=0)
    return result


def draw(
    runs: Sequence[Run], n: int, rng: np.random.Generator, beside: np.ndarray | None = None
) -> np.ndarray:
    """Draw Gaussian signals that are orthonormal in every run, as the encoder sees them.

    Parameters
    ----------
    n : number of signals.
    beside : (n_rows, k) orthonormal signals that the new ones shall not correlate with.

    Returns
    -------
    (n_rows, n); in each run ``seen`` gives columns of mean 0, variance 1 and correlation 0.
    """
    n_rows = sum(len(run.rows) for run in runs)
    given = np.empty((n_rows, 0)) if beside is None else beside
    signals = np.hstack([given, rng.standard_normal((n_rows, n))])
    for run in runs:
        here = run.operator @ signals[run.rows]
        # Gram-Schmidt by Cholesky: a column is made orthogonal to those before, so `beside` stays.
        factor = np.linalg.cholesky(np.cov(here, rowvar=False, bias=True))
        signals[run.rows] = np.linalg.solve(factor, signals[run.rows].T).T
    return signals[:, given.shape[1] :]


def draw_latents(
    runs: Sequence[Run], regions: Sequence[str], n: int, seed: int
) -> tuple[np.ndarray, list[str]]:
    """Draw `n` latents for each region.

    Returns
    -------
    (n_rows, n * regions), and the region of each column.
    """
    columns = [region for region in sorted(regions) for _ in range(n)]
    return draw(runs, len(columns), generator("latents", seed)), columns


def read_truth(path: str | Path) -> tuple[np.ndarray, list[str], str]:
    """Read latents (n_rows, n_latents), the region of each, and the table that rows are of."""
    with storage.open_arrays(path) as arrays:
        metadata = arrays.metadata()
        return arrays.get_tensor("latents"), json.loads(metadata["regions"]), metadata["rows"]


def by_region(latents: np.ndarray, regions: Sequence[str]) -> dict[str, np.ndarray]:
    return {region: latents[:, np.array(regions) == region] for region in sorted(set(regions))}


def share(planted: Settings, n_params: int, step: int | None, region: str) -> np.ndarray:
    """Return the share of a region's latents in each layer, 0 to 1.

    Parameters
    ----------
    planted : ``share``, ``layers`` and ``learning`` of the dataset file.
    step : training step; None when training is over.
    """
    best = planted["share"]["intercept"] + planted["share"]["slope"] * np.log10(n_params)
    shares = best * np.asarray(planted["layers"]) * learnt(planted["learning"], step, region)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise InputError(
            f"planted.share: {n_params} parameters give a share of {best:.2f}, expected 0 to 1; "
            "change intercept or slope"
        )
    return shares


def learnt(learning: Settings, step: int | None, region: str) -> float:
    """Return how much of its final share a model has learnt at a step, 0 to 1."""
    if step is None:
        return 1.0
    if step == 0:
        return 0.0
    late = np.log10(step / learning["onset50"][region])
    return float(1 / (1 + np.exp(-late / learning["width"])))


def planted_features(
    latents: np.ndarray,
    regions: Sequence[str],
    runs: Sequence[Run],
    spec: Settings,
) -> list[np.ndarray]:
    """Compute the features of a pseudo-model that carries latents.

    Parameters
    ----------
    latents : (n_rows, n_latents).
    regions : (n_latents,) region of each latent.
    spec : ``model`` (planted-{n_params}), ``checkpoint`` (step{N} or main) and ``planted``.

    Returns
    -------
    One float32 array (n_rows, n_latents) per layer.
    """
    n_params, step = parse(spec["model"], spec["checkpoint"])
    shares = {region: share(spec["planted"], n_params, step, region) for region in set(regions)}
    layers = []
    for layer in range(len(spec["planted"]["layers"])):
        # The same noise at every step, so that steps differ by what was learnt alone.
        rng = generator("planted", spec["model"], layer)
        noise = draw(runs, latents.shape[1], rng, beside=latents)
        rotation = np.linalg.qr(rng.standard_normal((len(regions), len(regions))))[0]
        carried = np.array([shares[region][layer] for region in regions])
        mixed = carried * latents + np.sqrt(1 - carried**2) * noise
        layers.append((mixed @ rotation).astype(np.float32))
    return layers


def parse(model: str, checkpoint: str) -> tuple[int, int | None]:
    """Return the parameters and the step of a pseudo-model's name and checkpoint."""
    name = re.fullmatch(r"planted-(\d+)", model)
    if not name:
        raise InputError(f"model `{model}`: expected planted-{{n_params}}, such as planted-1000000")
    step = re.fullmatch(r"step(\d+)", checkpoint)
    return int(name[1]), int(step[1]) if step else None
