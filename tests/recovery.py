"""Whether what is planted in brains of The Little Prince's true shape is found again.

Listeners and stand-ins for models are those of `planted_brains`: 25,870 voxels, nine runs of the
published lengths and numbers of words, 49 people, a law of size that is steeper on the left. Fits,
scores, maps, ceilings and laws are made by the workflow, by its own protocol and by the published
one, and compared with what follows from the simulation (`expected_scores`). Bounds follow from that
alone; the exit status is 1 where one is broken.

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

import numpy as np
import pandas as pd
import psutil
import xarray as xr
from expected_scores import Expected, expected_ceilings, expected_scores
from planted_brains import (
    DATASET,
    LOADINGS,
    MODELS,
    ROOT,
    SEED,
    Brain,
    Heard,
    Listeners,
    planted_scores,
    read_brain,
    states_of,
    story,
    tell_story,
)
from scipy.stats import binom, spearmanr
from threadpoolctl import threadpool_limits

from lmcortex import ceilings, maps, statistics, storage
from lmcortex.config import load_fits
from lmcortex.datasets import Story
from lmcortex.encoding import Features, fit_encoding, stack_responses
from lmcortex.encoding.design import sample_operators, scale_columns
from lmcortex.responses import AVERAGE, to_dataset
from lmcortex.scores import score_rois
from lmcortex.seeds import generator
from lmcortex.simulation import planted

# Which of them each protocol fits: ours tries eight times as many training sets.
FITS = {"runs": list(MODELS)[::2], "bonnasse-gahot-2024": list(MODELS)}

# --- bounds, fixed before the first run -----------------------------------------------------------

DEVIATIONS = 4.0  # that a value may be from its expectation
# Folds train for each other, so that the mean over folds varies by up to twice what they do alone.
FOLD_FACTOR = 2.0
FALSE_ALARM = 0.005  # of the bound on how many intervals hold what they should, and on orders


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
    least -= DEVIATIONS * (1 - least**2) / np.sqrt(n)
    r = np.corrcoef(found, expected.mean)[0, 1]
    check(f"r with the expected map (likely {likely:.4f})", r, least, 1.0)
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


# --- laws of size ---------------------------------------------------------------------------------


def slopes(models: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Return the slope per factor 10 of parameters of (n_models, ...) values."""
    size = np.log10([MODELS[model][0] for model in models])
    size -= size.mean()
    return np.tensordot(size / (size @ size), values, axes=1)


def expected_laws(fit: str, brain: Brain, expected: list[Expected]) -> pd.DataFrame:
    """Return the slopes to expect of each ROI.

    Returns
    -------
    By ``roi`` and ``side`` (`L`, `R`, `L - R`): ``planted``, for models trained on endless data;
    ``expected`` of this fit, and its ``sd``.
    """
    models, tables = FITS[fit], {}
    endless = np.array([planted_scores(brain, MODELS[model][0]) for model in models])
    squared_weights = slopes(models, np.eye(len(models))) ** 2
    for side in "LR":
        mean, variance = by_roi(brain, expected, side)
        best = np.stack([endless[:, brain.side(roi, side)].mean(axis=1) for roi in LOADINGS], 1)
        tables[side] = pd.DataFrame(
            {
                "planted": slopes(models, best),
                "expected": slopes(models, mean),
                "sd": np.sqrt(FOLD_FACTOR * (squared_weights @ variance)),
            },
            index=pd.Index(LOADINGS, name="roi"),
        )
    tables["L - R"] = tables["L"] - tables["R"]
    tables["L - R"]["sd"] = np.hypot(tables["L"]["sd"], tables["R"]["sd"])
    return pd.concat(tables, names=["side"])


