"""Simulated responses: what all subjects share, and each subject's noise.

A target of region g and hemisphere h follows, in every run, a shared signal of unit variance ::

    gain[g, h] * (sqrt(v_states) * states + sqrt(v_latents) * latent) + rest

where `states` is a projection of one layer of a language model, `latent` a mixture of the region's
latents, and `rest`, which no model knows, fills the variance up to 1. The three do not correlate. A
subject adds noise of its own. The correlation of the mean response of S subjects with the shared
signal, its noise ceiling, is then ``1 / sqrt(1 + noise**2 / S)``, and a model whose best readout
correlates by `share` with the latents scores ::

    r_normalized = r / ceiling = gain[g, h] * sqrt(v_latents) * share
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.responses import TARGET_COLUMNS, to_dataset
from lmcortex.seeds import generator
from lmcortex.simulation.planted import Run, seen

if TYPE_CHECKING:
    import xarray as xr

N_COMPONENTS = 64  # leading principal components of the planted layer
N_PARTS = 5  # of the samples, each predicted from the others
PENALTY = 10.0  # times trace(K) / n, of the ridge that tells layers apart
SPACING = 4  # mm between the targets of an ROI, two voxels of the MNI152 grid

Settings = Mapping[str, Any]


def simulate_responses(
    items: pd.DataFrame,
    runs: Sequence[Run],
    latents: Mapping[str, np.ndarray],
    states: Mapping[int, np.ndarray],
    subject: str,
    spec: Settings,
) -> "xr.Dataset":
    """Simulate the responses of one subject.

    Parameters
    ----------
    latents : (n_rows, k) latents of each region.
    states : (n_rows, width) states of every layer of the model that the signal is planted from.
    spec : ``dataset``, ``regions`` and ``signal`` of the dataset file.

    Returns
    -------
    `response` (sample x target), z-scored by run.
    """
    signal = spec["signal"]
    targets = target_table(spec["regions"], signal["targets"])
    noise = subject_noise(runs, len(targets), signal, subject)
    response = shared_signal(runs, latents, states, targets, signal) + signal["noise"] * noise
    for run in runs:
        values = response[run.samples]
        response[run.samples] = (values - values.mean(axis=0)) / values.std(axis=0)
    labelled = to_dataset(response, items, targets, dataset=spec["dataset"], subject=subject)
    return labelled.assign_attrs(simulated=1)


def target_table(regions: Mapping[str, Mapping[str, Any]], n: int) -> pd.DataFrame:
    """Lay out `n` targets in a ball around each ROI's centre, and their mirror images on the right.

    Parameters
    ----------
    regions : region -> ROI -> left centre (MNI mm, on the 2 mm grid).
    n : targets per ROI and hemisphere.
    """
    offsets = SPACING * ball(n)
    rows = []
    for region, rois in sorted(regions.items()):
        for roi, (x, y, z) in sorted(rois.items()):
            for hemisphere, side in (("L", 1), ("R", -1)):
                for number, (right, front, up) in enumerate(offsets, start=1):
                    place = {"x": side * (x + right), "y": y + front, "z": z + up}
                    target = f"{roi}-{hemisphere}-{number}"
                    known = {"target": target, "roi": roi, "hemisphere": hemisphere}
                    rows.append({**known, "region": region, **place})
    return pd.DataFrame(rows).reindex(columns=[*TARGET_COLUMNS, "region"])


def ball(n: int) -> np.ndarray:
    """Return the `n` points of the grid of integers nearest to 0, the y axis first: (n, 3)."""
    reach = np.arange(-np.ceil(n ** (1 / 3)), np.ceil(n ** (1 / 3)) + 1).astype(int)
    x, y, z = (axis.ravel() for axis in np.meshgrid(reach, reach, reach))
    order = np.lexsort((z, x, y, np.abs(z), np.abs(x), x**2 + y**2 + z**2))
    return np.stack([x, y, z], axis=1)[order[:n]]


def shared_signal(
    runs: Sequence[Run],
    latents: Mapping[str, np.ndarray],
    states: Mapping[int, np.ndarray],
    targets: pd.DataFrame,
    signal: Settings,
) -> np.ndarray:
    """Return what all subjects share: (n_samples, n_targets) of unit variance in every run."""
    heard = {region: seen(runs, values) for region, values in latents.items()}
    projected = layer_projection(
        {number: scale(seen(runs, values), runs) for number, values in states.items()},
        signal["states"]["layer"],
        np.hstack(list(heard.values())),
        runs,
    )
    columns = []
    for target in targets.itertuples():
        rng = generator("target", signal["seed"], str(target.target))
        region = heard[str(target.region)]
        known = np.stack([projected, region @ unit_vector(rng, region.shape[1])], axis=1)
        rest = rest_of(runs, known, rng)
        gain = signal["gain"][target.region][target.hemisphere]
        weights = gain**2 * np.array([signal["variance"]["states"], signal["variance"]["latents"]])
        if weights.sum() > 1:
            raise InputError(
                f"signal.gain: {target.region} {target.hemisphere} explains {weights.sum():.2f} of "
                "the variance, expected 1 at most; lower the gain or signal.variance"
            )
        columns.append(known @ np.sqrt(weights) + np.sqrt(1 - weights.sum()) * rest)
    return np.stack(columns, axis=1)


def expected_ceiling(signal: Settings, n_subjects: int) -> float:
    """Return the correlation of the mean response of `n_subjects` with the shared signal."""
    return float(1 / np.sqrt(1 + signal["noise"] ** 2 / n_subjects))


def expected_score(signal: Settings, region: str, hemisphere: str, share: float) -> float:
    """Return r / ceiling of a model whose best readout correlates by `share` with the latents."""
    return float(
        signal["gain"][region][hemisphere] * np.sqrt(signal["variance"]["latents"]) * share
    )


def layer_projection(
    states: Mapping[int, np.ndarray], layer: int, avoid: np.ndarray, runs: Sequence[Run]
) -> np.ndarray:
    """Find the projection of a layer that it predicts itself and that the other layers do not.

    The layers of a network repeat much of each other, so that a random projection of one is about
    as well predicted from the next. Here each layer predicts, out of sample, the leading principal
    components of the planted one; the projection is the one in which the other layers' mean squared
    error exceeds its own by most (the first eigenvector of the difference of the two error
    matrices).

    Parameters
    ----------
    states : (n_samples, width) states of every layer, z-scored by run.
    avoid : (n_samples, k) signals that the projection shall not correlate with in any run.

    Returns
    -------
    (n_samples,) of unit variance in every run.
    """
    if layer not in states or len(states) < 2:
        raise InputError(
            f"signal.states.layer: {layer} is not among layers {min(states)} to {max(states)} of "
            "the model, or is the only one"
        )
    left, scales, _ = np.linalg.svd(states[layer], full_matrices=False)
    n_kept = min(N_COMPONENTS, int((scales > 1e-6 * scales[0]).sum()))
    components = left[:, :n_kept] * np.sqrt(len(left))
    forbidden = np.vstack([avoid[run.samples].T @ components[run.samples] for run in runs])
    free = np.linalg.svd(forbidden)[2][len(forbidden) :].T
    components = components @ free
    errors = {number: unpredicted(values, components) for number, values in states.items()}
    others = np.mean([error for number, error in errors.items() if number != layer], axis=0)
    best = np.linalg.eigh(others - errors[layer])[1][:, -1:]
    return scale(components @ best, runs)[:, 0]


def unpredicted(states: np.ndarray, signals: np.ndarray) -> np.ndarray:
    """Return the error matrix of predicting signals from states by ridge, out of sample.

    Returns
    -------
    (n_signals, n_signals) mean products of the errors.
    """
    kernel = states @ states.T
    penalty = PENALTY * np.trace(kernel) / len(kernel)
    errors = np.empty_like(signals)
    for test, train in parts(len(signals)):
        within = kernel[np.ix_(train, train)] + penalty * np.eye(len(train))
        weights = np.linalg.solve(within, signals[train])
        errors[test] = signals[test] - kernel[np.ix_(test, train)] @ weights
    return errors.T @ errors / len(errors)


def parts(n_samples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield contiguous test parts, and the samples outside each."""
    for test in np.array_split(np.arange(n_samples), N_PARTS):
        yield test, np.setdiff1d(np.arange(n_samples), test)


