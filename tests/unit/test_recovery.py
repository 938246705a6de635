"""The closed forms that `make recovery` compares with, beside simulated brains and encoders."""

import numpy as np
import pandas as pd
import pytest
from expected_scores import expected_ceilings, expected_scores
from planted_brains import N_LATENTS, Brain, Heard, Listeners

from lmcortex import ceilings
from lmcortex.encoding import Features, fit_encoding, stack_responses
from lmcortex.encoding.design import sample_operators, scale_columns
from lmcortex.responses import AVERAGE, to_dataset
from lmcortex.simulation import planted

N_VOXELS, N_RUNS, N_SAMPLES, TR = 2000, 4, 90, 2.0


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def heard(rng: np.random.Generator) -> Heard:
    times = np.tile(TR * np.arange(N_SAMPLES), N_RUNS)
    names = np.arange(N_RUNS).astype(str)
    items = pd.DataFrame({"run": np.repeat(names, N_SAMPLES), "time": times})
    items["item"] = items.index.astype(str)
    onsets = np.tile(np.arange(0, TR * N_SAMPLES, 0.4), N_RUNS)
    words = pd.DataFrame({"run": np.repeat(names, len(onsets) // N_RUNS), "onset": onsets})
    runs = planted.runs_of("story", items, words.assign(duration=0.3))
    latents = planted.draw(runs, 2 * N_LATENTS, rng)
    return Heard(items, words.assign(duration=0.3), runs, latents)


@pytest.fixture(scope="module")
def brain(rng: np.random.Generator) -> Brain:
    """Voxels that all follow the same signal, half of which is known, with the same ceiling."""
    weights = rng.standard_normal((2 * N_LATENTS, 1))
    weights *= np.sqrt(0.5) / np.linalg.norm(weights)
    targets = pd.DataFrame({"target": np.arange(N_VOXELS).astype(str), "hemisphere": "L"})
    targets = targets.assign(roi="brain", x=0.0, y=0.0, z=0.0, ceiling=np.nan)
    return Brain(targets, np.full(N_VOXELS, 0.7), np.tile(weights, N_VOXELS), {})


@pytest.mark.parametrize("width", [40, 400])  # fewer and more columns than training samples
@pytest.mark.parametrize("choice", ["each", "common"])
def test_expected_scores_are_the_mean_over_simulated_brains(rng, heard, brain, width, choice):
    mixing = rng.standard_normal((2 * N_LATENTS, width)) / np.sqrt(2 * N_LATENTS)
    states = heard.latents / heard.latents.std() @ mixing
    states += rng.standard_normal(states.shape)
    mean = Listeners(brain, heard, 6).mean()
    one = to_dataset(mean, heard.items, brain.targets, dataset="toy", subject=AVERAGE)
    alphas = {"low": 1, "high": 4, "n": 4, "scale": "none", "choice": choice}
    spec = {
        **{"dataset": "toy", "fit": "runs", "model": "m", "checkpoint": "main", "kind": "story"},
        **{"alphas": alphas, "folds": {"scheme": "runs"}, "nuisance": [], "response": "glover"},
        **{"dtype": "float64", "predictions": "average"},
    }
    responses = stack_responses([one], heard.items)
    features = Features("words", {0: states})
    fit = fit_encoding(features, responses, heard.items, heard.words, spec)
    [to_samples] = sample_operators("words", heard.items, heard.words, spec)
    columns, _ = scale_columns(to_samples(states), heard.items["run"].to_numpy())
    found = fit["r_test"].to_numpy()[0]
    expected = expected_scores(
        columns,
        planted.seen(heard.runs, heard.latents),
        brain,
        np.logspace(1, 4, 4)[fit["alpha_index"].to_numpy()[0]],
        fit["test_fold"].to_numpy(),
    )
    error = found.mean(axis=0) - expected.mean
    assert expected.mean.mean() > 0.05
    assert abs(error.mean()) < expected.bias.mean() + 4 * error.std() / np.sqrt(N_VOXELS)
    # Folds share training samples, so that the variance of their mean is up to twice as large.
    assert 0.8 < error.var() / expected.variance.mean() < 2 * (1 + 4 * np.sqrt(2 / N_VOXELS))


def test_expected_ceilings_are_the_mean_over_simulated_brains(heard, brain):
    listeners = Listeners(brain, heard, 6)
    found = ceilings.spearman_brown(ceilings.pairwise(listeners), 6) ** 2
    mean, sd = expected_ceilings(brain, heard)
    # The noise of 6 listeners' mean is known from 5 differences for each sample.
    sd = np.hypot(sd, (1 - brain.ceiling**2) * np.sqrt(2 / 5 / len(heard.items)))
    assert found.mean() == pytest.approx(mean.mean(), abs=4 * sd.mean() / np.sqrt(N_VOXELS))
    assert found.std() == pytest.approx(sd.mean(), rel=0.1)