def by_roi(brain: Brain, expected: list[Expected], side: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected r of each model and ROI on a side, and its variance without folds'."""
    members = [brain.side(roi, side) for roi in LOADINGS]
    mean = [[each.mean[here].mean() for here in members] for each in expected]
    variance = [[each.variance[here].mean() / here.sum() for here in members] for each in expected]
    return np.array(mean), np.array(variance)


def recovered_laws(fit: str, scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Return the slopes that the workflow's tables have, by side and ROI, with intervals and p."""
    scaling = statistics.fit_scaling(scores, draws)
    scaling = scaling[(scaling["fit"] == fit) & (scaling["predictor"] == "log10_params")]
    where = {"L": ("r", "L"), "R": ("r", "R"), "L - R": ("difference", "both")}
    tables = {
        side: scaling[(scaling["outcome"] == outcome) & (scaling["hemisphere"] == hemisphere)]
        .set_index("roi")
        .loc[list(LOADINGS), ["slope", "ci_low", "ci_high"]]
        for side, (outcome, hemisphere) in where.items()
    }
    tested = statistics.fit_lateralization(scores, draws)
    tables["L - R"]["p"] = tested[tested["fit"] == fit].groupby("roi")["slope_p"].first()
    return pd.concat(tables, names=["side"])


def check_laws(
    check: Check, fit: str, brain: Brain, expected: list[Expected], recovered: pd.DataFrame
) -> None:
    """Print the law of each ROI, planted and recovered; check slopes, intervals and order."""
    laws = expected_laws(fit, brain, expected).join(recovered)
    laws["inside"] = (laws["ci_low"] <= laws["expected"]) & (laws["expected"] <= laws["ci_high"])
    print(laws.to_string(float_format=lambda value: f"{value:.4f}", na_rep=""))
    away = (laws["slope"] - laws["expected"]).abs() / laws["sd"]
    for side, values in away.groupby(level="side", sort=False):
        check(f"largest deviation of slopes {side}, in sd", values.max(), 0, DEVIATIONS)
    for what, sides in (("L - R", ["L - R"]), ("L and R", ["L", "R"])):
        check_intervals(check, what, laws.loc[sides, "inside"].to_numpy())
    gaps = laws.loc["L - R"]
    check_order(check, "slope of L - R", gaps["slope"], gaps["expected"], gaps["sd"])


def check_intervals(check: Check, what: str, inside: np.ndarray) -> None:
    """Bound from below how many 95 % intervals hold the slope, as if all were independent."""
    least = binom.ppf(FALSE_ALARM, len(inside), 0.95)
    name = f"intervals of slopes {what} that hold it, of {len(inside)}"
    check(name, inside.sum(), least, len(inside))


def check_order(
    check: Check, what: str, found: np.ndarray, truth: np.ndarray, sd: np.ndarray
) -> None:
    """Compare the order of the ROIs with the planted one, and with what noise makes of it."""
    noise = generator("orders", SEED).standard_normal((2000, len(truth)))
    orders = [spearmanr(truth, truth + sd * each).statistic for each in noise]
    least = np.quantile(orders, FALSE_ALARM, method="lower")
    order = spearmanr(found, truth).statistic
    check(f"Spearman of ROIs' {what}, recovered and planted", order, least, 1.0)


def check_levels(
    check: Check, fit: str, brain: Brain, expected: list[Expected], scores: pd.DataFrame
) -> None:
    """Check the largest model's score of each ROI and side, and their order over ceilings."""
    largest = FITS[fit][-1]
    rows = scores[(scores["fit"] == fit) & (scores["model"] == largest) & (scores["layer"] == -1)]
    for side in "LR":
        mean, variance = (values[-1] for values in by_roi(brain, expected, side))
        found = rows[rows["hemisphere"] == side].set_index("roi").loc[list(LOADINGS)]
        sd = np.sqrt(FOLD_FACTOR * variance)
        away = np.abs(found["r"].to_numpy() - mean) / sd
        check(f"largest deviation of {largest}'s r {side}, in sd", away.max(), 0, DEVIATIONS)
        ceiling = np.array([brain.ceiling[brain.side(roi, side)].mean() for roi in LOADINGS])
        relative = found["r_normalized"].to_numpy()
        check_order(check, f"r / ceiling {side}", relative, mean / ceiling, sd / ceiling)


# --- all of it ------------------------------------------------------------------------------------


def data_folder() -> Path:
    folder = Path(os.environ.get("LMCORTEX_DATA", ROOT.parent / "shared" / "data")) / "lpp"
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; set LMCORTEX_DATA to what holds it")
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
    """What one fit gives: rows of the study's tables, and the map beside what to expect of it."""

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
    alpha, folds = grid[fitted["alpha_index"].to_numpy()[0]], fitted["test_fold"].to_numpy()
    heard = planted.seen(run.heard.runs, run.heard.latents)
    expected = expected_scores(columns, heard, run.brain, alpha, folds)
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
        expected = [cell.expected for cell in cells]
        check_laws(check, fit, brain, expected, recovered_laws(fit, scores, draws))
        check_levels(check, fit, brain, expected, scores)
    return check.passed


if __name__ == "__main__":
    sys.exit(main())
