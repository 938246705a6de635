"""Entropy and curvature: closed forms, and the whole path against a loop over sentences."""

import json
import math
import runpy
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_features import SENTENCES, make, saved

from lmcortex import features, geometry, storage
from lmcortex.errors import InputError
from lmcortex.features.grams import token_gram
from lmcortex.geometry import CURVATURES, ENTROPIES, KEY, MEASURES
from lmcortex.geometry.measure import measure_gram

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
# Every definition written out for one sentence, also what the benchmark compares with.
sentence_loop = runpy.run_path(str(ROOT / "benchmarks" / "geometry.py"))["sentence_loop"]


def entropy(states: Any) -> dict[str, float]:
    """Return each variant (nats) for one sentence (tokens x width)."""
    values, _ = geometry.entropies(gram(states))
    return dict(zip(ENTROPIES, values[:, 0].tolist(), strict=True))


def curvature(states: Any) -> dict[str, float]:
    """Return each variant (degrees) for one sentence (tokens x width)."""
    values, _ = geometry.curvatures(gram(states))
    return dict(zip(CURVATURES, values[:, 0].tolist(), strict=True))


def gram(states: Any) -> torch.Tensor:
    return token_gram(torch.as_tensor(np.asarray(states, dtype=np.float32))[None])


def means(states: np.ndarray) -> dict[str, float]:
    """Return the mean over sentences (sentences x tokens x width) of every variant."""
    values, _ = measure_gram(token_gram(torch.from_numpy(states)))
    names = [f"{variant} {unit}" for _, variant, unit in MEASURES]
    names += [f"{name} without" for name in names]
    return dict(zip(names, values.mean(-1).flatten().tolist(), strict=True))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def independent(rng) -> np.ndarray:
    """300 sentences of 7 independent tokens, width 1024."""
    return rng.standard_normal((300, 7, 1024))


# --- entropy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["raw", "normalised"])
def test_equal_states_have_no_entropy(variant):
    assert entropy([[3.0, -1.0, 0.5]] * 6)[variant] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("variant", ["raw", "normalised"])
def test_orthogonal_states_have_the_log_of_their_number(variant):
    assert entropy(2.5 * np.eye(6, 9))[variant] == pytest.approx(math.log(6), abs=1e-12)


def test_orthogonal_states_centred_lose_a_direction():
    found = entropy(np.eye(6, 9))
    assert found["centred"] == pytest.approx(math.log(5), abs=1e-12)
    assert found["skean"] == pytest.approx(math.log(6), abs=1e-12)


def test_two_states_have_the_entropy_of_their_cosine():
    states = [[1.0, 0.0], [3.0, 4.0]]  # lengths 1 and 5, cosine 0.6
    p = 0.8
    expected = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert entropy(states)["normalised"] == pytest.approx(expected)
    # K = [[1, 3], [3, 25]]: trace 26, determinant 16.
    p = (1 + math.sqrt(1 - 4 * 16 / 26**2)) / 2
    expected = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert entropy(states)["raw"] == pytest.approx(expected)


def test_independent_states_have_the_reference_values(independent):
    found = means(independent)
    expected = {"raw": 1.942, "normalised": 1.943, "centred": 1.789, "skean": 1.946}
    for variant, value in expected.items():
        assert found[f"{variant} nats"] == pytest.approx(value, abs=0.002)
        assert found[f"{variant} log tokens"] == pytest.approx(value / math.log(7), abs=0.002)


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (10, {"raw": 0.32, "normalised": 1.943, "centred": 0.958, "skean": 1.323}),
        (100, {"raw": 0.006, "normalised": 1.943, "centred": 0.029, "skean": 0.438}),
    ],
)
def test_a_huge_first_token_takes_the_entropy_down(independent, factor, expected):
    independent[:, 0] *= factor
    found = means(independent)
    for variant, value in expected.items():
        assert found[f"{variant} nats"] == pytest.approx(value, rel=0.05)
    assert found["raw nats without"] == pytest.approx(math.log(6), abs=0.01)


