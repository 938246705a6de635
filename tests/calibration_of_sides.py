"""How often tests of scores, of sides and of laws of size reject where there is nothing to find.

Brains of The Little Prince's shape: nine runs of 290 samples, seven ROIs on two sides, one voxel on
each, autocorrelated noise. Encoders of five models, or three for listeners, are fitted, scored and
compared by the workflow itself. Kinds of ROIs:

* noise: nothing but noise;
* unrelated (listeners only): a signal that all listeners share and no model knows;
* level: both sides follow the same latents, which models know by shares that are unrelated to size;
* law: models know the latents better the larger they are, and the left follows them more.

The mean response is drawn anew with story and models, 200 times. Listeners are drawn anew 50 times
for each of four stories and models: tests over listeners speak of other people, not other words.

Each simulation tests one ROI, in turn, so that the 200 are independent; beside it is the mean over
all seven. Both may be 15 of 200 at most. Rows of `unrelated` are printed without a bound: what a
signal shares with a model by chance, in these words, is the same in all listeners, and a test over
listeners has to find it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex import statistics
from lmcortex.config import load_fits
from lmcortex.encoding import Features, fit_encoding, stack_responses
from lmcortex.responses import AVERAGE, to_dataset
from lmcortex.scores import GROUP, score_rois
from lmcortex.seeds import generator
from lmcortex.statistics.partial import autoregression

ROOT = Path(__file__).resolve().parents[1]
SEED = 20702
N, STORIES, LISTENERS = 200, 4, 12
MOST_REJECTIONS = 15
COVERAGE = (0.90, 0.98)
RUNS, SAMPLES = 9, 290
ROIS = ("TP", "aSTS", "pSTS", "AGTPJ", "BA44", "BA45", "BA47")
SIZES = np.geomspace(1.2e8, 1.4e10, 5)
FOR_LISTENERS = SIZES[::2]
N_LATENTS, N_OTHER = 8, 4  # of each kind of latent; other columns
FEATURES, NOISE = 0.8, 0.5  # autocorrelation from sample to sample
LEVELS = (0.4, 0.9)  # shares that are unrelated to size are drawn from here
GROWING = (0.3, 0.9)  # shares of a law, of the smallest and the largest
SIDES = {"noise": (0, 0), "unrelated": (1, 1), "level": (1, 1), "law": (1, 0.6)}
# Share of a response's variance that is signal, of the mean over listeners and of one.
SIGNAL = {AVERAGE: 0.3, GROUP: 0.1}
INFERENCE = {"n_permutations": 199, "n_resamples": 200}
ALPHAS = {"low": -2, "high": 2, "n": 5, "scale": "trace", "choice": "target"}


class Stimulus(NamedTuple):
    """A story: latents of each kind that voxels follow, and the features of each model."""

    latents: dict[str, np.ndarray]
    models: dict[str, Features]


ITEMS = pd.DataFrame(
    {
        "item": np.arange(RUNS * SAMPLES).astype(str),
        "run": np.repeat(np.arange(RUNS).astype(str), SAMPLES),
        "time": np.tile(2.0 * np.arange(SAMPLES), RUNS),
    }
)
ALONG = {rho: np.linalg.cholesky(autoregression(SAMPLES, rho)) for rho in (FEATURES, NOISE)}


def smooth(n: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    """Draw n series, AR(1) in each run: (samples of all runs, n)."""
    fresh = rng.standard_normal((RUNS, SAMPLES, n))
    return (ALONG[rho] @ fresh).reshape(RUNS * SAMPLES, n)


def tell(sizes: np.ndarray, rng: np.random.Generator) -> Stimulus:
    """Draw a story and a model of each size; the first has a choice of two layers."""
    latents = {kind: smooth(N_LATENTS, FEATURES, rng) for kind in ("unrelated", "level", "law")}
    levels = rng.uniform(*LEVELS, len(sizes))
    growing_shares = np.interp(np.log(sizes), np.log(SIZES[[0, -1]]), GROWING)
    models = {}
    for size, level, growing in zip(sizes, levels, growing_shares, strict=True):
        known = np.hstack([latents["level"], latents["law"]])
        share = np.repeat([level, growing], N_LATENTS)
        noise = smooth(known.shape[1] + N_OTHER, FEATURES, rng)
        layers = {}
        parts = (0.5, 1.0) if not models else (1.0,)
        for layer, part in enumerate(parts):
            carried = part * share * known
            carried += np.sqrt(1 - (part * share) ** 2) * noise[:, : known.shape[1]]
            columns = np.hstack([carried, noise[:, known.shape[1] :]])
            layers[layer] = columns @ rng.standard_normal((columns.shape[1],) * 2)
        models[f"stand-in-{size:.0f}"] = Features("items", layers)
    return Stimulus(latents, models)


def target_table(kinds: list[str]) -> pd.DataFrame:
    rows = [
        {"target": f"{kind}-{roi}-{side}", "roi": f"{kind}-{roi}", "hemisphere": side}
        for kind in kinds
        for roi in ROIS
        for side in "LR"
    ]
    table = pd.DataFrame(rows)
    return table.assign(x=np.nan, y=np.nan, z=np.nan, ceiling=np.nan)


def directions(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw how the latents mix in the voxels of each ROI: alike on both sides, or not."""
    found = {}
    for kind in SIDES:
        mixed = rng.standard_normal((N_LATENTS, len(ROIS), 2))
        if kind != "unrelated":
            mixed[..., 1] = mixed[..., 0]
        found[kind] = mixed.reshape(N_LATENTS, -1) / np.sqrt(N_LATENTS)
    return found


