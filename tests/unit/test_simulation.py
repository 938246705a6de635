"""Simulated data hold what they say they hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from lmcortex import ceilings
from lmcortex.errors import InputError
from lmcortex.responses import average
from lmcortex.simulation import planted, recovery, signals, text
from lmcortex.statistics.training import measure_growth
from lmcortex.suite.text import pydoc_passages, split_passages

DATASETS = Path(__file__).resolve().parents[2] / "config" / "datasets"
KINDS = ("sentences", "story")
REGIONS = ("frontal", "temporal")


class Dataset:
    """A simulated dataset, with made-up states of a network of five layers."""

    def __init__(self, kind: str):
        settings = yaml.safe_load((DATASETS / f"simulated-{kind}.yaml").read_text("utf-8"))
        self.kind, self.settings = kind, {**settings, "n_subjects": len(settings["subjects"])}
        stimuli = settings["stimuli"]
        if kind == "story":
            self.items, self.words = text.simulate_story(stimuli, settings["tr"])
        else:
            self.items, self.words = text.simulate_sentences(stimuli)
        self.runs = planted.runs_of(kind, self.items, self.words)
        self.latents, self.regions = planted.draw_latents(
            self.runs, settings["regions"], stimuli["latents"], stimuli["seed"]
        )
        self.states = residual_stream(len(self.latents))

    def respond(self, subject: str, **changes: Any):
        spec = {
            "dataset": "simulated",
            "regions": self.settings["regions"],
            "signal": {**self.settings["signal"], **changes},
        }
        latents = planted.by_region(self.latents, self.regions)
        return signals.simulate_responses(
            self.items, self.runs, latents, self.states, subject, spec
        )

    def features(self, model: str, checkpoint: str) -> list[np.ndarray]:
        spec = {"model": model, "checkpoint": checkpoint, "planted": self.settings["planted"]}
        return planted.planted_features(self.latents, self.regions, self.runs, spec)


def residual_stream(n_rows: int) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(0)
    layers = [rng.standard_normal((n_rows, 20)) @ rng.standard_normal((20, 48))]
    for _ in range(4):
        inputs, outputs = rng.standard_normal((2, 48, 48))
        layers.append(layers[-1] + np.tanh(layers[-1] @ inputs / 7) @ outputs)
    return dict(enumerate(layers))


def multiple_r(features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the correlation of the best linear readout with each column that is wanted."""
    centred = features - features.mean(axis=0)
    read = centred @ np.linalg.lstsq(centred, wanted - wanted.mean(axis=0))[0]
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(read.T, wanted.T, strict=True)])


@pytest.fixture(scope="module", params=KINDS)
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return Dataset(request.param)


@pytest.fixture(scope="module")
def sentences() -> Dataset:
    return Dataset("sentences")


@pytest.fixture(scope="module")
def story() -> Dataset:
    return Dataset("story")


# --- text -----------------------------------------------------------------------------------------


def test_sentences_are_different_and_of_the_stated_length(sentences: Dataset):
    texts = sentences.items["text"]
    fewest, most = sentences.settings["stimuli"]["words"]
    assert texts.is_unique
    assert texts.str.split().str.len().between(fewest, most).all()


def test_no_sentence_stands_in_the_training_text(sentences: Dataset):
    held_out = sentences.settings["stimuli"]["held_out"]
    training = "\n".join(split_passages(pydoc_passages(), held_out)[0])
    assert not any(sentence in training for sentence in sentences.items["text"])


def test_words_joined_are_the_sentences(sentences: Dataset):
    words = sentences.words
    joined = (words["before"] + words["word"]).groupby(words["item"], sort=False).sum()
    assert joined.tolist() == sentences.items["text"].tolist()


def test_too_few_sentences_are_refused(sentences: Dataset):
    settings = {**sentences.settings["stimuli"], "words": [300, 400]}
    with pytest.raises(InputError, match="0 held-out sentences of 300 to 400 words"):
        text.simulate_sentences(settings)


def test_story_is_spoken_word_after_word_within_its_run(story: Dataset):
    for _, words in story.words.groupby("run"):
        ends = words["onset"] + words["duration"]
        assert (words["onset"].to_numpy()[1:] >= ends.to_numpy()[:-1] - 1e-9).all()
        assert ends.max() < story.items["time"].max()