def test_one_token_has_no_entropy_and_nothing_to_compare_it_with():
    assert entropy([[2.0, 1.0]])["raw"] == 0
    assert entropy([[2.0, 1.0]])["normalised"] == 0
    assert math.isnan(entropy([[2.0, 1.0]])["centred"])
    assert math.isnan(means(np.ones((1, 1, 2)))["raw log tokens"])


def test_states_of_zeros_are_left_out_and_counted(rng):
    states = rng.standard_normal((5, 8))
    with_zero = np.insert(states, 2, 0, axis=0)
    _, n_tokens = geometry.entropies(gram(with_zero))
    assert n_tokens[:2, 0].tolist() == [5, 5]
    for variant in ("raw", "normalised"):
        assert entropy(with_zero)[variant] == pytest.approx(entropy(states)[variant])


def test_equal_states_leave_nothing_once_centred(rng):
    states = np.repeat(rng.standard_normal((1, 300)) * 1e3, 7, axis=0)
    values, n_tokens = geometry.entropies(gram(states))
    assert torch.isnan(values[2:, 0]).all()
    assert n_tokens[:, 0].tolist() == [7, 7, 0, 0]


def test_rounding_does_not_pass_for_a_direction(rng):
    one, other = rng.standard_normal((2, 300))
    halfway = [one, (one + other) / 2, other]  # the mean, up to the states' float32
    values, n_tokens = geometry.entropies(gram(halfway))
    assert n_tokens[:, 0].tolist() == [3, 3, 2, 2]
    assert values[2, 0] == pytest.approx(0, abs=1e-6)


# --- curvature ------------------------------------------------------------------------------------


def test_a_straight_line_does_not_turn(rng):
    start, direction = rng.standard_normal((2, 50))
    line = start + np.array([0.0, 1, 3, 4, 8])[:, None] * direction
    assert curvature(line)["steps"] == pytest.approx(0, abs=0.05)  # the states are float32


def test_going_back_and_forth_turns_by_half_a_circle():
    assert curvature([[0.0], [1], [0], [1], [0]])["steps"] == pytest.approx(180)


def test_a_polygon_turns_by_its_outer_angle():
    places = 2 * np.pi * np.arange(9) / 9
    polygon = np.stack([np.cos(places), np.sin(places)], axis=1)
    assert curvature(polygon)["steps"] == pytest.approx(40, abs=1e-4)
    assert curvature(polygon)["tokens"] == pytest.approx(40, abs=1e-4)


def test_a_random_walk_turns_by_90_degrees(independent):
    assert means(independent.cumsum(axis=1))["steps degrees"] == pytest.approx(90, abs=1)


def test_independent_states_turn_by_120_degrees(independent):
    found = means(independent)
    assert found["steps degrees"] == pytest.approx(120, abs=1)
    assert found["tokens degrees"] == pytest.approx(99.6, abs=0.2)


def test_a_huge_first_token_moves_one_angle_of_five(independent):
    independent[:, 0] *= 100
    found = means(independent)
    assert found["steps degrees"] == pytest.approx((90 + 4 * 120) / 5, abs=1)
    assert found["steps degrees without"] == pytest.approx(120, abs=1)


def test_a_repeated_token_is_left_out_of_the_angles_and_counted(rng):
    a, b, c, d = rng.standard_normal((4, 30))
    twice = [a, b, b, c, d]  # steps ab, 0, bc, cd: only the last two make an angle
    values, n_zero = geometry.curvatures(gram(twice))
    assert values[0, 0] == pytest.approx(curvature([b, c, d])["steps"], abs=1e-4)
    assert n_zero[0, 0] == 1


@pytest.mark.parametrize("n_tokens", [1, 2])
def test_too_few_tokens_have_no_angle(rng, n_tokens):
    found = curvature(rng.standard_normal((n_tokens, 5)))
    assert math.isnan(found["steps"])
    assert math.isnan(found["tokens"]) == (n_tokens < 2)


