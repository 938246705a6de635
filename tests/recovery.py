"""Whether what is planted in brains of The Little Prince's true shape is found again.

The authors' mask and their map of inter-subject correlation (Bonnasse-Gahot & Pallier 2024,
arXiv:2405.17992) become listeners whose mean response has that map as its noise ceiling: 25,870
voxels, nine runs of the published lengths and numbers of words, 49 people. The times of the words
are drawn, since no word list comes with the map. Stand-ins for models carry, at widths of 768 and
4096, latent signals that voxels follow; how much they carry grows with size, and more of it is in
voxels on the left. Fits, scores, ceilings and laws of size are those of the workflow, by its own
protocol and by the published one.

Each is compared with what follows from the simulation: the score that ridge has on the average,
given features, signals, penalties and the noise's covariance, and its standard deviation. Bounds
follow from that alone; the exit status is 1 where one is broken.

    LMCORTEX_DATA=~/data python tests/recovery.py
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import psutil
import xarray as xr
from scipy.linalg import block_diag, toeplitz
from scipy.stats import binom, spearmanr
from threadpoolctl import threadpool_limits

from lmcortex import ceilings, maps, statistics, storage
from lmcortex.config import load_fits, read_yaml
from lmcortex.datasets import Story
from lmcortex.encoding import Features, fit_encoding, stack_responses
from lmcortex.encoding.design import sample_operators, scale_columns
from lmcortex.responses import AVERAGE, to_dataset
from lmcortex.scores import score_rois
from lmcortex.seeds import generator
from lmcortex.simulation import planted

ROOT = Path(__file__).resolve().parents[1]
DATASET = "lpp-en"
SEED = 20701
WORDS = (1477, 1636, 1811, 1605, 1438, 1749, 1696, 1530, 1871)  # of the nine runs
WORD_SECONDS = 0.25

# --- what is planted ------------------------------------------------------------------------------

# Parameters and width of the stand-ins.
MODELS = {
    "stand-in-124m": (124_439_808, 768),
    "stand-in-355m": (354_823_168, 768),
    "stand-in-774m": (774_030_080, 768),
    "stand-in-1558m": (1_557_611_200, 768),
    "stand-in-6658m": (6_658_473_984, 4096),
}
# Which of them each protocol fits: ours tries eight times as many training sets.
FITS = {"runs": list(MODELS)[::2], "bonnasse-gahot-2024": list(MODELS)}
N_LATENTS = 16  # of each kind
STEADY, GROWING = slice(0, N_LATENTS), slice(N_LATENTS, 2 * N_LATENTS)
STEADY_SHARE = 0.8  # correlation of every model's best readout with the steady latents
GROWTH = 0.45  # of the squared share of the growing latents, per factor 10 of parameters
SMALLEST_SHARE = 0.05  # squared, of the smallest model
COLUMN_NOISE = 1.0  # sd of what columns hold beside latents, whose sum has an sd of 1
# Variance of the shared signal that follows the steady latents, and the growing ones L and R.
LOADINGS = {
    "TP": (0.16, 0.12, 0.08),
    "BA47": (0.18, 0.20, 0.10),
    "BA44": (0.20, 0.28, 0.12),
    "BA45": (0.22, 0.36, 0.14),
    "aSTS": (0.24, 0.44, 0.16),
    "pSTS": (0.26, 0.52, 0.18),
    "AGTPJ": (0.28, 0.60, 0.20),
}
ELSEWHERE = (0.20, 0.20, 0.10)
SPREAD = (0.6, 1.1)  # a voxel's loadings are those of its place times a number from here
AUTOCORRELATION = 0.3  # from sample to sample, of all that no model knows
LEAST_CEILING = 0.01  # the map has values below 0

# --- bounds, fixed before the first run -----------------------------------------------------------

DEVIATIONS = 4.0  # that a value may be from its expectation
# Folds train for each other, so that the mean over folds varies by up to twice what they do alone.
FOLD_FACTOR = 2.0
FALSE_ALARM = 0.005  # of the bound on how many intervals hold what they should, and on orders


class Brain(NamedTuple):
    """The voxels, and what each follows.

    Attributes
    ----------
    targets : one row per voxel of the mask.
    ceiling : (n_voxels,), correlation of the mean response with the signal all listeners share.
    weights : (2 * N_LATENTS, n_voxels), of the latents in the shared signal, whose variance is 1.
    spheres : ROI -> bool (n_voxels,), both sides.
    """

    targets: pd.DataFrame
    ceiling: np.ndarray
    weights: np.ndarray
    spheres: dict[str, np.ndarray]

    def side(self, roi: str, hemisphere: str) -> np.ndarray:
        return self.spheres[roi] & (self.targets["hemisphere"] == hemisphere).to_numpy()


class Heard(NamedTuple):
    """The story: kept samples, words, runs, and the latents of the words."""

    items: pd.DataFrame
    words: pd.DataFrame
    runs: list[planted.Run]
    latents: np.ndarray


def story() -> Story:
    return Story.model_validate(read_yaml(ROOT / "config" / "datasets" / f"{DATASET}.yaml"))


def read_brain(folder: Path, dataset: Story) -> Brain:
    """Lay out all voxels of the authors' mask, and draw what each follows."""
    mask: Any = nib.load(folder / "mask_lpp_en.nii.gz")
    index = np.argwhere(np.asanyarray(mask.dataobj) > 0)
    place = index @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    isc = np.load(folder / "isc_10trials_en.npy").mean(axis=0)
    sides = np.array(["L", "M", "R"])[np.sign(place[:, 0]).astype(int) + 1]
    names = pd.DataFrame(index).astype(str).agg("-".join, axis=1)
    known = dict(zip("xyz", place.T, strict=True))
    targets = pd.DataFrame(
        {"target": names, "roi": "brain", "hemisphere": sides, **known, "ceiling": np.nan}
    )
    away = {
        roi: np.linalg.norm(np.abs(place) * [-1, 0, 0] + place * [0, 1, 1] - sphere.center, axis=1)
        for roi, sphere in dataset.rois.items()
        if roi in LOADINGS
    }
    spheres = {roi: distance <= dataset.rois[roi].radius for roi, distance in away.items()}
    weights = draw_weights(sides, spheres)
    return Brain(targets, np.maximum(isc, LEAST_CEILING), weights, spheres)


