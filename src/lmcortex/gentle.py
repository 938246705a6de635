"""Timed words as the forced aligner Gentle writes them (align.json)."""

import json
from pathlib import Path

import pandas as pd

from lmcortex.errors import InputError

UNKNOWN = "<unk>"  # a word that the aligner's dictionary does not have


def read_gentle(path: str | Path) -> pd.DataFrame:
    """Read the words of a transcript with their times.

    A word that was not found in the audio, or that the aligner did not know, has no time.

    Returns
    -------
    One row per word of the transcript: ``onset``, ``duration`` (seconds, NaN if unknown), ``word``
    as the transcript has it, and ``before``, the characters between it and the word before.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        transcript, words = content["transcript"], content["words"]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not an align.json of Gentle ({error})") from None
    rows, end = [], 0
    for number, word in enumerate(words, start=1):
        if word["case"] == "not-found-in-transcript":
            continue
        start, stop = word["startOffset"], word["endOffset"]
        if transcript[start:stop] != word["word"]:
            raise InputError(
                f"{path}: word {number}: expected `{word['word']}` at characters {start} to {stop} "
                f"of the transcript, found `{transcript[start:stop]}`"
            )
        timed = word["case"] == "success" and word["alignedWord"] != UNKNOWN
        times = {"onset": word["start"], "duration": word["end"] - word["start"]} if timed else {}
        rows.append({"word": word["word"], "before": transcript[end:start], **times})
        end = stop
    return pd.DataFrame(rows, columns=["onset", "duration", "word", "before"])