def test_a_path_that_stands_still_has_no_angle(rng):
    states = np.repeat(rng.standard_normal((1, 300)), 6, axis=0)
    values, n_zero = geometry.curvatures(gram(states))
    assert torch.isnan(values).all()
    assert n_zero[:, 0].tolist() == [5, 6]


# --- what changes a measure, and what does not ----------------------------------------------------


def changed_by(states: np.ndarray, other: np.ndarray) -> set[str]:
    one, two = means(states[None]), means(other[None])
    return {name for name in one if one[name] != pytest.approx(two[name], abs=1e-4)}


@pytest.fixture
def states(rng) -> np.ndarray:
    return (rng.standard_normal((8, 12)) + 0.5).astype(np.float64)


def test_a_rotation_changes_nothing(states, rng):
    rotation = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    assert not changed_by(states, states @ rotation)


def test_a_common_scale_changes_nothing(states):
    assert not changed_by(states, 1000 * states)


def test_a_shift_changes_only_the_entropies_that_are_not_centred(states):
    assert {name.split()[0] for name in changed_by(states, states + 2)} == {"raw", "normalised"}


def test_a_scale_for_each_token_leaves_the_normalised_entropy_alone(states, rng):
    scales = rng.uniform(0.5, 2, (8, 1))
    changed = changed_by(states, scales * states)
    assert {name.split()[0] for name in changed} == {"raw", "centred", "skean", "steps", "tokens"}


def test_the_order_of_tokens_matters_to_curvature_only(states):
    changed = changed_by(states, states[[0, 3, 1, 7, 5, 2, 4, 6]])
    assert {name.split()[0] for name in changed} == {"steps", "tokens"}


# --- batches against a loop -----------------------------------------------------------------------


@pytest.mark.parametrize("n_tokens", [1, 2, 3, 4, 8, 25])
def test_batches_equal_a_loop_over_sentences(rng, n_tokens):
    states = rng.standard_normal((6, n_tokens, 40)) * rng.uniform(0.1, 30, (6, n_tokens, 1)) + 1
    if n_tokens > 3:
        states[0, 2] = states[0, 1]
    with np.errstate(invalid="ignore"):
        expected = np.stack([sentence_loop(one) for one in states], axis=-1)
    found, _ = measure_gram(token_gram(torch.from_numpy(states)))
    # Two centred tokens are 180 degrees apart, where arccos keeps half the digits: hence rtol.
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-6)


# --- a model's sentences --------------------------------------------------------------------------


@pytest.fixture(params=["gpt_neox", "bert"])
def model_and_tokenizer(request) -> tuple[Any, Any]:
    return make(request.param)


def expected_values(model: Any, tokenizer: Any, text: str) -> np.ndarray:
    """Return (states x first token x measures) from transformers' own hidden states."""
    tokens = tokenizer(text)["input_ids"]
    with torch.inference_mode():
        out = model(torch.tensor([tokens]), output_hidden_states=True)
        states = list(out.hidden_states)
        if model.config.model_type == "gpt_neox":  # the last one is normed there
            kept: list[torch.Tensor] = []
            hook = model.final_layer_norm.register_forward_pre_hook(lambda _, x: kept.append(x[0]))
            model(torch.tensor([tokens]))
            hook.remove()
            states[-1] = kept[0]
    special = 1 if tokenizer.pad_token else 0
    measured = slice(special, len(tokens) - special)
    with np.errstate(invalid="ignore"):
        return np.stack(
            [sentence_loop(s[0, measured].numpy()) for s in (*states, out.last_hidden_state)]
        )


def measured(texts: dict[str, str], *network: Any, **options: Any) -> pd.DataFrame:
    return geometry.measure_geometry(features.sentence_grams(texts, *network, **options))


