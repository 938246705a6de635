"""Word timing from Praat TextGrid files, in the long and the short text format."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from lmcortex.errors import InputError

# Praat reads free-standing strings, numbers and flags, and passes over everything else; both text
# formats are then the same sequence (fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html).
TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\S)|(<\w+>)')


def read_textgrid(path: str | Path, tier: str, skip: Collection[str] = ()) -> pd.DataFrame:
    """Read the labelled intervals of one tier.

    Parameters
    ----------
    path : a TextGrid in text format, UTF-8 or UTF-16.
    tier : name of the interval tier.
    skip : labels that are no words, such as ``sp`` for a silent pause; empty labels never are.

    Returns
    -------
    Data frame with ``onset`` and ``duration`` (seconds on the TextGrid's clock) and ``word``.
    """
    tiers = dict(_tiers(path))
    if tier not in tiers:
        raise InputError(f"{path}: no interval tier `{tier}`; tiers: {', '.join(tiers) or 'none'}")
    rows = [
        (start, end - start, label.strip())
        for start, end, label in tiers[tier]
        if label.strip() and label.strip() not in skip
    ]
    return pd.DataFrame(rows, columns=["onset", "duration", "word"])


def _tiers(path: str | Path) -> Iterator[tuple[str, list[tuple[float, float, str]]]]:
    """Yield the name and the (start, end, label) intervals of each interval tier."""
    tokens = TOKEN.finditer(_read_text(Path(path)))

    def text() -> str:
        token = next(tokens)
        if token[1] is None:
            raise ValueError(f"text expected, found {token[0]}")
        return token[1].replace('""', '"')

    def number() -> float:
        token = next(tokens)
        if token[2] is None:
            raise ValueError(f"number expected, found {token[0]}")
        return float(token[2])

    try:
        _type, _class, _start, _end, _flag = text(), text(), number(), number(), next(tokens)
        for _ in range(int(number())):
            kind, name, _start, _end, n = text(), text(), number(), number(), int(number())
            if kind == "IntervalTier":
                yield name, [(number(), number(), text()) for _ in range(n)]
            else:
                _points = [(number(), text()) for _ in range(n)]
    except ValueError as error:
        raise InputError(f"{path}: not a TextGrid in text format: {error}") from None
    except StopIteration:
        raise InputError(f"{path}: the TextGrid ends early; is the file whole?") from None


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: neither UTF-8 nor UTF-16 text: {error.reason}") from None
