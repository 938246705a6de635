"""Stimuli as two tables: items, the rows of the design, and words, what a model reads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.tabular import numbers, read_table, repeated, require_columns
from lmcortex.textgrid import read_textgrid

LOOK_AHEAD = 20  # words of the text, such as a heading, that the recording may leave out at once
WORD_COLUMNS = ("onset", "duration", "word", "run", "sentence")
LETTERS = re.compile(r"[^\W_]+")

Quality = list[dict[str, Any]]


@dataclass(frozen=True)
class Stimulus:
    """A prepared stimulus.

    Attributes
    ----------
    items : one row per sentence, or per sample of a story that is kept after trimming: ``item``,
        ``run``, ``time`` (story: seconds on the scanner's clock; sentences: position within the
        run) and ``text`` ("" for a story).
    words : one row per word, in reading order: ``item`` ("" for a story), ``run``, ``word`` as the
        text has it, ``before`` (the characters between it and the word before), ``onset`` and
        ``duration`` (seconds; NaN if unknown) and ``sentence`` (Int64). The text of a passage (an
        item, or a run of a story) is its rows' ``before + word``, joined.
    quality : facts about the data: ``measure``, ``value``, ``detail``.
    """

    items: pd.DataFrame
    words: pd.DataFrame
    quality: Quality = field(default_factory=list)


def fact(measure: str, value: float, detail: str = "", **labels: str) -> dict[str, Any]:
    """Return one row of the study's ``quality`` table; `labels` may be ``roi``, ``hemisphere``."""
    return {"measure": measure, "value": float(value), "detail": detail, **labels}


# --- sentences ------------------------------------------------------------------------------------


def prepare_sentences(path: str | Path, spec: Mapping[str, Any]) -> Stimulus:
    """Read a table of sentences.

    Parameters
    ----------
    path : .csv or .tsv, one row per item.
    spec : ``columns``, the names of the columns `item`, `text` and `run` (each its own name by
        default; a table without a column ``run`` is one run).
    """
    table = read_table(path)
    columns = spec.get("columns", {})
    item, text, run = (columns.get(name, name) for name in ("item", "text", "run"))
    require_columns(table.columns, [item, text, *([] if run in (None, "run") else [run])], path)
    runs = table[run] if run in table else pd.Series("1", index=table.index)
    items = pd.DataFrame({"item": table[item], "run": runs, "text": table[text].str.strip()})
    if (twice := repeated(items["item"])) is not None:
        raise InputError(f"{path}: item `{twice}` stands twice in column `{item}`; keep one")
    if (blank := items["text"] == "").any():
        raise InputError(f"{path}: item `{items['item'][blank].iloc[0]}` has an empty text")
    items.insert(2, "time", items.groupby("run").cumcount().astype(np.float64))

    rows = [
        (*place, *word)
        for *place, text in items[["item", "run", "text"]].itertuples(index=False)
        for word in split_words(text)
    ]
    words = pd.DataFrame(rows, columns=["item", "run", "before", "word"])
    return Stimulus(
        items,
        words_table(words["word"], words["before"], item=words["item"], run=words["run"]),
        [fact("items", len(items)), fact("words", len(words))],
    )


def split_words(text: str) -> list[tuple[str, str]]:
    """Split at white space; return (the space before, the word) pairs."""
    return re.findall(r"(\s*)(\S+)", text)


def words_table(words: Any, before: Any, **columns: Any) -> pd.DataFrame:
    """Lay out the table of words (see `Stimulus`); a column that is not given is empty."""
    table = pd.DataFrame({"word": words, "before": before}).assign(**{"item": "", **columns})
    for name, dtype in (("onset", "float64"), ("duration", "float64"), ("sentence", "Int64")):
        table[name] = table[name].astype(dtype) if name in table else pd.Series(dtype=dtype)
    return table[["item", "run", "word", "before", "onset", "duration", "sentence"]]


# --- stories --------------------------------------------------------------------------------------