def draw_weights(sides: np.ndarray, spheres: dict[str, np.ndarray]) -> np.ndarray:
    """Draw how each voxel mixes the latents; a voxel of two spheres follows the later one's law."""
    rng = generator("weights", SEED)
    loadings = np.tile(ELSEWHERE, (len(sides), 1))
    for roi, members in spheres.items():
        loadings[members] = LOADINGS[roi]
    steady, left, right = loadings.T
    growing = np.select([sides == "L", sides == "R"], [left, right], (left + right) / 2)
    variances = np.stack([steady, growing]) * rng.uniform(*SPREAD, len(sides))
    directions = rng.standard_normal((2, N_LATENTS, len(sides)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate(np.sqrt(variances)[:, None] * directions)


def tell_story(dataset: Story) -> Heard:
    """Draw word times, as many as the runs have, and latents, orthonormal in every run."""
    rng = generator("story", SEED)
    first, last = dataset.trim
    items, words = [], []
    for run, n, n_words in zip(dataset.runs, dataset.samples, WORDS, strict=True):
        times = dataset.start + dataset.tr * np.arange(first, n - last)
        items.append(pd.DataFrame({"run": run, "time": times}))
        gaps = rng.gamma(4.0, size=n_words + 1)
        onsets = np.cumsum(gaps)[:-1] / gaps.sum() * dataset.tr * n
        words.append(pd.DataFrame({"run": run, "onset": onsets, "duration": WORD_SECONDS}))
    items, words = pd.concat(items, ignore_index=True), pd.concat(words, ignore_index=True)
    items["item"] = items.index.astype(str)
    runs = planted.runs_of("story", items, words)
    return Heard(items, words, runs, planted.draw(runs, 2 * N_LATENTS, rng))


def squared_shares(n_params: int) -> np.ndarray:
    """Return how much of the variance of each latent a model of that size carries."""
    smallest = min(n for n, _ in MODELS.values())
    growing = SMALLEST_SHARE + GROWTH * np.log10(n_params / smallest)
    return np.repeat([STEADY_SHARE**2, growing], N_LATENTS)


def states_of(model: str, heard: Heard) -> np.ndarray:
    """Return a stand-in's word vectors: latents with noise, mixed into columns with more noise."""
    n_params, width = MODELS[model]
    rng = generator("states", SEED, model)
    noise = planted.draw(heard.runs, heard.latents.shape[1], rng, beside=heard.latents)
    shares = squared_shares(n_params)
    carried = np.sqrt(shares) * heard.latents + np.sqrt(1 - shares) * noise
    carried /= heard.latents.std()  # words' latents are of any size; columns' noise is of size 1
    mixing = rng.standard_normal((len(shares), width)) / np.sqrt(len(shares))
    columns = rng.standard_normal((len(carried), width), dtype=np.float32) * COLUMN_NOISE
    return columns + (carried @ mixing).astype(np.float32)


def planted_scores(brain: Brain, n_params: int) -> np.ndarray:
    """Return r of the best readout of a model that was trained on endless data."""
    return brain.ceiling * np.sqrt(squared_shares(n_params) @ brain.weights**2)


# --- listeners ------------------------------------------------------------------------------------


class Listeners(Sequence):
    """The responses of each listener, made when asked for: (n_samples, n_voxels) float32."""

    def __init__(self, brain: Brain, heard: Heard, n: int) -> None:
        self.n, self.runs = n, heard.runs
        self.signal = planted.seen(heard.runs, heard.latents) @ brain.weights
        unknown = np.sqrt(1 - (brain.weights**2).sum(axis=0))
        self.signal = (self.signal + unknown * self.noise("rest")).astype(np.float32)
        self.spread = np.sqrt(n * (1 / brain.ceiling**2 - 1)).astype(np.float32)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, number: Any) -> np.ndarray:
        if not 0 <= number < self.n:
            raise IndexError(number)
        response = self.noise(number)
        response *= self.spread
        response += self.signal
        for run in self.runs:
            here = slice(run.samples[0], run.samples[-1] + 1)
            response[here] -= response[here].mean(axis=0)
            response[here] /= response[here].std(axis=0)
        return response

    def noise(self, name: str | int) -> np.ndarray:
        """Draw noise of unit variance, AR(1) in each run."""
        rng = generator("noise", SEED, name)
        carry, fresh = AUTOCORRELATION, np.float32(np.sqrt(1 - AUTOCORRELATION**2))
        noise = rng.standard_normal(self.signal.shape, dtype=np.float32)
        for run in self.runs:
            for before, sample in zip(run.samples[:-1], run.samples[1:], strict=True):
                noise[sample] *= fresh
                noise[sample] += np.float32(carry) * noise[before]
        return noise

    def mean(self) -> np.ndarray:
        return sum(iter(self), np.zeros(self.signal.shape)) / self.n


# --- what follows from the simulation -------------------------------------------------------------


class Expected(NamedTuple):
    """The mean score of each voxel over brains, and its variance: both (n_voxels,).

    `bias` bounds what the mean leaves out, of second order in the number of samples.
    """

    mean: np.ndarray
    variance: np.ndarray
    bias: np.ndarray


def expected_scores(columns: np.ndarray, latents: np.ndarray, brain: Brain, fit: Any) -> Expected:
    """Return what ridge scores on the average, at the penalties that a fit chose.

    A test run's prediction is H y, linear in the training response y = Z u + e. With a covariance S
    of the noise, the expected sums of products are ``z' H Z u``, ``u' Z' H' H Z u + tr(H S H')``
    and so on, all quadratic forms of the few latents.

    Parameters
    ----------
    columns : (n_samples, width), z-scored by run.
    latents : (n_samples, 2 * N_LATENTS), as heard.
    fit : the fit's `alpha`, (n_folds, n_voxels), and its `test_fold`, (n_samples,).
    """
    weights = brain.ceiling * brain.weights
    noise = 1 - (weights**2).sum(axis=0)
    r, variance = [], []
    for fold, alpha in enumerate(fit["alpha"]):
        terms = rotated(columns, latents, fit["test_fold"], fold)
        found = np.empty((2, len(alpha)))
        for value in np.unique(alpha):
            here = alpha == value
            found[:, here] = _moments(terms, value, weights[:, here], noise[here])
        r.append(found[0])
        variance.append(found[1])
    r, variance = np.array(r), np.array(variance)
    bias = (np.abs(r) * variance / (1 - r**2)).mean(axis=0) / 2
    return Expected(r.mean(axis=0), variance.mean(axis=0) / len(r), bias)


class Terms(NamedTuple):
    """A fold in the axes of its training set X = U S V': latents and noise as these see them."""

    singular: np.ndarray  # S
    train_latents: np.ndarray  # U' Z
    train_noise: np.ndarray  # U' S U
    test_latents: np.ndarray  # (X_test V)' Z_test
    test_gram: np.ndarray  # (X_test V)' X_test V
    test_noise: np.ndarray  # (X_test V)' S X_test V
    test_variation: tuple[float, float]  # sums of squares of a latent and of noise


def rotated(columns: np.ndarray, latents: np.ndarray, folds: np.ndarray, fold: int) -> Terms:
    test = folds == fold
    train = ~test
    fitted, held = columns[train], columns[test]
    wide = fitted.shape[1] > len(fitted)
    squares, axes = np.linalg.eigh(fitted @ fitted.T if wide else fitted.T @ fitted)
    kept = squares > squares[-1] * 1e-10
    singular, axes = np.sqrt(squares[kept]), axes[:, kept]
    left = axes if wide else fitted @ axes / singular
    rows = held @ (fitted.T @ (axes / singular) if wide else axes)
    _, lengths = np.unique(folds[train], return_counts=True)
    covariance, of_test = block_diag(*map(_covariance, lengths)), _covariance(len(held))
    return Terms(
        singular,
        left.T @ latents[train],
        left.T @ covariance @ left,
        rows.T @ latents[test],
        rows.T @ rows,
        rows.T @ of_test @ rows,
        (len(held), np.trace(of_test)),
    )


def _covariance(n: int) -> np.ndarray:
    """Return the covariance of the noise of a run of n samples, without its mean."""
    whole = toeplitz(AUTOCORRELATION ** np.arange(n))
    return whole - whole.mean(axis=0) - whole.mean(axis=1, keepdims=True) + whole.mean()


def _moments(
    terms: Terms, alpha: float, weights: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected r of some voxels on one fold at one penalty, and its variance."""
    scaling = terms.singular / (terms.singular**2 + alpha)
    trained, tested = (
        scaling[:, None] * part for part in (terms.train_latents, terms.test_latents)
    )
    spread = scaling[:, None] * terms.train_noise * scaling

    def form(matrix: np.ndarray) -> np.ndarray:
        return (weights * (matrix @ weights)).sum(axis=0)

    product = form(terms.test_latents.T @ trained)
    power = form(trained.T @ terms.test_gram @ trained) + noise * (terms.test_gram * spread).sum()
    varying = form(trained.T @ terms.test_noise @ trained) + form(
        tested.T @ terms.train_noise @ tested
    )
    varying = noise * varying + noise**2 * (terms.test_noise * spread).sum()
    heard, chance = terms.test_variation
    power *= heard * (weights**2).sum(axis=0) + chance * noise
    return product / np.sqrt(power), varying / power


def expected_ceilings(brain: Brain, heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the estimated squared ceilings over brains, and its standard deviation.

    The estimate is 1 - q / (1 + d): q, the noise of a mean over listeners, is known well, and the
    variance of the mean is off by d, which holds products of the latents, of the rest of the signal
    and of the noise with each other. To second order that is 1 - q + q d - q d^2.
    """
    known = (brain.weights**2).sum(axis=0)
    rest, noise, n = 1 - known, 1 - brain.ceiling**2, len(heard.items)
    latents = planted.seen(heard.runs, heard.latents)
    covariances = [_covariance(len(run.samples)) for run in heard.runs]
    left = sum(np.trace(each) for each in covariances) / n  # of a variance, without runs' means
    within = latents.T @ block_diag(*covariances) @ latents / n
    smooth = (brain.weights * (within @ brain.weights)).sum(axis=0)
    rough = (1 + AUTOCORRELATION**2) / (1 - AUTOCORRELATION**2)
    of_signal = 2 * rest**2 * rough + 4 * rest * smooth
    variance = brain.ceiling**4 * of_signal + 2 * noise**2 * rough
    variance += 4 * brain.ceiling**2 * noise * (smooth + rest * rough)
    signal = brain.ceiling**2 * (known + rest * left)
    squared = signal / (signal + noise * left)
    return squared - noise * variance / n, noise * np.sqrt(variance / n)


# --- the workflow's own way -----------------------------------------------------------------------


class Taken:
    """How long something took, on the clock and of all processors, and the most memory held."""

    seconds = 0.0
    processor = 0.0
    gigabytes = 0.0


@contextmanager
def measured() -> Iterator[Taken]:
    taken, process, done = Taken(), psutil.Process(), threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            taken.gigabytes = max(taken.gigabytes, process.memory_info().rss / 1e9)

    watcher = threading.Thread(target=watch)
    start, used = time.perf_counter(), time.process_time()
    watcher.start()
    try:
        yield taken
    finally:
        taken.seconds = time.perf_counter() - start
        taken.processor = time.process_time() - used
        done.set()
        watcher.join()


def settings(fit: str, model: str, dataset: Story) -> dict[str, Any]:
    """Return all that a fit's spec and its scores' spec hold."""
    return {
        **load_fits(ROOT / "config")[fit].model_dump(mode="json"),
        **{"dataset": DATASET, "fit": fit, "model": model, "checkpoint": "main"},
        **{"dtype": "float32", "predictions": "average", "n_layers": 1},
        "rois": {roi: dataset.roi_definitions()[roi] for roi in LOADINGS},
    }


def score_map(fit: xr.Dataset, layer_choice: str) -> np.ndarray:
    """Return the workflow's map of nested scores, in the order of the voxels."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "sub-all.nc")
        storage.write_dataset(fit[["r_test", "r_inner"]], path, {})
        return maps.nested_scores([path], AVERAGE, layer_choice)["r"].to_numpy()


def study_scores(cells: list[pd.DataFrame]) -> pd.DataFrame:
    about = {
        model: {
            **dict.fromkeys(("perplexity", "benchmark", "tokens_per_step"), np.nan),
            **{"role": "trained", "family": "stand-in", "final": "main"},
            **{"n_params": n_params, "width": width},
        }
        for model, (n_params, width) in MODELS.items()
    }
    return statistics.collect_scores(cells, {"models": about})


# --- comparison -----------------------------------------------------------------------------------


class Check:
    """Prints what is compared with a bound, and remembers whether all were kept."""

    def __init__(self) -> None:
        self.passed = True

    def __call__(self, what: str, value: float, low: float, high: float) -> None:
        kept = low <= value <= high
        self.passed &= kept
        verdict = "" if kept else "   BROKEN"
        print(f"  {what:58}{value:9.4f}   [{low:.4f}, {high:.4f}]{verdict}", flush=True)


def check_map(check: Check, found: np.ndarray, expected: Expected) -> None:
    """Compare maps: their correlation, and the mean of their difference."""
    n = len(found)
    total = expected.mean.var()
    likely, least = (
        np.sqrt(total / (total + factor * expected.variance.mean())) for factor in (1, FOLD_FACTOR)
    )
    r = np.corrcoef(found, expected.mean)[0, 1]
    most = 1.0
    check(
        f"r with the expected map (likely {likely:.4f})",
        r,
        least - DEVIATIONS * (1 - least**2) / np.sqrt(n),
        most,
    )
    allowed = DEVIATIONS * np.sqrt(FOLD_FACTOR * expected.variance.sum()) / n
    allowed += expected.bias.mean()
    check("mean of recovered - expected", (found - expected.mean).mean(), -allowed, allowed)


def check_ceiling(check: Check, found: np.ndarray, brain: Brain, heard: Heard) -> None:
    """Compare squared ceilings: near 0 the square root of an estimate is of any size."""
    mean, deviation = expected_ceilings(brain, heard)
    known = brain.ceiling > 0.2  # where an estimate below 0, which is set to 0, is out of question
    error, deviation = found[known] ** 2 - mean[known], deviation[known]
    bound = DEVIATIONS * np.sqrt((deviation**2).sum()) / known.sum()
    print(f"  of the ceilings of {known.sum()} voxels, squared:")
    check("mean of estimated - expected", error.mean(), -bound, bound)
    total, noise = mean[known].var(), (deviation**2).mean()
    check("root mean square of that", np.sqrt((error**2).mean()), 0, 1.05 * np.sqrt(noise))
    likely = np.sqrt(total / (total + noise))
    least = likely - DEVIATIONS * (1 - likely**2) / np.sqrt(known.sum())
    r = np.corrcoef(found[known] ** 2, brain.ceiling[known] ** 2)[0, 1]
    check(f"r of estimated and planted (likely {likely:.4f})", r, least, 1.0)
    bias = found - brain.ceiling
    for name, here in (("all voxels", slice(None)), ("those above .2", known)):
        r = np.corrcoef(brain.ceiling[here], found[here])[0, 1]
        print(f"  ceilings and ISC, {name}: r {r:.4f}, bias {bias[here].mean():+.4f}", flush=True)


def slopes(models: list[str], values: np.ndarray) -> np.ndarray:
    """Return the slope per factor 10 of parameters of (n_models, ...) values."""
    size = np.log10([MODELS[model][0] for model in models])
    size -= size.mean()
    return np.tensordot(size / (size @ size), values, axes=1)


def expected_by_side(
    brain: Brain, expected: list[Expected]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return mean r of each model and ROI, (n_models, n_rois), on each side; and the variances."""
    mean, variance = {}, {}
    for side in "LR":
        members = [brain.side(roi, side) for roi in LOADINGS]
        mean[side] = np.array([[each.mean[m].mean() for m in members] for each in expected])
        variance[side] = np.array(
            [[each.variance[m].mean() / m.sum() for m in members] for each in expected]
        )
    return mean, variance


def check_order(
    check: Check, what: str, found: np.ndarray, truth: np.ndarray, deviation: np.ndarray
) -> None:
    """Compare the order of the ROIs with the planted one, and with what noise makes of it."""
    rng = generator("orders", SEED)
    drawn = truth + deviation * rng.standard_normal((2000, len(truth)))
    orders = [spearmanr(truth, each).statistic for each in drawn]
    least = np.quantile(orders, FALSE_ALARM, method="lower")
    check(f"Spearman of ROIs' {what}, recovered and planted", spearmanr(found, truth).statistic,
          least, 1.0)  # fmt: skip


def check_laws(
    check: Check, fit: str, scores: pd.DataFrame, draws: pd.DataFrame, brain: Brain,
    expected: list[Expected],
) -> None:  # fmt: skip
    """Print the law of each ROI, planted and recovered; check orders, slopes and intervals."""
    rois = list(LOADINGS)
    mean, variance = expected_by_side(brain, expected)
    models = FITS[fit]
    size_weights = slopes(models, np.eye(len(models)))
    slope_sd = {
        side: np.sqrt(FOLD_FACTOR * (size_weights**2 @ each)) for side, each in variance.items()
    }
    truth = {side: slopes(models, mean[side]) for side in "LR"}
    truth["both"] = truth["L"] - truth["R"]
    slope_sd["both"] = np.hypot(slope_sd["L"], slope_sd["R"])
    endless = np.array([planted_scores(brain, MODELS[model][0]) for model in models])
    endless = {
        side: slopes(
            models,
            np.stack([endless[:, brain.side(roi, side)].mean(axis=1) for roi in rois], axis=1),
        )
        for side in "LR"
    }
    endless["both"] = endless["L"] - endless["R"]
    scaling = statistics.fit_scaling(scores, draws)
    scaling = scaling[(scaling["fit"] == fit) & (scaling["predictor"] == "log10_params")]
    tested = statistics.fit_lateralization(scores, draws)
    p = tested[tested["fit"] == fit].groupby("roi")["slope_p"].first()
    print("  slope per factor 10: planted for endless data, expected of this fit, recovered")
    inside = {}
    for side, outcome in (("L", "r"), ("R", "r"), ("both", "difference")):
        rows = scaling[(scaling["hemisphere"] == side) & (scaling["outcome"] == outcome)]
        rows = rows.set_index("roi").loc[rois]
        held = (rows["ci_low"] <= truth[side]) & (truth[side] <= rows["ci_high"])
        inside[side] = held.to_numpy()
        for i, (roi, row) in enumerate(rows.iterrows()):
            tail = f"  p {p[roi]:.3f}" if side == "both" else ""
            print(
                f"    {roi:6} {'L - R' if side == 'both' else side:6}{endless[side][i]:9.4f}"
                f"{truth[side][i]:9.4f}{row['slope']:9.4f} [{row['ci_low']:7.4f}, "
                f"{row['ci_high']:7.4f}] {'inside' if held[roi] else 'OUTSIDE'}{tail}"
            )
        away = (rows["slope"].to_numpy() - truth[side]) / slope_sd[side]
        check(f"largest deviation of slopes {side}, in sd", np.abs(away).max(), 0, DEVIATIONS)
    check_intervals(check, inside)
    found = scaling[(scaling["hemisphere"] == "both") & (scaling["outcome"] == "difference")]
    check_order(check, "slope of L - R", found.set_index("roi").loc[rois, "slope"].to_numpy(),
                truth["both"], slope_sd["both"])  # fmt: skip
    check_levels(check, fit, scores, brain, mean, variance)


def check_intervals(check: Check, inside: dict[str, np.ndarray]) -> None:
    """Bound from below how many 95 % intervals hold the slope, as if all were independent."""
    for what, held in (("L - R", inside["both"]), ("L and R", np.r_[inside["L"], inside["R"]])):
        least = binom.ppf(FALSE_ALARM, len(held), 0.95)
        check(f"intervals of slopes {what} that hold it, of {len(held)}", held.sum(), least,
              len(held))  # fmt: skip


def check_levels(
    check: Check, fit: str, scores: pd.DataFrame, brain: Brain, mean: dict[str, np.ndarray],
    variance: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """Check the largest model's score of each ROI and side, and their order over ceilings."""
    largest = list(MODELS)[-1]
    rows = scores[(scores["fit"] == fit) & (scores["model"] == largest) & (scores["layer"] == -1)]
    for side in "LR":
        found = rows[rows["hemisphere"] == side].set_index("roi").loc[list(LOADINGS)]
        deviation = np.sqrt(FOLD_FACTOR * variance[side][-1])
        away = np.abs(found["r"].to_numpy() - mean[side][-1]) / deviation
        check(f"largest deviation of {largest}'s r {side}, in sd", away.max(), 0, DEVIATIONS)
        ceiling = np.array([brain.ceiling[brain.side(roi, side)].mean() for roi in LOADINGS])
        check_order(check, f"r / ceiling {side}", found["r_normalized"].to_numpy(),
                    mean[side][-1] / ceiling, deviation / ceiling)  # fmt: skip


# --- all of it ------------------------------------------------------------------------------------


def data_folder() -> Path:
    folder = Path(os.environ.get("LMCORTEX_DATA", ROOT.parent / "shared" / "data")) / "lpp"
    if not folder.is_dir():
        raise SystemExit(
            f"{folder}: no such folder; set LMCORTEX_DATA to the folder that holds lpp"
        )
    return folder


class Run(NamedTuple):
    """All that the fits of one model share."""

    model: str
    brain: Brain
    heard: Heard
    responses: xr.Dataset
    ceilings: pd.DataFrame
    dataset: Story


class Found(NamedTuple):
    scores: pd.DataFrame
    draws: pd.DataFrame
    expected: Expected
    map: np.ndarray


def fit_and_score(run: Run, states: np.ndarray, fit: str, check: Check) -> Found:
    spec = settings(fit, run.model, run.dataset)
    with measured() as taken:
        fitted = fit_encoding(
            Features("words", {1: states}), run.responses, run.heard.items, run.heard.words, spec
        )
    print(
        f"{run.model}, width {states.shape[1]}, {fit}: fit {taken.seconds:.0f} s on the clock, "
        f"{taken.processor:.0f} s of processor, at most {taken.gigabytes:.1f} GB in all",
        flush=True,
    )
    found = score_map(fitted, spec["layer_choice"])
    in_spheres = np.any(list(run.brain.spheres.values()), axis=0)
    scores, draws = score_rois([fitted.isel(target=in_spheres)], run.ceilings, spec)
    [to_samples] = sample_operators("words", run.heard.items, run.heard.words, spec)
    runs = run.heard.items["run"].to_numpy()
    columns, _ = scale_columns(to_samples(states), runs)
    grid = np.logspace(fitted.alpha_low, fitted.alpha_high, fitted.n_alphas)
    grid *= columns.shape[1] if spec["alphas"]["scale"] == "trace" else 1.0
    chosen = {
        "alpha": grid[fitted["alpha_index"].to_numpy()[0]],
        "test_fold": fitted["test_fold"].to_numpy(),
    }
    heard = planted.seen(run.heard.runs, run.heard.latents)
    expected = expected_scores(columns, heard, run.brain, chosen)
    endless = planted_scores(run.brain, MODELS[run.model][0])
    print(
        f"  mean r {found.mean():.4f}, expected {expected.mean.mean():.4f}, planted for endless "
        f"data {endless.mean():.4f}; r of recovered and planted maps "
        f"{np.corrcoef(found, endless)[0, 1]:.4f}"
    )
    check_map(check, found, expected)
    return Found(scores, draws, expected, found)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--maps", type=Path, help="folder to write score maps to, as NIfTI")
    args = parser.parse_args()
    start, dataset = time.perf_counter(), story()
    check = Check()
    with threadpool_limits(args.threads):
        passed = recover(dataset, data_folder(), args.maps, check)
    print(f"all in {(time.perf_counter() - start) / 60:.0f} minutes")
    return int(not passed)


def recover(dataset: Story, folder: Path, map_folder: Path | None, check: Check) -> bool:
    brain, heard = read_brain(folder, dataset), tell_story(dataset)
    n = len(dataset.subjects)
    print(f"{len(brain.targets)} voxels, {len(heard.runs)} runs, {len(heard.items)} of "
          f"{sum(dataset.samples)} samples, {len(heard.words)} words, {n} listeners")  # fmt: skip
    with measured() as taken:
        listeners = Listeners(brain, heard, n)
        mean = listeners.mean()
        ceiling = ceilings.spearman_brown(ceilings.pairwise(listeners), n)
    print(f"listeners and ceilings: {taken.seconds:.0f} s, {taken.gigabytes:.1f} GB", flush=True)
    check_ceiling(check, ceiling, brain, heard)
    one = to_dataset(mean, heard.items, brain.targets, dataset=DATASET, subject=AVERAGE)
    responses = stack_responses([one], heard.items)
    table = brain.targets[["target"]].assign(subject=AVERAGE, ceiling=ceiling)
    del listeners, mean
    found: dict[str, list[Found]] = {fit: [] for fit in FITS}
    for model in MODELS:
        states = states_of(model, heard)
        run = Run(model, brain, heard, responses, table, dataset)
        for fit in (name for name, models in FITS.items() if model in models):
            found[fit].append(fit_and_score(run, states, fit, check))
            if map_folder is not None:
                map_folder.mkdir(parents=True, exist_ok=True)
                image = maps.as_image(found[fit][-1].map, brain.targets[maps.AXES].to_numpy())
                storage.write_image(image, map_folder / f"fit-{fit}_model-{model}_r.nii.gz", {})
    for fit, cells in found.items():
        print(f"{fit}: laws of size over {len(cells)} models")
        scores = study_scores([cell.scores for cell in cells])
        draws = statistics.collect_draws([cell.draws for cell in cells])
        check_laws(check, fit, scores, draws, brain, [cell.expected for cell in cells])
    return check.passed


if __name__ == "__main__":
    sys.exit(main())
