"""A story cut into passages that are read alone, as the sentences of other datasets are."""

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# As long as the long sentences of the datasets that come as sentences; entropy grows with length.
PASSAGE_WORDS = 24


def story_passages(words: "pd.DataFrame") -> dict[str, str]:
    """Cut a story at the ends of its sentences, and longer stretches into equal parts.

    Parameters
    ----------
    words : table with run, before, word and sentence. A run in which a word has no sentence is
        cut as if it were one long sentence.

    Returns
    -------
    The text of each passage, by a name such as ``run 1 words 25-48``, in the order of the text: at
    most `PASSAGE_WORDS` words with the punctuation around them.
    """
    found = {}
    for run, table in words.groupby("run", sort=False):
        pieces = cut(table["sentence"])
        # What stands between two passages, up to its last white space, ends the first of them.
        between = [split_before(table["before"].iloc[piece[0]]) for piece in pieces]
        for number, piece in enumerate(pieces):
            rows = table.iloc[piece]
            text = "".join(rows["before"] + rows["word"])
            text = text[len(between[number][0]) if number else 0 :]
            after = between[number + 1][0] if number + 1 < len(pieces) else ""
            found[f"run {run} words {piece[0] + 1}-{piece[-1] + 1}"] = (text + after).strip()
    return found


def cut(sentence: "pd.Series") -> list[np.ndarray]:
    """Return the places of the words of each passage of a run."""
    places = np.arange(len(sentence))
    ends = places[:0]
    if sentence.notna().all():
        ends = np.flatnonzero(np.diff(sentence.to_numpy(float))) + 1
    return [
        piece
        for stretch in np.split(places, ends)
        for piece in np.array_split(stretch, -(-len(stretch) // PASSAGE_WORDS))
    ]


def split_before(before: str) -> tuple[str, str]:
    """Split what stands before a word after its last white space."""
    end = re.search(r"\S*$", before)
    place = end.start() if end else 0
    return before[:place], before[place:]
