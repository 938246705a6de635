"""Weights that left the cache, and that jobs still to run will read, are brought back."""

import csv
from collections.abc import Iterator
from pathlib import Path

from lmcortex import paths, storage
from lmcortex.models import ledger, load
from lmcortex.models.fetch import restore_checkpoint


def needed_weights(summary: str) -> list[str]:
    """List the descriptions of checkpoints whose files jobs still to run will find absent.

    Parameters
    ----------
    summary : what ``snakemake --summary`` prints. A checkpoint that is to be fetched by a job of
        its own is left to that job.
    """
    rows = [
        row
        for row in csv.DictReader(summary.splitlines(), delimiter="\t")
        if row["plan"] == "update pending"
    ]
    fetched = {row["output_file"] for row in rows if row["rule"] == "fetch_checkpoint"}
    features = [Path(row["output_file"]) for row in rows if row["rule"] == "extract_features"]
    described = [
        paths.CHECKPOINT.format(model=path.parent.name, checkpoint=path.stem) for path in features
    ]
    return [path for path in dict.fromkeys(described) if path not in fetched]


def restore(descriptions: list[str], budget: float) -> Iterator[str]:
    """Restore what is absent of the checkpoints described, as much as fits in the budget.

    Parameters
    ----------
    budget : bytes that all downloaded weights may take together.

    Yields
    ------
    A line on each checkpoint that is back, and on what is left to do.

    Raises
    ------
    InputError : a checkpoint cannot be restored; `ledger.NoRoom` where none is here and none fits.
    """
    described = [storage.read_json(path) for path in descriptions]
    wanted = [checkpoint for checkpoint in described if checkpoint["source"] == "hub"]
    absent = [checkpoint for checkpoint in wanted if not load.is_here(checkpoint)]
    if not absent:
        yield "nothing to restore"
    for done, checkpoint in enumerate(absent):
        left = len(absent) - done
        try:
            restore_checkpoint(checkpoint, budget)
        except ledger.NoRoom:
            if left == len(wanted):
                raise
            yield (
                f"{left} more do not fit in weights_budget_gb, {budget / ledger.GB:g}: run the "
                "study with --keep-going, which uses and releases what is here, then this again"
            )
            return
        size = sum(facts["size"] for facts in checkpoint["files"].values())
        name = f"{checkpoint['model']} {checkpoint['checkpoint']}"
        yield f"{name}: {ledger.gigabytes(size)} restored"
