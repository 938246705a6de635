"""The published way of fitting The Little Prince, and ours, at the size of that dataset.

Bonnasse-Gahot & Pallier (2024) fit one ridge for each penalty and run by scikit-learn, correlate
voxel by voxel, and make each regressor by nilearn, one unit at a time; written here after the
description of the paper. Both ways get the same made-up features and responses: nine runs of the
published lengths, 25,870 voxels, the published penalties and choice. Scores have to be equal to
1e-4.

The published way is timed on a few runs and units and reckoned up, because all of it takes hours;
ours is timed whole. Compare processor time on a busy machine.

    python benchmarks/lateralization.py --width 768 --threads 2
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lmcortex.encoding.design import sample_operators, scale_columns
from lmcortex.encoding.ridge import Penalties, fit_layer
from lmcortex.encoding.rotations import stimulus_of
from lmcortex.folds import make_folds

SAMPLES = (282, 298, 340, 303, 265, 343, 325, 292, 368)
WORDS = (1477, 1636, 1811, 1605, 1438, 1749, 1696, 1530, 1871)
TR, TRIM, VOXELS, LAYERS = 2.0, 10, 25_870, 13
GRID = np.logspace(2, 7, 16)
SPEC = {"kind": "story", "response": "glover"}


class Story(NamedTuple):
    """Made-up data: all samples, words, word vectors, voxels' responses, and which samples stay."""

    items: pd.DataFrame
    words: pd.DataFrame
    states: np.ndarray
    responses: np.ndarray
    kept: np.ndarray

    @property
    def kept_items(self) -> pd.DataFrame:
        return self.items[self.kept].reset_index(drop=True)


def simulate(width: int) -> Story:
    """Make word vectors, and voxels that follow a few of their columns through the HRF."""
    rng = np.random.default_rng(0)
    items, words = [], []
    for run, (n, n_words) in enumerate(zip(SAMPLES, WORDS, strict=True)):
        times = (np.arange(n) + 0.5) * TR
        items.append(pd.DataFrame({"run": str(run), "time": times}))
        onsets = np.sort(rng.uniform(0, (n - 2) * TR, n_words))
        words.append(pd.DataFrame({"run": str(run), "onset": onsets, "duration": 0.3}))
    items, words = pd.concat(items, ignore_index=True), pd.concat(words, ignore_index=True)
    items["item"] = items.index.astype(str)
    states = rng.standard_normal((len(words), width), dtype=np.float32)
    places = items.groupby("run")
    kept = (places.cumcount() >= TRIM) & (places.cumcount(ascending=False) >= TRIM)
    story = Story(items, words, states, np.empty(0), kept.to_numpy())
    signal = regressors(story, 20)
    weights = rng.standard_normal((20, VOXELS)) * rng.uniform(0, 0.1, VOXELS)
    noise = rng.standard_normal((len(signal), VOXELS))
    responses, _ = scale_columns(signal @ weights + noise, story.kept_items["run"].to_numpy())
    return story._replace(responses=responses)


def regressors(story: Story, units: int) -> np.ndarray:
    """Take units through the HRF of whole runs; trim, and z-score by run."""
    [to_samples] = sample_operators("words", story.items, story.words, SPEC)
    on_samples = to_samples(story.states[:, :units])[story.kept]
    return scale_columns(on_samples, story.kept_items["run"].to_numpy())[0]


def our_regressors(story: Story) -> np.ndarray:
    """Build the operator, and take all layers through it; return one."""
    [to_samples] = sample_operators("words", story.items, story.words, SPEC)
    runs, scaled = story.kept_items["run"].to_numpy(), np.empty(0)
    for _ in range(LAYERS):
        scaled, _ = scale_columns(to_samples(story.states)[story.kept], runs)
    return scaled


def published_regressors(story: Story, units: int) -> np.ndarray:
    """Make the regressors of some units by nilearn, run by run; return them z-scored."""
    from nilearn.glm.first_level import compute_regressor

    parts = []
    for run, n in enumerate(SAMPLES):
        words = story.words[story.words["run"] == str(run)]
        frame_times = (np.arange(n) + 0.5) * TR
        here = (story.words["run"] == str(run)).to_numpy()
        columns = [
            compute_regressor(
                np.stack([words["onset"], words["duration"], story.states[here, unit]]),
                "glover",
                frame_times,
            )[0][TRIM:-TRIM, 0]
            for unit in range(units)
        ]
        part = np.stack(columns, axis=1)
        parts.append((part - part.mean(0)) / part.std(0))
    return np.concatenate(parts)


