"""Stimuli as two tables: items, the rows of the design, and words, what a model reads."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.gentle import read_gentle
from lmcortex.tabular import numbers, read_table, repeated, require_columns
from lmcortex.textgrid import read_textgrid

LOOK_AHEAD = 20  # words of the text, such as a heading, that the recording may leave out at once
WORD_COLUMNS = ("onset", "duration", "word", "run", "sentence")
JOINED = 3  # spoken words that may be one word of the text, as `did` and `n't` are
# A word of a text: a Chinese character, or a run of other letters and digits.
PARTS = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})

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
    word_files : one .tsv, .csv, .TextGrid or Gentle's .json per run, or a single table with a run
        column.
    text_files : the full text with punctuation, one file per run; or none, and words are joined as
        in Gentle's transcript, or by single spaces.
    spec : ``runs``, ``samples`` (of a run, or one number per run), ``tr`` (seconds), ``start``
        (seconds of the first sample on the words' clock), ``trim`` (samples dropped at either end
        of each run), ``textgrid`` (``tier``, ``skip``), ``columns``, the names of the columns
        `onset`, `duration` (or `offset`), `word`, `run` and `sentence`, ``corrections`` of a table
        (see `correct_words`) and ``spellings`` (see `align_words`).
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
            spoken = table["word"].tolist()
            words, before, skipped = align_words(spoken, text, where, spec.get("spellings"))
            quality.append(fact("text words not spoken", skipped, f"run {run}"))
        else:
            words = table["word"].tolist()
            spaces = ["", *[" "] * (len(words) - 1)]
            before = table["before"].tolist() if "before" in table else spaces
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
    tables = [_read_words(file, spec) for file in files]
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


def _read_words(path: str, spec: Mapping[str, Any]) -> pd.DataFrame:
    if Path(path).suffix.lower() == ".textgrid":
        textgrid = spec.get("textgrid")
        if not textgrid:
            raise InputError(f"{path}: name the tier of this TextGrid under `textgrid`")
        words = read_textgrid(path, textgrid["tier"], textgrid.get("skip", ()))
        words["sentence"] = pd.NA
        return words
    if Path(path).suffix.lower() == ".json":
        words = read_gentle(path)
        words["sentence"] = pd.NA
        return words
    named = spec.get("columns", {})
    columns = {name: named.get(name, name) for name in WORD_COLUMNS}
    table = read_table(path)
    length = named.get("offset") or columns["duration"]
    require_columns(table.columns, [columns["onset"], length, columns["word"]], path)
    table = correct_words(table, columns["word"], spec.get("corrections") or {}, path)
    words = pd.DataFrame({"word": table[columns["word"]].str.strip()})
    if (blank := words["word"] == "").any():
        row = words.index.to_numpy()[int(np.argmax(blank))]
        raise InputError(f"{path}: line {row + 2} has an empty word")
    words["onset"] = numbers(table[columns["onset"]], path, may_miss=True)
    words["duration"] = numbers(table[length], path, may_miss=True)
    if named.get("offset"):
        words["duration"] -= words["onset"]
    sentence, run = columns["sentence"], columns["run"]
    words["sentence"] = numbers(table[sentence], path).round() if sentence in table else pd.NA
    if run in table:
        words["run"] = table[run].str.strip()
    return words


def correct_words(
    table: pd.DataFrame, column: str, corrections: Mapping[str, Any], path: str
) -> pd.DataFrame:
    """Mend a table of words as its dataset file says.

    Parameters
    ----------
    column : of the words.
    corrections : ``words``, what stands in a row instead, and ``drop``, rows that are left out;
        rows count from 0 below the header. ``drop_blank`` leaves out those without a word.
    """
    named = [*corrections.get("words", {}), *corrections.get("drop", [])]
    if beyond := [row for row in map(int, named) if not 0 <= row < len(table)]:
        raise InputError(
            f"{path}: `corrections` name row {beyond[0]}, but there are {len(table)} rows; is it "
            "the version of the file that they were made for?"
        )
    table = table.copy()
    for row, word in corrections.get("words", {}).items():
        table.loc[int(row), column] = word
    table = table.drop(index=corrections.get("drop", []))
    return table[table[column].str.strip() != ""] if corrections.get("drop_blank") else table


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


def align_words(
    words: Sequence[str], text: str, where: str, spellings: Mapping[str, str] | None = None
) -> tuple[list[str], list[str], int]:
    """Find spoken words in the running text by letters and digits, whatever their case and accents.

    Each word is looked for from where the last one ended, at most `LOOK_AHEAD` words ahead, so
    that a word that is not in the text is an error there and not somewhere later. Up to `JOINED`
    spoken words may share a word of the text.

    Parameters
    ----------
    words : spoken words, in order.
    text : the running text.
    where : file and run, for messages.
    spellings : of spoken words that the text may write in another way (``{"one": "1"}``).

    Returns
    -------
    found : each word as the text has it; ``don't`` is one word, a comma after it is no part of it.
    before : the characters between it and the word before (or the start of the text).
    skipped : how many words of the text were not spoken.
    """
    parts = [(part.start(), part.end(), letters_of(part[0])) for part in PARTS.finditer(text)]
    written = {letters_of(word): letters_of(other) for word, other in (spellings or {}).items()}
    spoken = [letters_of(word) for word in words]
    found, before, skipped, here, end = [], [], 0, 0, 0
    while (number := len(found)) < len(words):
        place = _find(spoken[number : number + JOINED], written, parts, here)
        if place is None:
            heard = " ".join(text[start:stop] for start, stop, _ in parts[here : here + 6])
            raise InputError(
                f"{where}: word {number + 1} (`{words[number]}`) is not in the text, which goes "
                f"on: {heard or 'the end'}; correct the words or the text"
            )
        first, after, n_words = place
        skipped += first - here
        for start, stop in _spans(spoken[number : number + n_words], text, parts[first:after]):
            before.append(text[end:start])
            found.append(text[start:stop])
            end = stop
        here = after
    return found, before, skipped + len(parts) - here


def letters_of(word: str) -> str:
    """Return a word's letters and digits in lower case, without accents and ligatures."""
    plain = unicodedata.normalize("NFKD", word.casefold().translate(LIGATURES))
    return "".join(letter for letter in plain if letter.isalnum())


