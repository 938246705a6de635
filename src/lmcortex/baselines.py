"""Pseudo-models that know no language: what they predict of the brain, any model should surpass.

They go through the same encoders as models do. Time and length alone predict much of the responses
to language when folds are shuffled (Feghhi et al. 2024, arXiv:2406.01538), and so do vectors that
merely tell words apart (Bonnasse-Gahot & Pallier 2024, arXiv:2405.17992). Word vectors know which
words are alike, but no sentence.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex.errors import InputError
from lmcortex.seeds import generator
from lmcortex.stimuli import Quality, fact

if TYPE_CHECKING:
    import pandas as pd

WIDTHS = (2, 8, 32)  # samples: standard deviations of the bumps of `position`
EMBEDDING_WIDTH = 1024
SHORTEST = 0.05  # seconds of a word, about what the haemodynamic operator resolves


def baseline_features(
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    spec: Mapping[str, Any],
    vectors: str | None = None,
) -> tuple[np.ndarray, str, Quality]:
    """Compute the features of a baseline.

    Parameters
    ----------
    items, words : tables of the stimulus.
    spec : ``kind`` (of the dataset: `sentences` or `story`), ``model`` (`word-rate`, `position`,
        `random-embedding`, `random-vector` or `glove`) and ``checkpoint`` (`main`, or `seedN` of a
        random one).
    vectors : file of word vectors, for `glove`.

    Returns
    -------
    features : float32, rows x columns.
    rows : the table that the rows are of, `items` or `words`.
    quality : facts for the ``quality`` table.

    Raises
    ------
    InputError : an unknown baseline, or an item without words.
    """
    story, facts = spec["kind"] == "story", []
    match spec["model"]:
        case "position":
            return position(items).astype(np.float32), "items", facts
        case "word-rate" if not story:
            return sentence_lengths(items, words).astype(np.float32), "items", facts
        case "word-rate":
            features = word_rate(words)
        case "random-embedding":
            features = random_embedding(words["word"], seed_of(spec))
        case "random-vector":
            features = random_vectors(len(words), seed_of(spec))
        case "glove":
            assert vectors is not None
            features, facts = word_vectors(words["word"], vectors)
        case unknown:
            raise InputError(
                f"unknown baseline `{unknown}`; known: word-rate, position, random-embedding, "
                "random-vector, glove"
            )
    if not story:
        features = mean_over_words(features, items, words)
    return features.astype(np.float32), "words" if story else "items", facts


def seed_of(spec: Mapping[str, Any]) -> int:
    return int(spec["checkpoint"].removeprefix("seed"))


def word_rate(words: "pd.DataFrame") -> np.ndarray:
    """Return the rate of words and the share of time that is speech, as amplitudes of words.

    The haemodynamic operator weighs a word by how long it lasts, so that an amplitude of 1 gives
    the time spoken; one over the duration counts each word once, however long.

    Returns
    -------
    (n_words, 2); 0 for a word without a duration.
    """
    duration = words["duration"].to_numpy(float)
    counted = 1 / np.clip(duration, SHORTEST, None)
    return np.nan_to_num(np.column_stack([counted, np.ones(len(words))]))


def sentence_lengths(items: "pd.DataFrame", words: "pd.DataFrame") -> np.ndarray:
    """Return the number of words, number of characters and mean word length of each item."""
    n_words = mean_over_words(np.ones((len(words), 1)), items, words, total=True)
    letters = words["word"].str.len().to_numpy(float)[:, None]
    n_characters = items["text"].str.len().to_numpy(float)[:, None]
    return np.hstack([n_words, n_characters, mean_over_words(letters, items, words)])


def position(items: "pd.DataFrame", widths: tuple[int, ...] = WIDTHS) -> np.ndarray:
    """Return where each item stands in its run: Gaussian bumps on a grid over the run.

    For each width there is one bump every `width` samples, so that a weighted sum of bumps can be
    any function of the position that is smooth at that scale. It is the blurred one-hot baseline
    of Feghhi et al. (2024, arXiv:2406.01538), except that positions count from the start of the
    run, so that it carries over from one run to another.

    Parameters
    ----------
    items : in order; `run` is used.
    widths : standard deviations of the bumps, samples.

    Returns
    -------
    items x bumps, 0 to 1.
    """
    place = items.groupby("run", sort=False).cumcount().to_numpy(float)
    bumps = []
    for width in widths:
        centres = np.arange(0, place.max() + width, width)
        bumps.append(np.exp(-0.5 * ((place[:, None] - centres) / width) ** 2))
    return np.hstack(bumps)


def random_embedding(words: "pd.Series", seed: int) -> np.ndarray:
    """Return one standard Gaussian vector per word type; case and outer punctuation do not count.

    Returns
    -------
    words x 1024.
    """
    types = [word_type(word) for word in words]
    vectors = {
        word: generator("random-embedding", seed, word).standard_normal(EMBEDDING_WIDTH)
        for word in sorted(set(types))
    }
    return np.stack([vectors[word] for word in types])


def random_vectors(n_words: int, seed: int) -> np.ndarray:
    """Return one standard Gaussian vector per word token: words differ, and nothing comes back.

    Returns
    -------
    words x 1024.
    """
    return generator("random-vector", seed).standard_normal((n_words, EMBEDDING_WIDTH))


def word_vectors(words: "pd.Series", path: str) -> tuple[np.ndarray, Quality]:
    """Return the vector of each word from a file such as GloVe's (Pennington et al. 2014).

    A word is looked up in small letters, without outer punctuation; without apostrophes; and else
    in its parts (`red-faced`, `three two five`), whose vectors are averaged. Unknown words have
    zeros.

    Parameters
    ----------
    path : text, on each line a word and its numbers, parted by single spaces.

    Returns
    -------
    features : words x numbers of the file.
    quality : how many words, and how many types, are unknown, with the most frequent ones.

    Raises
    ------
    InputError : a line that does not fit, or a file that knows no word.
    """
    types = words.map(word_type)
    spellings = {word: _spellings(word) for word in types.unique()}
    wanted = {part for parts in spellings.values() for choice in parts for part in choice}
    known, width = _read_vectors(path, wanted)
    found = {}
    for word, choices in spellings.items():
        parts = next((choice for choice in choices if known.keys() >= set(choice)), None)
        found[word] = np.mean([known[part] for part in parts], axis=0) if parts else None
    unknown = types[types.map(found).isna()]
    if len(unknown) == len(words):
        raise InputError(f"{path}: none of {len(words)} words has a vector; is it their language?")
    zeros = np.zeros(width)
    features = np.stack([zeros if (v := found[word]) is None else v for word in types])
    often = ", ".join(unknown.value_counts().index[:5])
    detail = f"glove: {unknown.nunique()} types, of {len(words)} words; {often or 'none'}"
    return features, [fact("words without a vector", len(unknown), detail)]


def _spellings(word: str) -> list[list[str]]:
    """Return how a word may stand in a file of vectors, the first that does to be taken."""
    closed = re.sub(r"['\u2019]", "", word)
    parts = [part for part in re.split(r"[^\w]+", closed) if part]
    return [choice for choice in ([word], [closed], parts) if choice]


def _read_vectors(path: str, wanted: set[str]) -> tuple[dict[str, np.ndarray], int]:
    """Return the vectors of the wanted words, and how many numbers a vector has."""
    known: dict[str, np.ndarray] = {}
    width = 0
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            width = width or line.count(" ")
            word, *numbers = line.rstrip("\n").rsplit(" ", width)
            try:
                if word in wanted:
                    known[word] = np.array(numbers, dtype=np.float64)
                fits = len(numbers) == width > 1
            except ValueError:
                fits = False
            if not fits:
                raise InputError(
                    f"{path}: line {number}: expected a word and {width} numbers, parted by spaces"
                )
    return known, width


def word_type(word: str) -> str:
    return re.sub(r"^\W+|\W+$", "", word.lower()) or word.lower()


def mean_over_words(
    features: np.ndarray, items: "pd.DataFrame", words: "pd.DataFrame", total: bool = False
) -> np.ndarray:
    """Average (or sum) the rows of `features` (words x columns) over the words of each item.

    Raises
    ------
    InputError : an item without words, or words of an item that is not in `items`.
    """
    rows = {item: row for row, item in enumerate(items["item"])}
    unknown = set(words["item"]) - set(rows)
    silent = set(rows) - set(words["item"])
    if unknown or silent:
        item = min(unknown or silent)
        found = "is not in the table of items" if unknown else "has no words"
        raise InputError(f"words.parquet: item `{item}` {found}; prepare the stimuli again")
    row = words["item"].map(rows).to_numpy()
    sums = np.zeros((len(items), features.shape[1]))
    np.add.at(sums, row, features)
    return sums if total else sums / np.bincount(row)[:, None]