def prepare_story(
    word_files: Sequence[str], text_files: Sequence[str], spec: Mapping[str, Any]
) -> Stimulus:
    """Read the timed words of a story and lay out the samples of its runs.

    Parameters
    ----------
    word_files : one .tsv, .csv or .TextGrid per run, or a single table with a run column.
    text_files : the full text with punctuation, one file per run; or none, and words are joined by
        single spaces.
    spec : ``runs``, ``samples`` (of a run, or one number per run), ``tr`` (seconds), ``start``
        (seconds of the first sample on the words' clock), ``trim`` (samples dropped at either end
        of each run), ``textgrid`` (``tier``, ``skip``), and ``columns``, the names of the columns
        `onset`, `duration`, `word`, `run` and `sentence`.
    """
    runs = list(spec["runs"])
    items = sample_items(spec)
    timed = _timed_words(word_files, runs, spec)
    if text_files and len(text_files) != len(runs):
        raise InputError(f"{len(text_files)} text files for {len(runs)} runs; give one per run")
    tables, quality = [], [fact("items", len(items))]
    for number, run in enumerate(runs):
        table = timed[run]
        if text_files:
            text = _read_passage(text_files[number])
            where = f"{text_files[number]}: run {run}"
            words, before, skipped = align_words(table["word"].tolist(), text, where)
            quality.append(fact("text words not spoken", skipped, f"run {run}"))
        else:
            words = table["word"].tolist()
            before = ["", *[" "] * (len(words) - 1)]
        timing = {name: table[name].array for name in ("onset", "duration", "sentence")}
        tables.append(words_table(words, before, run=run, **timing))
        quality += _timing_facts(table, items[items["run"] == run], run)
    return Stimulus(items, pd.concat(tables, ignore_index=True), quality)


def sample_items(spec: Mapping[str, Any]) -> pd.DataFrame:
    """Lay out one item per sample that is kept: sample i of a run is at ``start + tr * i``."""
    first, last = spec.get("trim", (0, 0))
    tables = []
    for run, samples in samples_per_run(spec).items():
        kept = np.arange(first, samples - last)
        if len(kept) < 2:
            raise InputError(
                f"run {run}: trim {first} + {last} of {samples} samples leaves {len(kept)}; "
                "at least 2 are needed"
            )
        names = [f"run-{run}_tr-{index:04d}" for index in kept]
        times = spec["start"] + spec["tr"] * kept.astype(np.float64)
        tables.append(pd.DataFrame({"item": names, "run": run, "time": times, "text": ""}))
    return pd.concat(tables, ignore_index=True)