def test_the_table_equals_a_loop_over_sentences(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    table = measured(SENTENCES, model, tokenizer)
    expected = np.stack([expected_values(model, tokenizer, t) for t in SENTENCES.values()], -1)
    states = [(0, "residual"), (1, "residual"), (2, "residual"), (3, "residual"), (3, "normed")]
    keys = [
        (*s, *measure, first) for s in states for first in (True, False) for measure in MEASURES
    ]
    assert list(table[KEY].itertuples(index=False, name=None)) == keys
    found = np.stack(list(table["values"])).reshape(expected.shape)
    # The passes differ in float32: padding-free batches here, single sentences there.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_the_normed_state_is_a_state_of_its_own_where_there_is_a_norm(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    table = measured(SENTENCES, model, tokenizer)
    last = table[table["layer"] == 3]
    sides = [last.loc[last["state"] == state, "mean"] for state in ("residual", "normed")]
    same = np.allclose(*sides, atol=1e-4)
    assert same == (model.config.model_type == "bert")


def test_batches_change_no_value(model_and_tokenizer):
    texts = {f"{item}{n}": text for item, text in SENTENCES.items() for n in range(5)}
    together = measured(texts, *model_and_tokenizer)
    alone = measured(texts, *model_and_tokenizer, batch_tokens=1)
    np.testing.assert_allclose(
        np.stack(list(together["values"])), np.stack(list(alone["values"])), atol=2e-5
    )


def test_the_order_of_sentences_is_kept(model_and_tokenizer):
    forward = measured(SENTENCES, *model_and_tokenizer)
    backward = measured(dict(reversed(SENTENCES.items())), *model_and_tokenizer)
    for one, other in zip(forward["values"], backward["values"], strict=True):
        np.testing.assert_allclose(one, other[::-1], atol=2e-5)


def test_sentences_without_a_value_are_left_out_of_the_mean_and_counted():
    model, tokenizer = make("gpt_neox")
    texts = SENTENCES | {"short": "A", "pair": "It"}
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts.values()]
    assert sorted(lengths)[:3] == [1, 2, min(lengths[:5])]
    table = measured(texts, model, tokenizer)
    for measure, variant in {"entropy": "raw", "curvature": "steps"}.items():
        chosen = (table["variant"] == variant) & (table["unit"] != "log tokens")
        for row in table[chosen & table["first_token"]].iloc:
            values = row["values"]
            left_out = 2 if measure == "curvature" else 0
            assert np.isnan(values).sum() == row["n_left_out"] == left_out
            assert row["n_sentences"] == 7 - left_out
            assert row["mean"] == pytest.approx(np.nanmean(values))
            assert row["sd"] == pytest.approx(np.nanstd(values, ddof=1))
            assert row["se"] == pytest.approx(row["sd"] / math.sqrt(7 - left_out))


def test_repeated_tokens_are_counted_at_the_embeddings_of_a_model_without_positions():
    model, tokenizer = make("gpt_neox")
    table = measured({"a": "book book book book"}, model, tokenizer)
    steps = table[(table["variant"] == "steps") & table["first_token"]].set_index(
        ["layer", "state"]
    )
    tokens = tokenizer("book book book book")["input_ids"]
    repeats = sum(one == other for one, other in pairwise(tokens))
    assert steps.loc[(0, "residual"), "n_zero"] == repeats
    assert steps.loc[(2, "residual"), "n_zero"] == 0