def respond(
    stimulus: Stimulus, kinds: list[str], mixed: dict[str, np.ndarray], signal: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Draw the responses of one listener, or the mean over them: (samples, targets)."""
    parts = []
    for kind in kinds:
        noise = smooth(2 * len(ROIS), NOISE, rng)
        if kind == "noise":
            parts.append(noise)
            continue
        gain = np.tile(SIDES[kind], len(ROIS))
        followed = stimulus.latents[kind] @ mixed[kind]
        parts.append(gain * np.sqrt(signal) * followed + np.sqrt(1 - signal) * noise)
    runs = np.hstack(parts).reshape(RUNS, SAMPLES, -1)
    runs = (runs - runs.mean(axis=1, keepdims=True)) / runs.std(axis=1, keepdims=True)
    return runs.reshape(RUNS * SAMPLES, -1)


def settings(model: str, story: int) -> dict[str, Any]:
    fit = load_fits(ROOT / "config")["runs"].model_dump(mode="json")
    cell = {"dataset": f"story-{story}", "fit": "runs", "model": model, "checkpoint": "main"}
    own = {"dtype": "float64", "predictions": "average", "n_layers": 1, "rois": {}, "kind": "story"}
    return {**fit, **cell, **own, **INFERENCE, "alphas": ALPHAS}


def study(cells: list[tuple[pd.DataFrame, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Return the tables of a study of these cells."""
    about = {
        f"stand-in-{size:.0f}": {
            **dict.fromkeys(("perplexity", "benchmark", "tokens_per_step", "width"), np.nan),
            **{"role": "trained", "family": "stand-in", "final": "main", "n_params": size},
        }
        for size in SIZES
    }
    scores = statistics.collect_scores([scores for scores, _ in cells], {"models": about})
    draws = statistics.collect_draws([draws for _, draws in cells])
    scaling = statistics.fit_scaling(scores, draws)
    return {
        "scores": scores[scores["layer"] == -1],
        "scaling": scaling[scaling["predictor"] == "log10_params"],
        "lateralization": statistics.fit_lateralization(scores, draws),
    }


def ceiling_table(targets: pd.DataFrame, subjects: list[str]) -> pd.DataFrame:
    tables = [targets[["target"]].assign(subject=subject, ceiling=1.0) for subject in subjects]
    return pd.concat(tables, ignore_index=True)


def of_mean_responses() -> Iterator[dict[str, pd.DataFrame]]:
    """Yield the tables of 200 simulations of a mean response, each with its own story."""
    kinds = ["noise", "level", "law"]
    targets = target_table(kinds)
    ceilings = ceiling_table(targets, [AVERAGE])
    mixed = directions(generator("directions", SEED))
    for number in range(N):
        rng = generator("mean response", SEED, number)
        stimulus = tell(SIZES, rng)
        values = respond(stimulus, kinds, mixed, SIGNAL[AVERAGE], rng)
        one = to_dataset(values, ITEMS, targets, dataset=f"story-{number}", subject=AVERAGE)
        responses = stack_responses([one], ITEMS)
        cells = []
        for model, features in stimulus.models.items():
            spec = settings(model, number)
            fit = fit_encoding(features, responses, ITEMS, pd.DataFrame(), spec)
            cells.append(score_rois([fit], ceilings, spec))
        yield study(cells)


def of_listeners() -> Iterator[dict[str, pd.DataFrame]]:
    """Yield the tables of 200 groups of listeners, 50 to each story."""
    kinds = list(SIDES)
    targets = target_table(kinds)
    mixed = directions(generator("directions", SEED))
    per_story = N // STORIES
    for story in range(STORIES):
        rng = generator("listeners", SEED, story)
        stimulus = tell(FOR_LISTENERS, rng)
        groups = [[f"{i:02}-{j:02}" for j in range(LISTENERS)] for i in range(per_story)]
        people = [
            to_dataset(
                respond(stimulus, kinds, mixed, SIGNAL[GROUP], rng), ITEMS, targets,
                dataset=f"story-{story}", subject=label,
            )
            for group in groups
            for label in group
        ]  # fmt: skip
        responses = stack_responses(people, ITEMS)
        fits = {}
        for model, features in stimulus.models.items():
            spec = settings(model, story)
            fits[model] = fit_encoding(features, responses, ITEMS, pd.DataFrame(), spec)
        for group in groups:
            ceilings = ceiling_table(targets, group)
            cells = []
            for model, fit in fits.items():
                of_group = fit.isel(target=np.isin(fit["subject"], group))
                cells.append(score_rois([of_group], ceilings, settings(model, story)))
            yield study(cells)


# --- counting -------------------------------------------------------------------------------------


class Tested(NamedTuple):
    """A column of a study's tables that is read, and of which outcome and side."""

    name: str
    table: str
    column: str
    outcome: str | None = None
    hemisphere: str | None = None


SCORE = Tested("nested score", "scores", "p", hemisphere="both")
LATERALITY = [
    Tested("left - right", "lateralization", "p"),
    Tested("slope of left - right", "lateralization", "slope_p"),
]
LAWS = [
    Tested("law of size, score", "scaling", "p", "r", "both"),
    Tested("law of size, left - right", "scaling", "p", "difference", "both"),
]
# Levels of the models of one story are the same in its 50 simulations: no null over models.
NULLS = {
    AVERAGE: {
        "noise": [SCORE, *LATERALITY, *LAWS],
        "level": [*LATERALITY, *LAWS],
    },
    GROUP: {
        "noise": [SCORE, *LATERALITY],
        "level": LATERALITY,
        "unrelated": [SCORE, *LATERALITY],
    },
}
SLOPES = [("r", "L"), ("r", "R"), ("difference", "both")]


def read(tables: dict[str, pd.DataFrame], subject: str, kind: str, tested: Tested) -> np.ndarray:
    """Return the values of one column for the seven ROIs of a kind; of one model where several."""
    rows = tables[tested.table]
    rows = rows[rows["subject"] == subject]
    if tested.outcome is not None:
        rows = rows[rows["outcome"] == tested.outcome]
    if tested.hemisphere is not None:
        rows = rows[rows["hemisphere"] == tested.hemisphere]
    by_roi = rows.groupby("roi")[tested.column].first()
    return by_roi.loc[[f"{kind}-{roi}" for roi in ROIS]].to_numpy(float)


def calibrate(subject: str, simulations: Iterator[dict[str, pd.DataFrame]]) -> bool:
    found = list(simulations)
    turn = np.arange(N) % len(ROIS)
    passed = True
    for kind, tests in NULLS[subject].items():
        for tested in tests:
            p = np.array([read(tables, subject, kind, tested) for tables in found])
            kept = report_rejections(f"{subject}, {kind}: {tested.name}", p <= 0.05, turn)
            passed &= kept or kind == "unrelated"
    for outcome, side in SLOPES:
        slope, low, high = (
            np.array(
                [
                    read(tables, subject, "law", Tested("", "scaling", column, outcome, side))
                    for tables in found
                ]
            )
            for column in ("slope", "ci_low", "ci_high")
        )
        # What the whole procedure gives on the average: of each story, where it is told 50 times.
        stories = slope.reshape(1 if subject == AVERAGE else STORIES, -1, len(ROIS))
        truth = np.broadcast_to(stories.mean(axis=1, keepdims=True), stories.shape)
        truth = truth.reshape(slope.shape)
        share = ((low <= truth) & (truth <= high)).mean()
        name = f"{subject}, law: slope of {outcome} {side}"
        print(f"{name:58}{'':20}{share:9.1%}", flush=True)
        passed &= COVERAGE[0] <= share <= COVERAGE[1]
    return passed


def report_rejections(name: str, rejected: np.ndarray, turn: np.ndarray) -> bool:
    in_turn = int(rejected[np.arange(len(turn)), turn].sum())
    mean = rejected.sum(axis=0).mean()
    print(f"{name:58}{in_turn:10}{mean:10.1f}", flush=True)
    return max(in_turn, mean) <= MOST_REJECTIONS


def sides() -> bool:
    print(f"{'encoders of 9 runs, 7 ROIs and sides':58}{'rejections of 200':>20}{'coverage':>9}")
    print(f"{'':58}{'in turn':>10}{'mean':>10}")
    return calibrate(AVERAGE, of_mean_responses()) & calibrate(GROUP, of_listeners())