def samples_per_run(spec: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of samples of each run, before trimming."""
    runs, samples = list(spec["runs"]), spec["samples"]
    counts = [samples] * len(runs) if isinstance(samples, int) else list(samples)
    if len(counts) != len(runs):
        raise InputError(f"samples: {len(counts)} numbers for {len(runs)} runs; give one per run")
    return dict(zip(runs, counts, strict=True))


def _timed_words(
    files: Sequence[str], runs: list[str], spec: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """Return onset, duration, word and sentence of each run."""
    columns = {name: spec.get("columns", {}).get(name, name) for name in WORD_COLUMNS}
    tables = [_read_words(file, columns, spec.get("textgrid")) for file in files]
    if len(files) == 1 and (len(runs) > 1 or "run" in tables[0]):
        require_columns(tables[0].columns, ["run"], files[0])
        by_run = {str(run): part for run, part in tables[0].groupby("run", sort=False)}
        if unknown := sorted(set(by_run) - set(runs)):
            raise InputError(
                f"{files[0]}: run `{unknown[0]}` is not among the dataset's runs "
                f"({', '.join(runs)}); list it there, or take its rows out"
            )
        source = dict.fromkeys(runs, files[0])
    elif len(files) == len(runs):
        by_run = dict(zip(runs, tables, strict=True))
        source = dict(zip(runs, files, strict=True))
    else:
        raise InputError(f"{len(files)} word files for {len(runs)} runs; give one, or one per run")
    for run in runs:
        if run not in by_run or by_run[run].empty:
            raise InputError(f"{source[run]}: run {run} has no words")
        _check_timing(by_run[run], f"{source[run]}: run {run}")
    return by_run


def _read_words(
    path: str, columns: Mapping[str, str], textgrid: Mapping[str, Any] | None
) -> pd.DataFrame:
    if Path(path).suffix.lower() == ".textgrid":
        if not textgrid:
            raise InputError(f"{path}: name the tier of this TextGrid under `textgrid`")
        words = read_textgrid(path, textgrid["tier"], textgrid.get("skip", ()))
        words["sentence"] = pd.NA
        return words
    table = read_table(path)
    required = [columns[name] for name in ("onset", "duration", "word")]
    require_columns(table.columns, required, path)
    onset, duration, word = (table[name] for name in required)
    words = pd.DataFrame({"word": word.str.strip()})
    if (blank := words["word"] == "").any():
        raise InputError(f"{path}: line {int(np.argmax(blank)) + 2} has an empty word")
    words["onset"] = numbers(onset, path, may_miss=True)
    words["duration"] = numbers(duration, path, may_miss=True)
    sentence, run = columns["sentence"], columns["run"]
    words["sentence"] = numbers(table[sentence], path).round() if sentence in table else pd.NA
    if run in table:
        words["run"] = table[run].str.strip()
    return words


def _check_timing(words: pd.DataFrame, where: str) -> None:
    timed = words[words["onset"].notna()]
    if timed.empty:
        raise InputError(f"{where}: no word has an onset")
    if (wrong := ~(timed["duration"] >= 0)).any():
        raise InputError(
            f"{where}: word `{timed['word'][wrong].iloc[0]}` at {timed['onset'][wrong].iloc[0]} s: "
            f"expected a duration of 0 s or more, found {timed['duration'][wrong].iloc[0]}"
        )
    if (back := timed["onset"].diff() < 0).any():
        raise InputError(
            f"{where}: word `{timed['word'][back].iloc[0]}` at {timed['onset'][back].iloc[0]} s "
            "starts before the word in the row above; sort the rows by onset"
        )


def _timing_facts(words: pd.DataFrame, items: pd.DataFrame, run: str) -> Quality:
    first, last = items["time"].iloc[0], items["time"].iloc[-1]
    outside = (words["onset"] < first) | (words["onset"] > last)
    return [
        fact("words", len(words), f"run {run}"),
        fact("words without onset", words["onset"].isna().sum(), f"run {run}"),
        fact("words outside the kept samples", outside.sum(), f"run {run}"),
    ]


def _read_passage(path: str) -> str:
    try:
        text = Path(path).read_text("utf-8-sig").strip()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error.reason}") from None
    if not text:
        raise InputError(f"{path}: the text is empty")
    return text


def align_words(words: Sequence[str], text: str, where: str) -> tuple[list[str], list[str], int]:
    """Find spoken words in the running text, letters and digits only, whatever their case.

    Each word is looked for from where the last one ended, at most `LOOK_AHEAD` words ahead, so
    that a word that is not in the text is an error there and not somewhere later.

    Parameters
    ----------
    words : spoken words, in order.
    text : the running text.
    where : file and run, for messages.

    Returns
    -------
    found : each word as the text has it; ``don't`` is one word, a comma after it is no part of it.
    before : the characters between it and the word before (or the start of the text).
    skipped : how many words of the text were not spoken.
    """
    parts = [(part.start(), part.end(), part[0].casefold()) for part in LETTERS.finditer(text)]
    found, before, skipped, here, end = [], [], 0, 0, 0
    for number, word in enumerate(words, start=1):
        spoken = "".join(LETTERS.findall(word)).casefold()
        place = _find(spoken, parts, here)
        if place is None:
            heard = " ".join(part[2] for part in parts[here : here + 6]) or "the end"
            raise InputError(
                f"{where}: word {number} (`{word}`) is not in the text, which goes on: {heard}; "
                "correct the words or the text"
            )
        first, after = place
        skipped += first - here
        start, stop = parts[first][0], parts[after - 1][1]
        before.append(text[end:start])
        found.append(text[start:stop])
        here, end = after, stop
    return found, before, skipped + len(parts) - here


def _find(spoken: str, parts: Sequence[tuple[int, int, str]], here: int) -> tuple[int, int] | None:
    """Return the first range of parts, from `here` on, that spell the word."""
    for first in range(here, min(here + LOOK_AHEAD + 1, len(parts))):
        spelt, after = "", first
        while after < len(parts) and spelt != spoken and spoken.startswith(spelt):
            spelt += parts[after][2]
            after += 1
        if spelt == spoken and after > first:
            return first, after
    return None
