"""Which word takes the place of which: the policies of Skrill & Norman-Haignere 2023 and its code.

A word is swapped only for one of as many tokens, so that no later word changes its position. The
sequences and swaps of a model are made once, from its last checkpoint, and serve all the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmcortex import models
from lmcortex.errors import InputError
from lmcortex.models.masked import load_masked_model
from lmcortex.seeds import generator
from lmcortex.windows.text import passages, read_words, sentence_series
from lmcortex.windows.tokens import special_tokens, word_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

N_BINS = 6  # of embedding distance; published: width .001 over .122 to .128, for GPT-2
SPACING = 0.008  # width of a bin over the middle distance, as published
LEAST_CANDIDATES = 20  # that half of the words must have in each bin, or bins are widened
N_SAMPLE = 200  # words whose distances to all others set the middle and the width of the bins
LEAST_WORDS = 5  # of a part of speech; rarer ones are taken together
N_PROBABLE = 5  # alternatives of the masked language model
MASK_BATCH = 16
COLUMNS = [
    *("unit_words", "sequence", "position", "sentence", "word", "swap", "distance", "matched"),
]
# Swaps of some places of a word, their distances, and whether they are what was asked for.
Chosen = tuple[np.ndarray, "np.ndarray | float", "np.ndarray | bool"]
Choice = Callable[[str, np.ndarray], Chosen]


def choose_swaps(
    files: Sequence[str],
    checkpoint: Mapping[str, Any],
    masked: Mapping[str, Any] | None,
    spec: Mapping[str, Any],
    device: str = "auto",
    threads: int = 1,
) -> pd.DataFrame:
    """Make the sequences of a word-swap setting for a model, and choose a swap for each word.

    Parameters
    ----------
    files : what `text.read_words` reads.
    checkpoint : description of the model's last checkpoint, for its tokenizer and embeddings.
    masked : description of a masked language model, for the policy `masked`.
    spec : `passages` with `words`, `sequences` and `swap`; `yoking` (or None) with
        `lengths`, `sentences`, `sequences` and `swap`; `distance` (or None for a middle of its own)
        and `seed`.
    device : "auto", "cpu" or "cuda".
    threads : processor threads.

    Returns
    -------
    One row per word of a sequence: unit_words (length of the sentences of a series made for yoking;
    0 for a passage of the text), sequence, position, sentence (counted within the sequence; -1
    where the text marks none), word, swap, distance (mean absolute difference of the embeddings;
    NaN for other policies), matched (False where no word lay within the asked distance, or where
    the masked model had no guess, and a random word was taken).

    Raises
    ------
    InputError : the text lacks what the policy needs, or holds too few sequences.
    """
    import torch

    torch.set_num_threads(threads)
    words = read_words(files)
    vocabulary = Vocabulary(words, models.load_tokenizer(checkpoint))
    # A word that nothing can take the place of is dropped, as one that is not made of letters.
    words["word"] = words["word"].where(words["word"].isin(vocabulary.tokens), "")
    rng = generator("sequences", spec["seed"])
    wanted = spec["passages"]
    rows = passages(words, wanted["words"], wanted["sequences"], rng)
    parts = [(0, wanted["swap"], rows)]
    if wanted := spec["yoking"]:
        single = {word for word, tokens in vocabulary.tokens.items() if len(tokens) == 1}
        for length in wanted["lengths"]:
            sizes = (length, wanted["sentences"], wanted["sequences"])
            rows = sentence_series(words, single, *sizes, rng)
            parts.append((length, wanted["swap"], rows))
    found = []
    for length, swap, rows in parts:
        table, rng = table_of(words, rows, length), generator("swaps", length, spec["seed"])
        match swap:
            case "random":
                found.append(random_swaps(table, vocabulary, rng))
            case "pos":
                found.append(pos_swaps(table, words, vocabulary, rng))
            case "embedding":
                embeddings = input_embeddings(checkpoint, device)
                band = Band(**spec["distance"]) if spec["distance"] else None
                found.append(embedding_swaps(table, vocabulary, embeddings, band, rng))
            case "masked":
                assert masked is not None, "the configuration asks for a masked model"
                found.append(masked_swaps(table, vocabulary, masked, device, rng))
    return pd.concat(found, ignore_index=True)[COLUMNS]


def input_embeddings(checkpoint: Mapping[str, Any], device: str) -> np.ndarray:
    """Return the (tokens x width) embeddings of a model."""
    layer: Any = models.load_model(checkpoint, device=device).get_input_embeddings()
    return layer.weight.detach().float().cpu().numpy()


def table_of(words: pd.DataFrame, rows: np.ndarray, unit_words: int) -> pd.DataFrame:
    """Lay out sequences: (sequences x words) places in `words`."""
    n, length = rows.shape
    table = words.iloc[rows.ravel()].drop(columns="document").reset_index(drop=True)
    position = np.tile(np.arange(length), n)
    sentence = table["sentence"].to_numpy().reshape(n, length)
    if unit_words:  # a sentence may follow itself
        counted = position // unit_words
    elif (sentence == -1).any():
        counted = np.full(n * length, -1)
    else:
        counted = np.cumsum(np.diff(sentence, axis=1, prepend=sentence[:, :1]) != 0, axis=1).ravel()
    return table.assign(
        unit_words=unit_words,
        sequence=np.repeat(np.arange(n), length),
        position=position,
        sentence=counted,
    )


# --- policies -------------------------------------------------------------------------------------


class Vocabulary:
    """The words of a text that have others of as many tokens to be swapped for.

    Attributes
    ----------
    tokens : each word's tokens, words in alphabetic order.
    by_length : the words of as many tokens.
    """

    def __init__(self, words: pd.DataFrame, tokenizer: "PreTrainedTokenizerFast") -> None:
        known = sorted(set(words["word"]) - {""})
        encoded = word_tokens(known, tokenizer)
        lengths = np.array([len(tokens) for tokens in encoded])
        self.by_length = {
            int(length): np.array(known)[lengths == length]
            for length, count in zip(*np.unique(lengths, return_counts=True), strict=True)
            if count > 1 and length > 0
        }
        self.tokens = {
            word: tokens
            for word, tokens in zip(known, encoded, strict=True)
            if len(tokens) in self.by_length
        }

    def alike(self, word: str) -> np.ndarray:
        """Return the words of as many tokens, the word itself among them."""
        return self.by_length[len(self.tokens[word])]


def other(words: np.ndarray, word: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` times one of `words` (in alphabetic order) that is not `word`."""
    place = np.searchsorted(words, word)
    among = place < len(words) and words[place] == word
    drawn = rng.integers(len(words) - among, size=n)
    return words[drawn + (among & (drawn >= place))]


