"""What is swapped: words of a text source in their order, and sequences cut from them."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.suite.text import detokenize, pydoc_passages

TABLES = {".csv": ",", ".tsv": "\t"}
# Parts of speech of names, in the tags of Brown and of Penn, which the published code leaves out.
NAMES = {"NP", "NNP", "NP-TL", "NP$"}
SENTENCE_END = re.compile(r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)[.!?]+[\"')\]]*(?=\s|$)")
EDGES = re.compile(r"^[^\w]+|[^\w]+$")


def read_words(files: Sequence[str | Path]) -> pd.DataFrame:
    """Read the words of a text source.

    Parameters
    ----------
    files : plain texts (UTF-8), or one table (.csv, .tsv) with a column ``word`` and, where known,
        ``sentence`` (a number, the same for the words of one), ``pos`` and ``document``; none: the
        language reference inside every Python.

    Returns
    -------
    One row per word, in order: document (int), sentence (int, of the whole source; -1 where the
    source marks none), word (lower case, without punctuation) and, where the source has it, pos.
    Of a hyphenated word each part is one. What is left with anything but letters is a row whose
    word is empty: nothing that a sequence may hold, but its sentence is not whole without it.

    Raises
    ------
    InputError : no such file, no word in it, or a table without a column `word`.
    """
    paths = [Path(file) for file in files]
    if paths and paths[0].suffix in TABLES:
        words = words_of_table(paths[0])
    else:
        words = words_of_texts(map(read_text, paths) if paths else pydoc_passages())
    if not words["word"].ne("").any():
        raise InputError(f"{paths[0]}: no word was found; give a text or a table of words")
    return words


def read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: expected UTF-8 text ({error}); convert the file") from error


def words_of_texts(texts: Iterable[str]) -> pd.DataFrame:
    """Cut plain texts into sentences, at their stops and at blank lines, and these into words."""
    columns: dict[str, list] = {"document": [], "sentence": [], "word": []}
    sentence = 0
    for document, text in enumerate(texts):
        for paragraph in re.split(r"\n\s*\n", text):
            for part in SENTENCE_END.split(detokenize(paragraph)):
                words = [cleaned for raw in part.split() for cleaned in clean(raw)]
                columns["document"] += [document] * len(words)
                columns["sentence"] += [sentence] * len(words)
                columns["word"] += words
                sentence += bool(words)
    return pd.DataFrame(columns)


def words_of_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file; set `text` to a table with a column `word`")
    rows = pd.read_csv(path, sep=TABLES[path.suffix], keep_default_na=False)
    if "word" not in rows:
        found = ", ".join(map(str, rows.columns))
        raise InputError(f"{path}: expected a column `word`, found {found}; name it so")
    rows = rows.assign(document=rows.get("document", 0))
    if "sentence" in rows:  # numbers may begin anew in each document
        place = rows[["document", "sentence"]]
        rows["sentence"] = place.ne(place.shift()).any(axis=1).cumsum()
    rows["sentence"] = rows.get("sentence", -1)
    rows["word"] = [clean(str(word)) for word in rows["word"]]
    rows = rows.explode("word")
    if "pos" in rows:
        rows.loc[rows["pos"].isin(NAMES), "word"] = ""
    kept = ["document", "sentence", "word", *(["pos"] if "pos" in rows else [])]
    return rows.loc[rows["word"].notna(), kept].reset_index(drop=True)


def clean(raw: str) -> list[str]:
    """Return the words of one run of letters and marks; "" for one that is no plain word.

    Nothing is returned for marks alone, which are dropped from a sentence.
    """
    parts = [EDGES.sub("", part) for part in raw.lower().replace("\u2014", "-").split("-")]
    return [part if part.isalpha() else "" for part in parts if part]


def passages(words: pd.DataFrame, n_words: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw passages of the text, which do not overlap and do not cross documents.

    Parameters
    ----------
    words : table of `read_words`.
    n_words : words of a passage, those without letters dropped.
    n : how many.

    Returns
    -------
    (n x n_words) places in `words`, in the order of the text.

    Raises
    ------
    InputError : the text holds fewer.
    """
    plain = words.index[words["word"] != ""].to_numpy()
    documents = words["document"].to_numpy()[plain]
    pieces = [
        plain[start : start + n_words]
        for piece in np.split(np.arange(len(plain)), np.flatnonzero(np.diff(documents)) + 1)
        for start in range(piece[0], piece[-1] + 2 - n_words, n_words)
    ]
    if len(pieces) < n:
        raise InputError(
            f"{n} sequences of {n_words} words asked for, the text holds {len(pieces)}; "
            "ask for fewer or shorter ones, or give more text"
        )
    return np.array([pieces[place] for place in np.sort(rng.choice(len(pieces), n, replace=False))])


def sentence_series(
    words: pd.DataFrame,
    allowed: set[str],
    n_words: int,
    n_sentences: int,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw series of sentences of one length, which follow each other by chance alone.

    As published: `n` target sentences are drawn with replacement, and each is set between others of
    these.

    Parameters
    ----------
    words : table of `read_words`.
    allowed : words that sentences may be made of.
    n_words, n_sentences : words of a sentence, sentences of a series.
    n : how many series.

    Returns
    -------
    (n x n_sentences * n_words) places in `words`.

    Raises
    ------
    InputError : the text marks no sentences, or has too few that fit.
    """
    if words["sentence"].eq(-1).all():
        raise InputError("the text has no column `sentence`; yoking needs to know where they end")
    fits = words["word"].isin(allowed).groupby(words["sentence"]).agg(["all", "size"])
    wanted = fits.index[fits["all"] & (fits["size"] == n_words) & (fits.index >= 0)]
    if len(wanted) < n_sentences:
        raise InputError(
            f"yoking: the text has {len(wanted)} sentences of {n_words} words that are one token "
            f"each, {n_sentences} are needed; leave this length out or give more text"
        )
    rows = np.flatnonzero(words["sentence"].isin(wanted)).reshape(-1, n_words)
    drawn = rng.integers(len(rows), size=n)
    around = drawn[rng.integers(n, size=(n, n_sentences))]
    around[:, n_sentences // 2] = drawn
    return rows[around].reshape(n, -1)