def test_story_is_spoken_at_a_natural_rate(story: Dataset):
    spans = story.words.groupby("run")["onset"].agg(["count", "min", "max"])
    rate = spans["count"].sum() / (spans["max"] - spans["min"]).sum()
    assert 2 < rate < 3


def test_a_story_longer_than_the_text_is_refused(story: Dataset):
    with pytest.raises(InputError, match="the held-out text ends in run"):
        text.simulate_story({**story.settings["stimuli"], "runs": 50}, 2.0)


# --- planted models -------------------------------------------------------------------------------


def test_latents_are_orthonormal_in_every_run_as_the_encoder_sees_them(dataset: Dataset):
    heard = planted.seen(dataset.runs, dataset.latents)
    for run in dataset.runs:
        covariance = np.cov(heard[run.samples], rowvar=False, bias=True)
        assert np.allclose(covariance, np.eye(len(dataset.regions)), atol=1e-9)


@pytest.mark.parametrize("checkpoint", ["main", "step64"])
def test_features_carry_the_stated_share_of_the_latents(dataset: Dataset, checkpoint: str):
    settings, n_params = dataset.settings["planted"], dataset.settings["planted"]["sizes"][1]
    _, step = planted.parse(f"planted-{n_params}", checkpoint)
    heard = planted.seen(dataset.runs, dataset.latents)
    shares = [planted.share(settings, n_params, step, region) for region in dataset.regions]
    for layer, features in enumerate(dataset.features(f"planted-{n_params}", checkpoint)):
        carried = multiple_r(planted.seen(dataset.runs, features), heard)
        assert np.allclose(carried, [share[layer] for share in shares], atol=1e-4)


def test_share_grows_by_the_slope_with_each_tenfold_of_parameters(dataset: Dataset):
    settings = dataset.settings["planted"]
    small, large = (planted.share(settings, n, None, "temporal").max() for n in (10**7, 10**8))
    assert large - small == pytest.approx(settings["share"]["slope"])


@pytest.mark.parametrize("region", REGIONS)
def test_half_is_learnt_at_the_onset_nothing_at_the_start_and_all_in_the_end(region: str):
    learning = {"onset50": {"temporal": 32, "frontal": 500}, "width": 0.25}
    assert planted.learnt(learning, learning["onset50"][region], region) == pytest.approx(0.5)
    assert planted.learnt(learning, 0, region) == 0
    assert planted.learnt(learning, 10**9, region) == pytest.approx(1)


def test_planted_onset_is_at_a_step_that_is_clearly_past_half(dataset: Dataset):
    """Or else noise would decide which of two steps comes first."""
    learning = dataset.settings["planted"]["learning"]
    steps = np.array(learning["steps"])
    for region, onset in (("temporal", 64), ("frontal", 1000)):
        curve = np.array([planted.learnt(learning, step, region) for step in steps])
        assert measure_growth(curve[None], steps)["onset50"][0] == onset
        assert (np.abs(curve - 0.5) > 0.2).all()


def test_a_share_above_one_is_refused():
    settings = {"share": {"intercept": 0, "slope": 0.2}, "layers": [1], "learning": {}}
    with pytest.raises(InputError, match=r"10000000000 parameters give a share of 2\.00"):
        planted.share(settings, 10**10, None, "temporal")


def test_another_name_is_no_planted_model():
    with pytest.raises(InputError, match="model `gpt2`: expected planted-"):
        planted.parse("gpt2", "main")


# --- responses ------------------------------------------------------------------------------------


def test_the_mean_of_many_subjects_holds_the_stated_share_of_the_latents(dataset: Dataset):
    """Noise of 0: r is the closed form itself, gain by gain."""
    response = dataset.respond("01", noise=0.0)
    heard = planted.seen(dataset.runs, dataset.latents)
    signal = dataset.settings["signal"]
    for region in REGIONS:
        rois = list(dataset.settings["regions"][region])
        own = heard[:, np.array(dataset.regions) == region]
        for side in ("L", "R"):
            chosen = response["roi"].isin(rois) & (response["hemisphere"] == side)
            carried = multiple_r(own, response["response"].to_numpy()[:, chosen.to_numpy()])
            assert np.allclose(carried, signals.expected_score(signal, region, side, 1.0))


