"""States of models, and baselines."""

import math
from typing import NamedTuple

from lmcortex.costs.machines import (
    CONTEXT_MB,
    CORE,
    CUDA_S,
    DOUBLE,
    FLOAT,
    GPU,
    ITEMSIZE,
    MIB,
    TABLES_MB,
    TABLES_S,
    TORCH_MB,
    TORCH_S,
    host_mb,
    on_gpu,
)
from lmcortex.costs.models import DIGEST_MB_S, computing_params, n_params, stored_bytes
from lmcortex.costs.requests import Cost
from lmcortex.plan import Plan
from lmcortex.registry import Model

# Constants of modules that are too heavy to import here; a test compares them.
BATCH_TOKENS = 4096
BASELINE_WIDTHS = {
    "word-rate": 3,
    "random-embedding": 1024,
    "random-vector": 1024,
    "glove": 300,  # of the vectors that are mostly used
}
BUMP_WIDTHS = (2, 8, 32)

TOKENS_PER_WORD = 1.4  # English; 1.2 to 1.4 with vocabularies of 50,000, 1.6 with one of 4,000


class Reading(NamedTuple):
    """How a model reads a stimulus: tokens in all its passes, and in a window and one pass."""

    tokens: int
    window: int
    batch: int


def reading(plan: Plan, dataset: str, model: Model) -> Reading:
    """Say how many tokens a model reads, over and over where windows overlap."""
    found = plan.datasets[dataset]
    extent = found.extent()
    tokens = math.ceil(TOKENS_PER_WORD * extent.words)
    if found.kind == "sentences":
        return Reading(tokens, math.ceil(tokens / extent.samples), min(tokens, BATCH_TOKENS))
    context = found.features_spec()["context"]
    run = math.ceil(tokens / extent.runs)
    window = min(run, context["tokens"] or model.context or run)
    passes = 1 + math.ceil((run - window) / context["new_tokens"])
    batch = min(passes, max(1, BATCH_TOKENS // window)) * window
    return Reading(extent.runs * passes * window, window, batch)


def extract_features(plan: Plan, dataset: str, model: str) -> Cost:
    """The weights, the states of a pass at all layers, and all features until they are written."""
    entry = plan.model(model)
    read = reading(plan, dataset, entry)
    found = plan.datasets[dataset]
    extent = found.extent()
    rows = extent.samples if found.kind == "sentences" else extent.words
    n_states = entry.n_layers + 1
    poolings = len(found.features_spec()["poolings"])
    features = FLOAT * poolings * n_states * rows * entry.width / MIB
    if found.kind == "sentences":
        features += grams_mb(plan, dataset, entry)

    itemsize = ITEMSIZE[entry.dtype]
    weights = itemsize * n_params(entry) / MIB
    # Weights of another precision than their file are copied from it; fresh ones begin as float32.
    stored = stored_bytes(entry)
    loading = max(FLOAT, itemsize + (stored if stored != itemsize else 0)) * n_params(entry) / MIB
    # A block works on 16 arrays as wide as its input; the mask has a row per token.
    per_token = (n_states + 16) * entry.width + read.window
    states = itemsize * per_token * read.batch / MIB

    attention = 4 * entry.n_layers * entry.width * read.window
    operations = (2 * computing_params(entry) + attention) * read.tokens
    host = host_mb(plan, TORCH_MB)
    loading_s = 2 * loading / DIGEST_MB_S
    if on_gpu(plan):
        speed = GPU.float32 if entry.dtype == "float32" else GPU.half
        seconds = TORCH_S + CUDA_S + loading_s + operations / speed
        gpu = CONTEXT_MB + weights + states
        return Cost(host + max(loading, features), seconds, features, gpu)
    speed = CORE.float32 if entry.dtype == "float32" else CORE.half
    memory = host + max(loading, weights + states + features)
    return Cost(memory, TORCH_S + loading_s + operations / speed, features)


def grams_mb(plan: Plan, dataset: str, model: Model) -> float:
    """Return what the inner products of the tokens of sentences take."""
    read = reading(plan, dataset, model)
    numbers = plan.datasets[dataset].extent().samples * read.window**2
    return DOUBLE * (model.n_layers + 2) * numbers / MIB


def compute_baseline(plan: Plan, dataset: str, model: str) -> Cost:
    """Features of a baseline or planted model, in float64 before they are written."""
    found = plan.datasets[dataset]
    extent = found.extent()
    on_items = found.kind == "sentences" or model == "position"
    rows = extent.samples if on_items else extent.words
    n_states = plan.model(model).n_layers + 1
    size = n_states * max(rows, extent.samples) * columns(plan, dataset, model) / MIB
    words = extent.words * BASELINE_WIDTHS.get(model, 0) / MIB
    seconds = TABLES_S + 1e-4 * extent.words
    return Cost(TABLES_MB + 3 * DOUBLE * (size + words), seconds, FLOAT * size)


def columns(plan: Plan, dataset: str, model: str) -> int:
    """Return the width of a model's features, of a baseline's too."""
    entry = plan.model(model)
    extent = plan.datasets[dataset].extent()
    if entry.role == "planted":
        planted = plan.simulated(dataset)
        return len(planted.regions) * planted.stimuli.latents
    if model == "position":
        return sum(math.ceil(extent.samples / extent.runs / width) + 1 for width in BUMP_WIDTHS)
    return BASELINE_WIDTHS.get(model, entry.width)
