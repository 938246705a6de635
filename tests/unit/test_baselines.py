"""Baselines against their closed forms."""

import numpy as np
import pandas as pd
import pytest

from lmcortex.baselines import (
    baseline_features,
    position,
    random_embedding,
    random_vectors,
    word_rate,
    word_vectors,
)
from lmcortex.errors import InputError
from lmcortex.hrf import hrf_operator
from lmcortex.stimuli import prepare_story

ITEMS = pd.DataFrame({"item": ["b", "a"], "run": "1", "text": ["The cat sat.", "Cats, the!"]})
WORDS = pd.DataFrame(
    {
        "item": ["b", "b", "b", "a", "a"],
        "word": ["The", "cat", "sat.", "Cats,", "the!"],
        "run": "1",
    }
)


def features(model: str, checkpoint: str = "main", kind: str = "sentences") -> np.ndarray:
    spec = {"kind": kind, "model": model, "checkpoint": checkpoint}
    return baseline_features(ITEMS, WORDS, spec)[0]


def runs_of_items(*lengths: int) -> pd.DataFrame:
    return pd.DataFrame({"run": np.repeat([str(run) for run in range(len(lengths))], lengths)})


def test_sentence_lengths_count_words_characters_and_letters_per_word():
    assert np.allclose(features("word-rate"), [[3, 12, 10 / 3], [2, 10, 4.5]])


def test_word_rate_of_a_story_counts_each_word_once_however_long():
    words = pd.DataFrame({"onset": [10.0, 40.0], "duration": [0.2, 0.8]})
    frames = np.arange(0.0, 80.0, 0.5)
    heard = hrf_operator(words["onset"], words["duration"], frames) @ word_rate(words)
    short, long = frames < 40, frames >= 40
    areas = np.array([heard[short].sum(axis=0), heard[long].sum(axis=0)])
    assert areas[1, 0] / areas[0, 0] == pytest.approx(1, abs=0.02)  # words
    assert areas[1, 1] / areas[0, 1] == pytest.approx(4, abs=0.1)  # seconds of speech


def test_word_rate_agrees_with_the_one_of_the_authors_of_alice(data_dir):
    spec = {"runs": ["1"], "samples": 362, "tr": 2.0, "start": 20.0, "textgrid": {"skip": ["sp"]}}
    spec["textgrid"]["tier"] = "word"
    stimulus = prepare_story([str(data_dir / "alice" / "words.TextGrid")], [], spec)
    words, times = stimulus.words, stimulus.items["time"].to_numpy()
    rate = hrf_operator(words["onset"], words["duration"], times) @ word_rate(words)[:, 0]
    authors = np.loadtxt(data_dir / "alice" / "nuisance" / "s18-rate.txt")
    assert np.corrcoef(rate, authors)[0, 1] > 0.9  # they used another response function (SPM's)


def test_position_starts_anew_in_every_run():
    bumps = position(runs_of_items(50, 30))
    assert np.array_equal(bumps[:30], bumps[50:])


def test_position_expresses_any_smooth_function_of_time():
    bumps = position(runs_of_items(200))
    time = np.arange(200)
    for wanted in (np.sin(2 * np.pi * time / 20), np.sqrt(time + 10.0), (time - 90.0) ** 2):
        weights = np.linalg.lstsq(bumps, wanted, rcond=1e-8)[0]
        assert np.corrcoef(bumps @ weights, wanted)[0, 1] ** 2 > 0.999


def test_position_has_one_bump_per_width_with_its_peak_at_the_centre():
    bumps = position(runs_of_items(9), widths=(4,))
    assert np.allclose(np.diag(bumps[[0, 4, 8]]), 1)
    assert bumps[0, 1] == pytest.approx(np.exp(-0.5))


def test_a_word_type_has_one_vector_whatever_its_case_and_punctuation():
    vectors = random_embedding(WORDS["word"], seed=1)
    assert np.array_equal(vectors[0], vectors[4])
    assert not np.allclose(vectors[1], vectors[3])


def test_vectors_do_not_depend_on_the_other_words():
    forwards = random_embedding(WORDS["word"], seed=1)
    assert np.array_equal(forwards[::-1], random_embedding(WORDS["word"][::-1], seed=1))


def test_vectors_are_standard_normal_and_differ_between_seeds():
    words = pd.Series([f"word{number}" for number in range(200)])
    one, two = random_embedding(words, seed=1), random_embedding(words, seed=2)
    n = one.size
    assert abs(one.mean()) < 5 / np.sqrt(n)
    assert abs(one.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs((one * two).mean()) < 5 / np.sqrt(n)


def test_random_vectors_differ_from_token_to_token_and_from_seed_to_seed():
    one, two = random_vectors(200, seed=1), random_vectors(200, seed=2)
    for values in (one, two):
        overlap = np.corrcoef(values)[np.triu_indices(200, 1)]
        assert abs(overlap).max() < 6 / np.sqrt(values.shape[1])
        assert abs(values.var() - 1) < 5 * np.sqrt(2 / values.size)
    assert abs((one * two).mean()) < 5 / np.sqrt(one.size)


def test_glove_looks_words_up_and_counts_those_it_has_not(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 0\nred 2 0\nfaced 0 4\ndont 5 5\nunused 9 9\n")
    words = pd.Series(["The", "red-faced,", "don\u2019t", "baobab", "baobab", "the."])
    features, (unknown,) = word_vectors(words, str(path))
    expected = [[1, 0], [1, 2], [5, 5], [0, 0], [0, 0], [1, 0]]
    assert features.tolist() == expected
    assert (unknown["value"], unknown["measure"]) == (2, "words without a vector")
    assert "1 types, of 6 words; baobab" in unknown["detail"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 0\ncat 1 b\n", "line 2: expected a word and 2 numbers"),
        ("the 1 0\ncat 1\n", "line 2: expected a word and 2 numbers"),
        ("der 1 0\n", "none of 1 words has a vector"),
    ],
)
def test_glove_refuses_files_that_are_no_vectors_of_these_words(tmp_path, text, message):
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        word_vectors(pd.Series(["cat"]), str(path))


def test_a_sentence_has_the_mean_vector_of_its_words():
    vectors = random_embedding(WORDS["word"], seed=3)
    expected = [vectors[:3].mean(axis=0), vectors[3:].mean(axis=0)]
    assert np.allclose(features("random-embedding", "seed3"), expected, atol=1e-6)


def test_an_item_without_words_is_refused():
    spec = {"kind": "sentences", "model": "word-rate", "checkpoint": "main"}
    with pytest.raises(InputError, match="item `a` has no words"):
        baseline_features(ITEMS, WORDS[:3], spec)


def test_an_unknown_baseline_is_refused():
    with pytest.raises(InputError, match="unknown baseline `bigrams`; known: word-rate"):
        features("bigrams")