def test_states_that_are_not_finite_are_refused(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    model.get_input_embeddings().weight.data[tokenizer("use")["input_ids"][-1]] = torch.nan
    with pytest.raises(InputError, match=r"item .* is not finite in torch\.float32"):
        measured(SENTENCES, model, tokenizer)


def test_threads_are_as_before_after_measuring(model_and_tokenizer):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    measured(SENTENCES, *model_and_tokenizer)
    found = torch.get_num_threads()
    torch.set_num_threads(before)
    assert found == 2


# --- the passages of a story ----------------------------------------------------------------------


def story(text: str, sentence: list[Any] | None = None, run: str = "1") -> pd.DataFrame:
    """Make a word table from words divided by "|", each with what stands before it before "_"."""
    pieces = [piece.partition("_")[::2] for piece in text.split("|")]
    table = pd.DataFrame(pieces, columns=["before", "word"]).assign(run=run)
    return table.assign(sentence=pd.array(sentence or [pd.NA] * len(table), "Int64"))


def test_a_sentence_keeps_the_punctuation_around_it():
    words = story("_She| _peeped|. \u201c_What| _is| _it|?\u201d\n\n_Nothing", [1, 1, 2, 2, 2, 3])
    assert geometry.story_passages(words) == {
        "run 1 words 1-2": "She peeped.",
        "run 1 words 3-5": "\u201cWhat is it?\u201d",
        "run 1 words 6-6": "Nothing",
    }


def test_a_long_sentence_is_cut_into_equal_parts():
    words = story("|".join([" _a"] * 50), [1] * 30 + [2] * 20)
    counts = [len(text.split()) for text in geometry.story_passages(words).values()]
    assert counts == [15, 15, 20]


def test_a_run_without_marked_sentences_is_cut_every_so_many_words():
    words = pd.concat([story("|".join([" _a"] * 100)), story(" _b| _c", [1, pd.NA], run="2")])
    counts = [len(text.split()) for text in geometry.story_passages(words).values()]
    assert counts == [20] * 5 + [2]


def test_passages_hold_every_word_once_and_in_order():
    text = " ".join(f"word{n}," for n in range(70))
    words = story("_" + "|, _".join(text.replace(",", "").split()), [1] * 40 + [2] * 30)
    joined = " ".join(geometry.story_passages(words).values())
    assert joined == "".join(words["before"] + words["word"])


# --- the command ----------------------------------------------------------------------------------


def run(script: str, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], **files: Path) -> None:
    options = [f"--{name}={path}" for name, path in files.items()]
    monkeypatch.setattr(sys, "argv", [script, *options, "--spec", json.dumps(spec)])
    runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")


def check_table(path: Path, stage: str, texts: dict[str, str], checkpoint: dict[str, Any]) -> None:
    expected = measured(texts, *make("gpt_neox"))
    expected = expected.assign(dataset="toy", model="tiny", checkpoint="main")
    table = storage.read_table(path)
    pd.testing.assert_frame_equal(table, expected, check_exact=False, atol=1e-5, check_like=True)
    made = storage.read_provenance(path)
    assert (made["stage"], made["n_rows"]) == (stage, len(texts))
    assert made["fingerprint"] == checkpoint["fingerprint"]


def test_sentences_are_measured_from_their_features(tmp_path, monkeypatch):
    checkpoint = saved("gpt_neox", tmp_path / "model")
    items = pd.DataFrame({"item": list(SENTENCES), "text": list(SENTENCES.values())})
    storage.write_table(items, tmp_path / "items.parquet", {})
    storage.write_table(story("_A"), tmp_path / "words.parquet", {})
    storage.write_json(checkpoint, tmp_path / "main.json")
    stimulus = {name: tmp_path / f"{name}.parquet" for name in ("items", "words")}
    spec = {"dataset": "toy", "kind": "sentences", "poolings": ["last"], "dtype": "float32"}
    states = tmp_path / "features.safetensors"
    files = {**stimulus, "checkpoint": tmp_path / "main.json", "output": states}
    run("extract_features", monkeypatch, spec, **files)
    cell = {"dataset": "toy", "model": "tiny", "checkpoint": "main"}
    table = tmp_path / "geometry.parquet"
    run("measure_geometry", monkeypatch, cell, features=states, output=table)
    check_table(table, "measure_geometry", SENTENCES, checkpoint)


def test_the_passages_of_a_story_are_read_and_measured(tmp_path, monkeypatch):
    checkpoint = saved("gpt_neox", tmp_path / "model")
    words = story("_Alice| _was| _tired|. _She| _peeped| _into| _it", [1, 1, 1, 2, 2, 2, 2])
    storage.write_table(words, tmp_path / "words.parquet", {})
    storage.write_json(checkpoint, tmp_path / "main.json")
    files = {"words": tmp_path / "words.parquet", "checkpoint": tmp_path / "main.json"}
    table, spec = tmp_path / "geometry.parquet", {"dataset": "toy", "dtype": "float32"}
    run("measure_passages", monkeypatch, spec, **files, output=table)
    check_table(table, "measure_passages", geometry.story_passages(words), checkpoint)