def _find(
    spoken: Sequence[str],
    written: Mapping[str, str],
    parts: Sequence[tuple[int, int, str]],
    here: int,
) -> tuple[int, int, int] | None:
    """Return the first range of parts, from `here` on, that spell the next word or words.

    The third number says how many: one, unless only several together fill the parts.
    """
    spelt = [(1, spoken[0]), *([(1, written[spoken[0]])] if spoken[0] in written else [])]
    spelt += [(n, "".join(spoken[:n])) for n in range(2, len(spoken) + 1) if all(spoken[:n])]
    for first in range(here, min(here + LOOK_AHEAD + 1, len(parts))):
        for n_words, letters in spelt:
            if after := _spell(letters, parts, first):
                return first, after, n_words
    return None


def _spell(letters: str, parts: Sequence[tuple[int, int, str]], first: int) -> int | None:
    """Return the part after those from `first` on that spell `letters`, if they do."""
    spelt, after = "", first
    while after < len(parts) and spelt != letters and letters.startswith(spelt):
        spelt += parts[after][2]
        after += 1
    return after if spelt == letters and after > first else None


def _spans(
    spoken: Sequence[str], text: str, parts: Sequence[tuple[int, int, str]]
) -> list[tuple[int, int]]:
    """Return the first character and the one after the last of each of the words that share parts.

    A single word has all of them, however the text writes it.
    """
    places = [
        place
        for start, stop, _ in parts
        for place in range(start, stop)
        for _ in letters_of(text[place])
    ]
    ends = np.cumsum([len(word) for word in spoken])
    ends[-1] = len(places)
    starts = [0, *ends[:-1]]
    return [(places[start], places[stop - 1] + 1) for start, stop in zip(starts, ends, strict=True)]
