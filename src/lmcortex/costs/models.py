"""Checkpoints: to download, to read, to train."""

from lmcortex import registry
from lmcortex.costs.machines import (
    CORE,
    FLOAT,
    ITEMSIZE,
    MIB,
    TABLES_MB,
    TABLES_S,
    TORCH_MB,
    TORCH_S,
)
from lmcortex.costs.requests import Cost
from lmcortex.plan import Plan
from lmcortex.registry import Model

# Published weights are in half precision but for these families.
FLOAT32_FAMILIES = {"gpt2", "gpt2-chinese", "gpt2-french", "bert", "minilm", "mamba"}
VOCABULARY = 65_536  # at most so many embeddings are taken off to see how many parameters compute
DESCRIPTION_MB = 0.01  # of a checkpoint, as JSON
SUPPORT_MB = 4.0  # configuration and tokenizer
DOWNLOAD_MB_S = 50.0
DIGEST_MB_S = 400.0


def computing_params(model: Model) -> int:
    """Return how many parameters multiply each token's state: those of the blocks.

    A block of a transformer has 12 width^2; some have more, which their total shows.
    """
    blocks = 12 * model.n_layers * model.width**2
    return max(blocks, (model.n_params or 0) - 2 * VOCABULARY * model.width)


def n_params(model: Model) -> int:
    """Return a model's parameters, reckoned where the registry does not say."""
    return model.n_params or computing_params(model) + 2 * VOCABULARY * model.width


def stored_bytes(model: Model) -> int:
    """Return the bytes of a parameter in a model's files."""
    whole = model.source == "suite" or model.family in FLOAT32_FAMILIES
    return ITEMSIZE["float32" if whole else "float16"]


def weights_mb(plan: Plan, model: str, checkpoint: str) -> float:
    """Return the size of a checkpoint's files as published."""
    if registry.UNTRAINED.fullmatch(checkpoint):
        return SUPPORT_MB
    entry = plan.model(model)
    return SUPPORT_MB + stored_bytes(entry) * n_params(entry) / MIB


def fetch_checkpoint(plan: Plan, model: str, checkpoint: str) -> Cost:
    """Download (from the hub) and digest; a .bin file is read whole to be converted."""
    entry = plan.model(model)
    size = weights_mb(plan, model, checkpoint)
    converted = entry.weights == "bin" and not registry.UNTRAINED.fullmatch(checkpoint)
    seconds = size / DIGEST_MB_S + (size / DOWNLOAD_MB_S if entry.source == "hub" else 0)
    if not converted:
        return Cost(TABLES_MB, TABLES_S + seconds, DESCRIPTION_MB)
    return Cost(TORCH_MB + 2 * size, TORCH_S + seconds + 3 * size / DIGEST_MB_S, DESCRIPTION_MB)


def cached_mb(plan: Plan, model: str, checkpoint: str) -> float:
    """Return what fetching a checkpoint adds to the cache; a converted copy stands by its .bin."""
    entry = plan.model(model)
    if entry.source != "hub":
        return 0.0
    size = weights_mb(plan, model, checkpoint)
    trained = not registry.UNTRAINED.fullmatch(checkpoint)
    return 2 * size if entry.weights == "bin" and trained else size


def train_suite(plan: Plan, suite: str) -> Cost:
    """Six operations per parameter and token, on two threads; Adam keeps four copies."""
    settings = plan.suites[suite]
    tokens = settings.batch * settings.context
    memory = seconds = disk = 0.0
    for size in settings.models.values():
        counted = registry.n_params(size.n_layers, size.width, settings.vocabulary)
        multiplied = counted - settings.vocabulary * size.width
        seconds += 6 * multiplied * tokens * size.checkpoints[-1] / CORE.float32
        states = 4 * settings.vocabulary + 16 * size.n_layers * size.width
        memory = max(memory, FLOAT * (4 * counted + states * tokens) / MIB)
        disk += len(size.checkpoints) * (FLOAT * counted / MIB + 0.5)
    return Cost(TORCH_MB + memory, TORCH_S + seconds, disk)
