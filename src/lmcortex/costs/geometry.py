"""What measuring the geometry of layers costs, and relating it to the brain."""

import math

from lmcortex.costs.features import BATCH_TOKENS, TOKENS_PER_WORD, grams_mb, reading
from lmcortex.costs.machines import (
    CONTEXT_MB,
    CORE,
    CUDA_S,
    DOUBLE,
    FLOAT,
    GPU,
    ITEMSIZE,
    MIB,
    STATISTICS_MB,
    STATISTICS_S,
    TABLES_MB,
    TABLES_S,
    TORCH_MB,
    TORCH_S,
    host_mb,
    on_gpu,
)
from lmcortex.costs.models import DIGEST_MB_S, computing_params, n_params, stored_bytes
from lmcortex.costs.requests import Cost
from lmcortex.costs.tables import OPEN_S, read_scores, rows_of
from lmcortex.plan import Plan
from lmcortex.registry import Model

PASSAGE_WORDS = 24  # of a story, as in `lmcortex.geometry.passages`, which is too heavy to import
VALUES = 20  # measures and variants of a sentence at a layer
MEASURED_S = 1e-3  # all measures of a sentence in a state; .5 ms were measured
ROW_BYTES = 2000  # of the table of geometry, in memory
CELL_S = 0.02  # a partial correlation with its test, its bootstrap and its shifts
RELATIONS = 200  # of them for each region of a checkpoint
CLUSTERING_S = 1.0  # the modules of a checkpoint, with their variants and nulls


def measure_geometry(plan: Plan, dataset: str, model: str) -> Cost:
    """The inner products of all sentences, and their numbers at each layer."""
    entry, sentences = plan.model(model), plan.datasets[dataset].extent().samples
    read = grams_mb(plan, dataset, entry)
    numbers = numbers_mb(entry, sentences)
    # A batch of one state's matrices, in parts and products.
    working = 30 * DOUBLE * BATCH_TOKENS * reading(plan, dataset, entry).window / MIB
    seconds = MEASURED_S * (entry.n_layers + 2) * sentences
    return Cost(TORCH_MB + read + numbers + working, TORCH_S + seconds, numbers)


def measure_passages(plan: Plan, dataset: str, model: str) -> Cost:
    """The forward pass of each passage alone, and its numbers at each layer."""
    entry, extent = plan.model(model), plan.datasets[dataset].extent()
    passages = extent.words / PASSAGE_WORDS
    numbers = numbers_mb(entry, passages)

    itemsize, stored = ITEMSIZE[entry.dtype], stored_bytes(entry)
    weights = itemsize * n_params(entry) / MIB
    loading = max(FLOAT, itemsize + (stored if stored != itemsize else 0)) * n_params(entry) / MIB
    # The states of a pass, and those of one layer in float64.
    states = (itemsize * (entry.n_layers + 16) + 4 * DOUBLE) * entry.width * BATCH_TOKENS / MIB

    tokens = math.ceil(TOKENS_PER_WORD * extent.words)
    operations = 2 * computing_params(entry) * tokens
    host = host_mb(plan, TORCH_MB)
    loading_s = 2 * loading / DIGEST_MB_S + MEASURED_S * (entry.n_layers + 2) * passages
    if on_gpu(plan):
        speed = GPU.float32 if entry.dtype == "float32" else GPU.half
        seconds = TORCH_S + CUDA_S + loading_s + operations / speed
        return Cost(host + max(loading, numbers), seconds, numbers, CONTEXT_MB + weights + states)
    speed = CORE.float32 if entry.dtype == "float32" else CORE.half
    memory = host + max(loading, weights + states + numbers)
    return Cost(memory, TORCH_S + loading_s + operations / speed, numbers)


def numbers_mb(model: Model, sentences: float) -> float:
    return DOUBLE * VALUES * (model.n_layers + 2) * sentences / MIB


def collect_geometry(plan: Plan) -> Cost:
    """All rows of all runs; the numbers of single sentences are read and dropped."""
    layers = sum(plan.model(run.model).n_layers + 2 for run in plan.measured_runs())
    rows = VALUES * layers * len(plan.study.datasets)
    sentences = max(found.extent().samples for found in plan.datasets.values())
    memory = TABLES_MB + (ROW_BYTES + DOUBLE * sentences) * rows / MIB
    return Cost(memory, TABLES_S + OPEN_S * len(plan.geometry_files()), 200 * rows / MIB)


def cluster_layers(plan: Plan) -> Cost:
    """The modules of each model, those of their nulls and of draws of one run's sentences."""
    n_files = len(plan.geometry_files())
    layers = max((plan.model(run.model).n_layers + 2 for run in plan.measured_runs()), default=0)
    sentences = max(found.extent().samples for found in plan.datasets.values())
    memory = STATISTICS_MB + 200 + 2 * DOUBLE * VALUES * layers * sentences / MIB
    return Cost(memory, STATISTICS_S + CLUSTERING_S * n_files, 1)


def score_modules(plan: Plan) -> Cost:
    """The draws of all layers of the networks, at once."""
    rows = rows_of(plan)
    draw = (FLOAT + DOUBLE) * max(plan.fits[fit].n_resamples for fit in plan.study.fits)
    scores = read_scores(plan)
    return Cost(scores.mem_mb + draw * rows.drawn / MIB, scores.seconds + 2e-3 * rows.drawn, 1)


def relate_geometry(plan: Plan) -> Cost:
    """Partial correlations of the variants of geometry with the scores of all regions."""
    scores = read_scores(plan)
    seconds = scores.seconds + CELL_S * RELATIONS * rows_of(plan).nested
    return Cost(scores.mem_mb + 800, seconds, 1)
