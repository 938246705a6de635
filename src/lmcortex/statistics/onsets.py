"""Do temporal regions come to be predicted earlier in training, and more steadily, than frontal?"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.inference import interval
from lmcortex.seeds import generator
from lmcortex.statistics.collect import nested_with_draws, table
from lmcortex.statistics.lines import ROLES
from lmcortex.statistics.training import MIN_STEPS, measure_growth, monotone_fit

LOBES = ("temporal", "frontal")
MEASURED = "as measured"
NOISE = ("matched", MEASURED)
# Steps are compared on a log scale: 0.3 is twice as late.
LOGARITHMIC = ("onset50", "onset90")
MEASURES = (*LOGARITHMIC, "late_gain", "variability")
UNIT = ["dataset", "fit", "subject", "model", "hemisphere"]
COLUMNS = [
    *UNIT,
    *("role", "family", "n_params", "measure", "noise"),
    *(*LOBES, "difference", "ci_low", "ci_high", "share_defined"),
    "n_checkpoints",
]


def contrast_onsets(
    scores: pd.DataFrame, draws: pd.DataFrame, spec: Mapping[str, Any]
) -> pd.DataFrame:
    """Compare the learning curves of temporal and of frontal regions.

    The curve of a lobe is the mean nested score of its regions at each step.

    Parameters
    ----------
    scores, draws : the study's tables.
    spec : `lobes`, for each dataset the regions that are `temporal` and `frontal`; `seed`.

    Returns
    -------
    One row per dataset, fit, subject (`group`, `average`), hemisphere, model with at least four
    steps, measure (of `training.measure_growth`; onsets as log10 steps) and noise: temporal minus
    frontal, with the interval of the paired draws.

    A noisy curve seems to rise late. Under `matched` noise, the curve that is less noisy beside its
    rise gets as much noise added, in each draw, as makes it as noisy as the other; values are then
    medians over draws. `share_defined` is the share of draws in which both curves rise and the
    measure is defined.
    """
    nested = nested_with_draws(scores, draws)
    nested = nested[nested["role"].isin(ROLES) & nested["step"].notna()]
    rows: list[dict[str, Any]] = []
    for key, group in nested.groupby(UNIT, sort=True):
        unit = dict(zip(UNIT, key, strict=True))
        lobes = spec["lobes"].get(unit["dataset"], {})
        members = [group[group["roi"].isin(lobes.get(lobe, []))] for lobe in LOBES]
        steps = np.unique(group["step"].to_numpy(float))
        if len(steps) < MIN_STEPS or any(member.empty for member in members):
            continue
        about = {name: group[name].iloc[0] for name in ("role", "family", "n_params")}
        rng = generator("matched noise", *map(str, key), spec["seed"])
        for row in contrast_curves([lobe_curve(member) for member in members], steps, rng):
            rows.append({**unit, **about, **row, "n_checkpoints": len(steps)})
    return table(rows, COLUMNS)


def contrast_curves(
    curves: list[tuple[np.ndarray, np.ndarray]], steps: np.ndarray, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Yield a row per measure and noise: the first curve minus the second.

    Parameters
    ----------
    curves : two of (n_steps,) with their draws (n_draws, n_steps).
    """
    measured = [measure_growth(curve[None], steps) for curve, _ in curves]
    resampled = [draws for _, draws in curves]
    matched = match_noise([curve for curve, _ in curves], resampled, rng)
    for noise, drawn in zip(NOISE, (matched, resampled), strict=True):
        by_draw = [measure_growth(draws, steps) for draws in drawn]
        for measure in MEASURES:
            values = [scale(measure, found[measure]) for found in by_draw]
            differences = values[0] - values[1]
            defined = np.isfinite(differences)
            low, high = interval(differences[defined]) if defined.any() else (np.nan, np.nan)
            if noise == MEASURED:
                temporal, frontal = (float(scale(measure, found[measure])[0]) for found in measured)
            else:
                temporal, frontal = (
                    float(np.median(value[defined])) if defined.any() else np.nan
                    for value in values
                )
            yield {
                "measure": measure,
                "noise": noise,
                "temporal": temporal,
                "frontal": frontal,
                "difference": temporal - frontal,
                "ci_low": low,
                "ci_high": high,
                "share_defined": float(defined.mean()),
            }


def scale(measure: str, values: np.ndarray) -> np.ndarray:
    return np.log10(values) if measure in LOGARITHMIC else values


def lobe_curve(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return a lobe's mean scores (n_steps,) and its draws (n_draws, n_steps), steps rising."""
    by_step = [group for _, group in rows.groupby("step", sort=True)]
    curve = np.array([group["r"].mean() for group in by_step])
    draws = np.stack([np.mean(list(group["draws"]), axis=0) for group in by_step], axis=1)
    return curve, draws.astype(float)


def match_noise(
    curves: list[np.ndarray], draws: list[np.ndarray], rng: np.random.Generator
) -> list[np.ndarray]:
    """Add noise to the draws of the curve that is less noisy beside its rise.

    Parameters
    ----------
    curves : arrays (n_steps,).
    draws : arrays (n_draws, n_steps), of the same curves.
    """
    rises = [float(np.ptp(monotone_fit(curve[None]))) for curve in curves]
    errors = [float(drawn.std(axis=0).mean()) for drawn in draws]
    if min(rises) <= 0:
        return draws
    worst = max(error / rise for error, rise in zip(errors, rises, strict=True))
    matched = []
    for drawn, error, rise in zip(draws, errors, rises, strict=True):
        missing = np.sqrt(max((worst * rise) ** 2 - error**2, 0.0))
        matched.append(drawn + missing * rng.standard_normal(drawn.shape))
    return matched