def by_word(table: pd.DataFrame, choose: Choice) -> pd.DataFrame:
    """Choose the swaps of each word, all its places in the sequences at once.

    Parameters
    ----------
    table : sequences, with `word`.
    choose : function of a word and the rows of `table` in which it stands, which returns the swaps,
        their distances and whether they are what was asked for.
    """
    swaps = np.empty(len(table), dtype=object)
    distance, matched = np.full(len(table), np.nan), np.ones(len(table), dtype=bool)
    for word, places in sorted(table.groupby("word").indices.items()):
        rows = np.asarray(places)
        swaps[rows], distance[rows], matched[rows] = choose(str(word), rows)
    return table.assign(swap=swaps, distance=distance, matched=matched)


def random_swaps(
    table: pd.DataFrame, vocabulary: Vocabulary, rng: np.random.Generator
) -> pd.DataFrame:
    """Swap each word for any other of the text."""
    return by_word(
        table,
        lambda word, rows: (other(vocabulary.alike(word), word, len(rows), rng), np.nan, True),
    )


def pos_swaps(
    table: pd.DataFrame, words: pd.DataFrame, vocabulary: Vocabulary, rng: np.random.Generator
) -> pd.DataFrame:
    """Swap each word for one that the text has as the same part of speech."""
    if "pos" not in words:
        raise InputError(
            "swap: pos needs a text with a column `pos`; give a table with one, or choose another "
            "swap (random, embedding, masked)"
        )
    known = words[words["word"].isin(vocabulary.tokens)]
    size = known.groupby("pos")["word"].nunique()
    rare = set(size.index[size < LEAST_WORDS])
    pos = known["pos"].where(~known["pos"].isin(rare), "other")
    members = known["word"].groupby(pos).agg(lambda column: sorted(set(column))).to_dict()
    tag = table["pos"].where(~table["pos"].isin(rare), "other").to_numpy()

    def choose(word: str, rows: np.ndarray) -> Chosen:
        alike = vocabulary.alike(word)
        swaps, matched = np.empty(len(rows), dtype=object), np.empty(len(rows), dtype=bool)
        for place, row in enumerate(rows):
            same = np.intersect1d(alike, members[tag[row]])
            matched[place] = len(np.setdiff1d(same, [word])) > 0
            swaps[place] = other(same if matched[place] else alike, word, 1, rng)[0]
        return swaps, np.nan, matched

    return by_word(table, choose)


