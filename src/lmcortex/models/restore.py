"""Weights that left the cache, and that jobs still to run will read, are brought back."""

from collections.abc import Iterable, Iterator

from lmcortex import paths, storage
from lmcortex.models import ledger, load
from lmcortex.models.fetch import restore_checkpoint
from lmcortex.plan import Plan


def needed_weights(plan: Plan, outputs: Iterable[str]) -> list[str]:
    """List the descriptions of checkpoints whose files jobs still to run will find absent.

    Parameters
    ----------
    outputs : the first of each job that is still to run. A checkpoint that is to be fetched by a
        job of its own is left to that job. Those that others wait for come first.
    """
    pending = set(outputs)
    read = [run for run in plan.networks() if not pending.isdisjoint(plan.gpu_outputs(run))]
    read.sort(key=lambda run: len(plan.waiting_models(run)), reverse=True)
    described = [paths.CHECKPOINT.format(**run._asdict()) for run in read]
    return [path for path in described if path not in pending]


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
