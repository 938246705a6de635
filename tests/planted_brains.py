"""Simulated listeners of The Little Prince, and stand-ins for models, that share planted signals.

The authors' mask and their map of inter-subject correlation (Bonnasse-Gahot & Pallier 2024,
arXiv:2405.17992) become listeners whose mean response has that map as its noise ceiling. Voxels
follow latent signals, which word vectors of 768 and 4096 columns carry: steady ones, that all
stand-ins carry alike, and growing ones, of which larger stand-ins carry more, and which the left
follows more than the right. The rest of a voxel's signal, which listeners share, no model knows.
The times of words are drawn, since no word list comes with the map.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from lmcortex.config import read_yaml
from lmcortex.datasets import Story
from lmcortex.homologues import MIDLINE
from lmcortex.seeds import generator
from lmcortex.simulation import planted

ROOT = Path(__file__).resolve().parents[1]
DATASET = "lpp-en"
SEED = 20701
WORDS = (1477, 1636, 1811, 1605, 1438, 1749, 1696, 1530, 1871)  # of the nine runs
WORD_SECONDS = 0.25
# Parameters and width of the stand-ins.
MODELS = {
    "stand-in-124m": (124_439_808, 768),
    "stand-in-355m": (354_823_168, 768),
    "stand-in-774m": (774_030_080, 768),
    "stand-in-1558m": (1_557_611_200, 768),
    "stand-in-6658m": (6_658_473_984, 4096),
}
N_LATENTS = 16  # of each kind
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
    sides = np.array(["L", MIDLINE, "R"])[np.sign(place[:, 0]).astype(int) + 1]
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