@dataclass(frozen=True)
class Band:
    """Distances that a swap may have: `N_BINS` bins about a middle, each as likely as the others.

    So an intervention is as large at every position. `middle` and `spacing` (width of a bin) are
    mean absolute differences of embeddings.
    """

    middle: float
    spacing: float

    def bins(self, distance: np.ndarray) -> np.ndarray:
        """Return the bin of each distance; outside of the band, -1."""
        place = np.floor((distance - self.middle) / self.spacing + N_BINS / 2)
        return np.where((place >= 0) & (place < N_BINS), place, -1).astype(int)

    def counts(self, distance: np.ndarray) -> np.ndarray:
        return np.bincount(self.bins(distance) + 1, minlength=N_BINS + 1)[1:]


def embedding_swaps(
    table: pd.DataFrame,
    vocabulary: Vocabulary,
    embeddings: np.ndarray,
    band: Band | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Swap each word for one whose embedding is at a distance that is the same for all words.

    Parameters
    ----------
    embeddings : (tokens of the model x width).
    band : allowed distances; None: about the median of the text's words, and as wide as it takes
        for half of the words to have `LEAST_CANDIDATES` in each bin.
    """
    vectors = {
        length: embeddings[[vocabulary.tokens[word] for word in words]].reshape(len(words), -1)
        for length, words in vocabulary.by_length.items()
    }

    def distances(word: str) -> np.ndarray:
        alike = vocabulary.alike(word)
        known = vectors[len(vocabulary.tokens[word])]
        found = np.abs(known - known[np.searchsorted(alike, word)]).mean(axis=1)
        found[np.searchsorted(alike, word)] = np.inf
        return found

    used = sorted(set(table["word"]))
    if band is None:
        sample = [
            distances(str(word)) for word in rng.choice(used, min(N_SAMPLE, len(used)), False)
        ]
        band = calibrate(sample)

    def choose(word: str, rows: np.ndarray) -> Chosen:
        alike, distance = vocabulary.alike(word), distances(word)
        place = band.bins(distance)
        candidates = [np.flatnonzero(place == each) for each in range(N_BINS)]
        if all(map(len, candidates)):
            drawn = [rng.choice(candidates[each]) for each in rng.integers(N_BINS, size=len(rows))]
            return alike[drawn], distance[drawn], True
        swaps = other(alike, word, len(rows), rng)
        return swaps, distance[np.searchsorted(alike, swaps)], False

    return by_word(table, choose)


def calibrate(sample: Sequence[np.ndarray]) -> Band:
    """Return the band about the median of distances in which words have candidates enough.

    Parameters
    ----------
    sample : for some words, the distances of all others; a word's own is infinite.
    """
    every = np.concatenate(sample)
    middle = float(np.median(every[np.isfinite(every)]))
    band = Band(middle, SPACING * middle)
    while (
        N_BINS * band.spacing < middle
        and np.median([band.counts(found).min() for found in sample]) < LEAST_CANDIDATES
    ):
        band = Band(middle, 1.5 * band.spacing)
    return band


def masked_swaps(
    table: pd.DataFrame,
    vocabulary: Vocabulary,
    masked: Mapping[str, Any],
    device: str,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Swap each word for one of the five words that a masked model finds likeliest in its place.

    The model reads as much of the sequence as it takes, the word in the middle.
    """
    tokenizer = models.load_tokenizer(masked)
    if tokenizer.mask_token_id is None:
        raise InputError(f"masked_model: {masked['model']} has no mask token; name one that has")
    model = load_masked_model(masked, device)
    guesses = Guesses(vocabulary, tokenizer)
    swaps, matched = np.empty(len(table), dtype=object), np.ones(len(table), dtype=bool)
    texts = [rows["word"].tolist() for _, rows in table.groupby("sequence", sort=True)]
    queries = masked_texts(texts, tokenizer, models.context_length(model, tokenizer))
    for row, (word, scores) in enumerate(guess(queries, model)):
        likely = guesses.likeliest(word, scores)
        matched[row] = len(likely) > 0
        swaps[row] = (
            rng.choice(likely) if len(likely) else other(vocabulary.alike(word), word, 1, rng)[0]
        )
    return table.assign(swap=swaps, distance=np.nan, matched=matched)


class Guesses:
    """The words of a text that a masked model may guess: those that are one token to it."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: "PreTrainedTokenizerFast") -> None:
        self.vocabulary = vocabulary
        self.words, self.numbers = {}, {}
        for length, words in vocabulary.by_length.items():
            encoded = word_tokens(words.tolist(), tokenizer)
            whole = [len(tokens) == 1 and tokens[0] != tokenizer.unk_token_id for tokens in encoded]
            self.words[length] = words[whole]
            self.numbers[length] = np.array(
                [tokens[0] for tokens, one in zip(encoded, whole, strict=True) if one], dtype=int
            )

    def likeliest(self, word: str, scores: np.ndarray) -> np.ndarray:
        """Return the `N_PROBABLE` likeliest words of as many tokens as a word, but for itself."""
        length = len(self.vocabulary.tokens[word])
        words = self.words[length]
        order = np.argsort(-scores[self.numbers[length]], kind="stable")[: N_PROBABLE + 1]
        return words[order][words[order] != word][:N_PROBABLE]


def masked_texts(
    texts: Sequence[Sequence[str]], tokenizer: "PreTrainedTokenizerFast", context: int | None
) -> Iterator[tuple[str, list[int], int]]:
    """Yield each word with the tokens around it, a mask in its place, and the mask's place."""
    special = special_tokens(tokenizer)
    n_special = len(special.before) + len(special.behind)
    for words in texts:
        encoded = word_tokens(words, tokenizer)
        for place, word in enumerate(words):
            before = [token for tokens in encoded[:place] for token in tokens]
            behind = [token for tokens in encoded[place + 1 :] for token in tokens]
            if context is not None:
                room = context - n_special - 1
                before = before[-max(room // 2, room - len(behind)) :]
                behind = behind[: room - len(before)]
            text = [*special.before, *before, tokenizer.mask_token_id, *behind, *special.behind]
            yield word, text, len(special.before) + len(before)


def guess(
    queries: Iterator[tuple[str, list[int], int]], model: "PreTrainedModel"
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each word and the score of every token in its place."""
    import torch

    for batch in iter(lambda: list(islice(queries, MASK_BATCH)), []):
        longest = max(len(tokens) for _, tokens, _ in batch)
        padded = torch.tensor([tokens + [0] * (longest - len(tokens)) for _, tokens, _ in batch])
        seen = torch.tensor(
            [[1] * len(tokens) + [0] * (longest - len(tokens)) for _, tokens, _ in batch]
        )
        with torch.inference_mode():
            scores = model(padded.to(model.device), attention_mask=seen.to(model.device)).logits
        places = torch.tensor([place for _, _, place in batch], device=model.device)
        found = scores[torch.arange(len(batch), device=model.device), places].float().cpu().numpy()
        for (word, _, _), row in zip(batch, found, strict=True):
            yield word, row
