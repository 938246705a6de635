"""Reading the tables and arrays that users bring, strictly: a bad cell is named, never guessed."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lmcortex.errors import InputError, suggestion

MISSING = ("", "n/a")  # an empty cell, and how BIDS writes one


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a .csv or .tsv file with a header; every cell stays text.

    Text keeps item labels such as ``007`` and words such as ``null`` as they are written. A quote
    has no meaning in a .tsv file (IANA and BIDS), because words may carry one.
    """
    path = Path(path)
    try:
        if path.suffix == ".csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        elif path.suffix == ".tsv":
            table = pd.read_csv(
                path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
            )
        else:
            raise InputError(f"{path}: a table with a header must end in .csv or .tsv")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable table: {' '.join(str(error).split())}") from None
    if table.empty:
        raise InputError(f"{path}: the table has no rows")
    return table


def require_columns(found: Iterable[object], wanted: Iterable[str], path: str | Path) -> None:
    """Refuse a table that lacks a column; name the nearest one that it has."""
    names = [str(name) for name in found]
    for name in wanted:
        if name not in names:
            raise InputError(f"{path}: no column `{name}`; {suggestion(name, names)}")


def numbers(column: pd.Series, path: str | Path, *, may_miss: bool = False) -> np.ndarray:
    """Return a column of text as float64; a cell that is not a finite number is an error.

    Parameters
    ----------
    column : cells of one column; the index counts the rows of the file from 0.
    may_miss : let an empty cell or ``n/a`` through as NaN.
    """
    cells = column.str.strip()
    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    allowed = cells.isin(MISSING).to_numpy() if may_miss else np.zeros(len(cells), bool)
    bad = ~np.isfinite(values) & ~allowed
    if bad.any():
        row = int(np.argmax(bad))
        line = int(column.index[row]) + 2  # the header is line 1
        raise InputError(
            f"{path}: line {line}, column `{column.name}`: expected a finite number, "
            f"found `{cells.iloc[row]}`"
        )
    return values


def read_series(path: str | Path) -> tuple[np.ndarray, list[str] | None]:
    """Read time series: rows are time points, columns are targets.

    Parameters
    ----------
    path : .csv or .tsv with a header of target names; .txt, columns parted by white space and no
        header; or .npy.

    Returns
    -------
    values : (n_samples, n_columns) float64, all finite.
    names : the header's names; None without a header.
    """
    path = Path(path)
    if path.suffix in (".csv", ".tsv"):
        table = read_table(path)
        return np.column_stack([numbers(table[name], path) for name in table]), [*map(str, table)]
    try:
        values = np.load(path) if path.suffix == ".npy" else np.loadtxt(path, ndmin=2)
        values = values.astype(np.float64)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: not a table of numbers: {error}".splitlines()[0]) from None
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"{path}: expected time x target, found an array of shape {values.shape}")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0] + 1
        raise InputError(
            f"{path}: row {row}, column {column}: expected a finite number, "
            f"found {values[row - 1, column - 1]}"
        )
    return values, None


def repeated(labels: pd.Series) -> str | None:
    """Return the first label that stands twice, if any."""
    twice = labels[labels.duplicated()]
    return None if twice.empty else str(twice.iloc[0])
