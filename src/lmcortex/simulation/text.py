"""The text of the simulated datasets: prose that the local model suite was not trained on."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from lmcortex.errors import InputError
from lmcortex.seeds import generator
from lmcortex.stimuli import sample_items
from lmcortex.suite.text import pydoc_passages, split_passages

LEAD, TAIL = 4.0, 10.0  # seconds of silence: a run begins so, and the last response ends in it
PAUSES = {",": 0.25, ";": 0.4, ":": 0.4, ".": 0.6, "?": 0.6, "!": 0.6}  # seconds after a word
FEWEST_SENTENCES = 100

Tables = tuple[pd.DataFrame, pd.DataFrame]


def simulate_sentences(settings: Mapping[str, Any]) -> Tables:
    """Draw different sentences of the held-out prose, in random order.

    Parameters
    ----------
    settings : ``sentences`` (how many at most), ``words`` (fewest and most words of a sentence),
        ``held_out`` (share of passages) and ``seed``.

    Returns
    -------
    items, words : tables of the stimulus.

    Raises
    ------
    InputError : fewer than 100 such sentences.
    """
    fewest, most = settings["words"]
    training, held_out = split_passages(pydoc_passages(), settings["held_out"])
    trained_on = "\n".join(training)
    found = [
        sentence
        for passage in held_out
        for sentence in split_sentences(passage)
        if fewest <= len(sentence.split()) <= most and sentence not in trained_on
    ]
    found = list(dict.fromkeys(found))
    if len(found) < FEWEST_SENTENCES:
        raise InputError(
            f"stimuli: {len(found)} held-out sentences of {fewest} to {most} words, expected at "
            f"least {FEWEST_SENTENCES}; widen `words` or raise `held_out`"
        )
    order = generator("sentences", settings["seed"]).permutation(len(found))
    texts = [found[place] for place in order[: settings["sentences"]]]
    names = [f"sentence-{number:04d}" for number in range(1, len(texts) + 1)]
    times = [float(row) for row in range(len(texts))]
    items = pd.DataFrame({"item": names, "run": "1", "time": times, "text": texts})
    words = [
        {"item": item, "run": "1", **word, "onset": float("nan"), "duration": float("nan")}
        for item, text in zip(names, texts, strict=True)
        for word in split_words(text)
    ]
    return items, pd.DataFrame(words).assign(sentence=pd.array([pd.NA] * len(words), "Int64"))


def simulate_story(settings: Mapping[str, Any], tr: float) -> Tables:
    """Read held-out passages aloud, run by run.

    A word lasts as long as its letters need, and a pause follows each mark of punctuation; that
    makes about 2.5 words per second.

    Parameters
    ----------
    settings : ``runs`` and ``samples`` per run (numbers), ``held_out`` (share of passages) and
        ``seed``.
    tr : seconds between samples; the first one is at 0.

    Returns
    -------
    items, words : tables of the stimulus; an item is a sample.

    Raises
    ------
    InputError : too little text for so many runs.
    """
    passages = split_passages(pydoc_passages(), settings["held_out"])[1]
    order = generator("story", settings["seed"]).permutation(len(passages))
    spoken = spoken_words(passages[place] for place in order)
    runs = [str(number) for number in range(1, settings["runs"] + 1)]
    items = sample_items({"runs": runs, "samples": settings["samples"], "tr": tr, "start": 0.0})
    words = []
    for run, samples in items.groupby("run", sort=False):
        onset, before = LEAD, ""
        while onset < samples["time"].max() - TAIL:
            if (word := next(spoken, None)) is None:
                raise InputError(
                    f"stimuli: the held-out text ends in run {run} of {len(runs)}; ask for "
                    "fewer runs or samples, or raise `held_out`"
                )
            pause = word.pop("pause")
            words.append({"item": "", "run": run, **word, "before": before, "onset": onset})
            onset, before = round(onset + word["duration"] + pause, 3), " "
    columns = ["item", "run", "word", "before", "onset", "duration", "sentence"]
    return items, pd.DataFrame(words)[columns].astype({"sentence": "Int64"})


def split_sentences(passage: str) -> list[str]:
    return re.split(r"(?<=[.?!])\s+(?=[A-Z])", passage)


def split_words(text: str) -> list[dict[str, str]]:
    """Return words and the characters before each; together they are the text again."""
    return [{"word": word, "before": before} for before, word in re.findall(r"(\s*)(\S+)", text)]


def spoken_words(passages: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield each word with its duration, the pause after it (seconds) and its sentence's number."""
    sentences = (sentence for passage in passages for sentence in split_sentences(passage))
    for number, sentence in enumerate(sentences, start=1):
        for word in sentence.split():
            duration = round(0.1 + 0.05 * sum(map(str.isalnum, word)), 3)
            pause = PAUSES.get(word.rstrip(")'\"")[-1:], 0.0)
            yield {"word": word, "duration": duration, "pause": pause, "sentence": number}