def our_scores(story: Story, regressors: np.ndarray) -> np.ndarray:
    folds = make_folds({"scheme": "runs"}, story.kept_items)
    n_train = min(len(folds.outer(fold)[0]) for fold in range(folds.n))
    stimulus = stimulus_of([regressors], n_train, "cpu")
    penalties = Penalties(GRID, relative=False, common=True)

    def batches():
        for start in range(0, VOXELS, 2000):
            where = slice(start, min(start + 2000, VOXELS))
            yield where, story.responses[:, where]

    r = np.empty((folds.n, VOXELS))
    for where, fit in fit_layer(stimulus, batches, folds, penalties, dtype="float32"):
        r[:, where] = fit.r_test
    return r


def published_scores(story: Story, regressors: np.ndarray, runs: list[int]) -> np.ndarray:
    """Fit the folds of some runs: one Ridge for each penalty, one correlation for each voxel."""
    from sklearn.linear_model import Ridge

    run = story.kept_items["run"].astype(int).to_numpy()

    def correlate(train: np.ndarray, test: np.ndarray, alpha: float) -> np.ndarray:
        model = Ridge(alpha=alpha, fit_intercept=False)
        predicted = model.fit(regressors[train], story.responses[train]).predict(regressors[test])
        measured = story.responses[test]
        return np.array([np.corrcoef(measured[:, v], predicted[:, v])[0, 1] for v in range(VOXELS)])

    scores = []
    for test in runs:
        validation = 1 if test == 0 else 0
        inner = (run != test) & (run != validation)
        means = [correlate(inner, run == validation, alpha).mean() for alpha in GRID]
        scores.append(correlate(run != test, run == test, GRID[int(np.argmax(means))]))
    return np.stack(scores)


class Taken(NamedTuple):
    seconds: float
    processor: float
    result: np.ndarray


def timed(work: Callable[[], np.ndarray]) -> Taken:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return Taken(time.perf_counter() - wall, time.process_time() - processor, result)


def floor_seconds(width: int, n: int) -> float:
    """Reckon the products of voxels at the best rate seen, and time the decompositions.

    The published choice needs 8 training sets without two runs, 9 without one, and 9 validations.
    """
    rng = np.random.default_rng(0)
    test = n / 9
    rank = min(width, n - 2 * test)
    products = 8 * 2 * (7 * test) * rank + 9 * (16 + 1) * 2 * test * rank
    products += 9 * 2 * (n - test + test) * min(width, n - test)
    rows = rng.standard_normal((int(test), int(rank)), dtype=np.float32)
    columns = rng.standard_normal((int(rank), 2000), dtype=np.float32)
    product = min(timed(lambda: rows @ columns).seconds for _ in range(30))
    rate = 2 * rows.size * 2000 / product
    square = np.cov(rng.standard_normal((int(rank), int(rank) + 9)))
    decomposition = min(timed(lambda: np.linalg.eigh(square)[1]).seconds for _ in range(5))
    return products * VOXELS / rate + 17 * decomposition


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--published-runs", type=int, default=1, help="timed, of nine")
    parser.add_argument("--published-units", type=int, default=20, help="timed, of all layers'")
    args = parser.parse_args()
    story = simulate(args.width)
    with threadpool_limits(args.threads):
        ours = timed(lambda: our_regressors(story))
        theirs = timed(lambda: published_regressors(story, args.published_units))
        difference = np.abs(ours.result[:, : args.published_units] - theirs.result).max()
        share = LAYERS * args.width / args.published_units
        print(
            f"regressors of {LAYERS} layers of {args.width}, operator included: ours "
            f"{ours.processor:.1f} s, published {theirs.processor * share:.0f} s, "
            f"{theirs.processor * share / ours.processor:.0f} times; equal to {difference:.0e}"
        )
        regressors = ours.result
        fitted = timed(lambda: our_scores(story, regressors))
        runs = list(range(args.published_runs))
        published = timed(lambda: published_scores(story, regressors, runs))
        floor = floor_seconds(args.width, len(story.responses))
    share = 9 / args.published_runs
    print(
        f"one layer of {args.width}, 9 runs, 16 penalties, {VOXELS} voxels: ours "
        f"{fitted.processor:.1f} s (wall {fitted.seconds:.1f} s, {fitted.seconds / floor:.2f} "
        f"floors), published {published.processor * share:.0f} s (wall "
        f"{published.seconds * share:.0f} s), {published.processor * share / fitted.processor:.1f} "
        f"times (wall {published.seconds * share / fitted.seconds:.1f}); r equal to "
        f"{np.abs(fitted.result[runs] - published.result).max():.0e}"
    )


if __name__ == "__main__":
    main()
