"""Tables and figures of a study."""

from typing import NamedTuple

from lmcortex.costs.machines import (
    DOUBLE,
    FLOAT,
    MIB,
    STATISTICS_MB,
    STATISTICS_S,
    TABLES_MB,
    TABLES_S,
)
from lmcortex.costs.requests import Cost
from lmcortex.plan import Plan

SCORE_BYTES = 50  # of a row of scores in Parquet
TEXT_BYTES = 280  # and as text
ROW_BYTES = 3500  # of a row while the tables of all cells are joined
ROW_S = 5e-5  # seconds for a row, most of it to write it as text
READ_BYTES, READ_S = 600, 2e-5  # and while such a table is read
OPEN_S = 0.01  # seconds to open one of many small files


def places_of(plan: Plan, dataset: str) -> int:
    """Return how many rows a subject's scores have: each ROI and all, on each side and on both."""
    sides = 3 if plan.datasets[dataset].bilateral() else 1
    return sides * (plan.datasets[dataset].extent().rois + 1)


def summaries_of(plan: Plan, dataset: str) -> int:
    """Return how many subjects speak for a dataset: their mean and the group, or the only one."""
    return len(plan.datasets[dataset].speaking_subjects())


class Rows(NamedTuple):
    """Rows of the tables of all cells: scores, those among them with draws, and nested ones."""

    scores: int
    drawn: int
    nested: int


def rows_of(plan: Plan) -> Rows:
    scores = drawn = nested = 0
    for dataset in plan.study.datasets:
        places, subjects = places_of(plan, dataset), len(plan.datasets[dataset].fitted_subjects())
        n_fits = len(plan.fits_of(dataset))
        for run in plan.runs_on(dataset):
            layers = n_fits * (plan.model(run.model).n_layers + 2)
            scores += layers * places * (subjects + (subjects > 1))
            drawn += layers * places * summaries_of(plan, dataset)
            nested += n_fits * places * summaries_of(plan, dataset)
    return Rows(scores, drawn, nested)


def collect_scores(plan: Plan) -> Cost:
    """All rows of all cells, and their draws."""
    rows = rows_of(plan)
    draw = FLOAT * max(plan.fits[fit].n_resamples for fit in plan.study.fits)
    memory = ROW_BYTES * rows.scores + draw * (rows.drawn + 2 * rows.nested)
    disk = (SCORE_BYTES + TEXT_BYTES) * rows.scores + draw * rows.nested
    seconds = TABLES_S + ROW_S * rows.scores + OPEN_S * 2 * sum(1 for _ in plan.cells())
    return Cost(TABLES_MB + memory / MIB, seconds, disk / MIB)


def read_scores(plan: Plan) -> Cost:
    """A table or figure of the study, from its master table."""
    rows = rows_of(plan)
    draw = DOUBLE * max(plan.fits[fit].n_resamples for fit in plan.study.fits)
    memory = (READ_BYTES * rows.scores + draw * rows.nested) / MIB
    return Cost(STATISTICS_MB + memory, STATISTICS_S + READ_S * rows.scores, 0.1)


def open_outputs(plan: Plan) -> Cost:
    """A table of what each output of the study says of itself."""
    n_files = len(plan.signed_files())
    return Cost(TABLES_MB + 4000 * n_files / MIB, TABLES_S + OPEN_S * n_files, 500 * n_files / MIB)


def small(plan: Plan) -> Cost:
    """A job whose cost hardly depends on the data."""
    return Cost(TABLES_MB, TABLES_S, 0.1)