def test_noise_gives_the_stated_ceilings(dataset: Dataset):
    """Spearman-Brown for the mean, leave-one-out for one subject."""
    labels = dataset.settings["subjects"]
    subjects = [dataset.respond(label) for label in labels]
    table = ceilings.estimate(subjects)[0]
    mean = table.groupby(table["subject"] == "average")["ceiling"].mean()
    signal, n = dataset.settings["signal"], len(labels)
    alone = signals.expected_ceiling(signal, 1)
    assert mean[True] == pytest.approx(signals.expected_ceiling(signal, n), abs=0.01)
    assert mean[False] == pytest.approx(alone * signals.expected_ceiling(signal, n - 1), abs=0.02)
    assert np.isfinite(average(subjects)["response"]).all()


def test_left_exceeds_right_in_temporal_regions_only(sentences: Dataset):
    gain = sentences.settings["signal"]["gain"]
    assert gain["temporal"]["L"] > gain["temporal"]["R"]
    assert gain["frontal"]["L"] == gain["frontal"]["R"]


def test_noise_of_a_story_is_autocorrelated_as_stated(story: Dataset):
    stated = {"seed": 0, "autocorrelation": 0.4}
    noise = signals.subject_noise(story.runs, 200, stated, "01")[story.runs[0].samples]
    lagged = np.mean(noise[1:] * noise[:-1]) / np.mean(noise**2)
    assert lagged == pytest.approx(0.4, abs=0.03)
    assert noise.var() == pytest.approx(1, abs=0.05)


def test_simulation_repeats_itself_and_subjects_differ(sentences: Dataset):
    first, again, other = (sentences.respond(label)["response"] for label in ("01", "01", "02"))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_responses_match_the_items_and_are_standardised_in_every_run(dataset: Dataset):
    response = dataset.respond("01")
    assert response["item"].to_numpy().tolist() == dataset.items["item"].tolist()
    for run in dataset.runs:
        values = response["response"].to_numpy()[run.samples]
        assert np.allclose(values.mean(axis=0), 0) and np.allclose(values.std(axis=0), 1)


def test_targets_are_mirror_images_on_the_2_mm_grid():
    targets = signals.target_table({"temporal": {"PostTemp": [-54, -42, 4]}}, 3)
    left, right = (targets[targets["hemisphere"] == side] for side in ("L", "R"))
    assert (left["x"] < 0).all()
    assert np.array_equal(left[["x", "y", "z"]].to_numpy() * [-1, 1, 1], right[["x", "y", "z"]])
    assert (targets[["x", "y", "z"]] % 2 == 0).all(axis=None)
    assert not targets[["x", "y", "z"]].duplicated().any()


def test_the_planted_layer_predicts_its_projection_best(dataset: Dataset):
    """Ridge of another kind than the one that chose it: all of the other half, another penalty."""
    states = {
        layer: signals.scale(planted.seen(dataset.runs, values), dataset.runs)
        for layer, values in dataset.states.items()
    }
    none = np.empty((len(dataset.items), 0))
    wanted = signals.layer_projection(states, 2, none, dataset.runs)
    half = np.arange(len(wanted)) % 2 == 0
    scores = {}
    for layer, values in states.items():
        penalty = 30 * np.eye(values.shape[1])
        weights = np.linalg.solve(
            values[half].T @ values[half] + penalty, values[half].T @ wanted[half]
        )
        scores[layer] = np.corrcoef(values[~half] @ weights, wanted[~half])[0, 1]
    assert max(scores, key=lambda layer: scores[layer]) == 2


def test_too_much_variance_is_refused(sentences: Dataset):
    with pytest.raises(InputError, match="of the variance, expected 1 at most"):
        sentences.respond("01", variance={"states": 1.2, "latents": 0.5})


def test_a_layer_that_the_model_lacks_is_refused(sentences: Dataset):
    with pytest.raises(InputError, match="9 is not among layers 0 to 4"):
        sentences.respond("01", states={"layer": 9})


# --- recovery -------------------------------------------------------------------------------------