def rest_of(runs: Sequence[Run], known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a signal (n_samples,) of unit variance, uncorrelated with `known` ones in every run."""
    n_rows = sum(len(run.rows) for run in runs)
    rest = seen(runs, rng.standard_normal((n_rows, 1)))[:, 0]
    for run in runs:
        here = known[run.samples]
        rest[run.samples] -= here @ np.linalg.lstsq(here, rest[run.samples])[0]
    return scale(rest[:, None], runs)[:, 0]


def scale(values: np.ndarray, runs: Sequence[Run]) -> np.ndarray:
    """Give each column that varies unit variance in every run; drop the others."""
    deviations = np.stack([values[run.samples].std(axis=0) for run in runs])
    varies = (deviations > 1e-6 * np.abs(values).max(axis=0)).all(axis=0)
    scaled = values[:, varies].copy()
    for run, deviation in zip(runs, deviations, strict=True):
        scaled[run.samples] /= deviation[varies]
    return scaled


def unit_vector(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw a vector of unit length whose numbers sum to more than 0."""
    vector = rng.standard_normal(n)
    return vector * np.sign(vector.sum()) / np.linalg.norm(vector)


def subject_noise(
    runs: Sequence[Run], n_targets: int, signal: Settings, subject: str
) -> np.ndarray:
    """Draw a subject's own noise, of unit variance: (n_samples, n_targets), AR(1) in each run."""
    rng = generator("noise", signal["seed"], subject)
    carry = signal["autocorrelation"]
    noise = np.empty((sum(len(run.samples) for run in runs), n_targets))
    for run in runs:
        value = rng.standard_normal(n_targets)
        for sample in run.samples:
            noise[sample] = value
            value = carry * value + np.sqrt(1 - carry**2) * rng.standard_normal(n_targets)
    return noise