def noiseless_tables(settings: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Make the study's tables as they would be without noise, with intervals of +-0.01."""
    signal, sizes = settings["signal"], settings["planted"]["sizes"]
    ceiling = signals.expected_ceiling(signal, settings["n_subjects"])
    model, onsets = f"planted-{max(sizes)}", {"temporal": 64.0, "frontal": 1000.0}
    # r / ceiling = gain * sqrt(variance) * (intercept + slope * log10 parameters), written out.
    per_share = {
        (region, side): signal["gain"][region][side] * np.sqrt(signal["variance"]["latents"])
        for region in REGIONS
        for side in ("L", "R")
    }
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in recovery_tables()}
    for region, rois in settings["regions"].items():
        for roi in rois:
            here = {"dataset": "d", "fit": "f", "subject": "average", "roi": roi}
            sides = {side: 0.95 * per_share[region, side] * ceiling for side in ("L", "R")}
            for side, r in sides.items():
                place = {**here, "hemisphere": side}
                final = {"checkpoint": "main", "final": True, "ceiling": ceiling}
                for name, role, best in ((model, "planted", 3), ("suite-l", "trained", 2)):
                    known = {**place, **final, "model": name, "role": role}
                    for layer in range(5):
                        chosen = float(layer == best)
                        score = {"layer": layer, "r": r * (0.5 + 0.5 * chosen)}
                        rows["scores"].append({**known, **score, "selected_share": chosen})
                    rows["scores"].append({**known, "layer": -1, "r": r} | around("", r))
                slope = 0.1 * per_share[region, side]
                scale = {"role": "planted", "outcome": "r_normalized", "predictor": "log10_params"}
                rows["scaling"].append({**place, **scale, "slope": slope} | around("", slope))
                onset = {"model": model, "onset50": onsets[region]}
                rows["training"].append({**place, **onset} | around("onset50_", onsets[region]))
            for name in (model, "suite-l"):
                known = {**here, "model": name, "checkpoint": "main"}
                gap = sides["L"] - sides["R"]
                rows["lateralization"].append({**known, "difference": gap} | around("", gap))
    return {name: pd.DataFrame(content) for name, content in rows.items()}


def recovery_tables() -> tuple[str, ...]:
    return ("scores", "scaling", "lateralization", "training")


def around(name: str, value: float) -> dict[str, float]:
    return {f"{name}ci_low": value - 0.01, f"{name}ci_high": value + 0.01}


def recover(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> pd.DataFrame:
    pooling = settings["signal"]["states"]["pooling"]
    spec = {"datasets": {"d": settings}, "poolings": {"f": pooling}}
    return recovery.recover(*(tables[name] for name in recovery_tables()), spec)


def test_tables_without_noise_recover_every_effect(dataset: Dataset):
    table = recover(noiseless_tables(dataset.settings), dataset.settings)
    assert table["inside"].all()
    exact = table[table["unit"] != "sign"]
    assert np.allclose(exact["recovered"], exact["planted"], atol=1e-3)
    counts = table["effect"].value_counts().to_dict()
    both, sided = 4, 8
    assert counts == {
        "layer": 2 * both,
        "score": sided,
        "size_slope": sided,
        "hemisphere": both,
        "hemisphere_sign": both,
        "onset50": sided,
    }


def test_a_wrong_result_is_said_to_be_outside(sentences: Dataset):
    tables = noiseless_tables(sentences.settings)
    tables["scaling"][["slope", "ci_low", "ci_high"]] += 0.05
    tables["lateralization"][["difference", "ci_low", "ci_high"]] *= -1
    table = recover(tables, sentences.settings)
    wrong = set(table.loc[~table["inside"], "effect"])
    assert wrong == {"size_slope", "hemisphere", "hemisphere_sign"}


def test_another_pooling_than_the_planted_one_says_nothing_of_the_language_model(
    sentences: Dataset,
):
    tables = noiseless_tables(sentences.settings)
    settings = {**sentences.settings}
    spec = {"datasets": {"d": settings}, "poolings": {"f": "last"}}
    table = recovery.recover(*(tables[name] for name in recovery_tables()), spec)
    assert "suite-l" not in set(table["model"])
