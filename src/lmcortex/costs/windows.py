"""What measuring integration windows costs, and relating them to the brain."""

import math
from functools import cache
from pathlib import Path

from lmcortex.costs.features import BATCH_TOKENS, TOKENS_PER_WORD
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

# Constants of modules that are too heavy to import here; a test compares them.
BLOCK_BYTES = 2**29
BATCH_PLACES = 16384
HALVES = 2

WORD_BYTES = 300  # of a word of a text, while it is read
BYTES_PER_WORD = 6  # of a text: a word and the mark or space behind it
READING_S = 1e-5  # for a byte of text
PYDOC_BYTES = 600_000
UNIT_S = 2e-3  # the fits of a unit at a layer, of both sides
UNIT_BYTES = 1500  # a unit's row and those of its yoking, while they are held
FITTING_MB = 150  # the grid that fits start from, and its comparison with windows
DISTANCE_S = 2e-2  # the distances of a word's embedding from those of all others
RELATION_S = 0.1  # the partial correlations of a region with a measure, under every control


@cache
def text_bytes(files: tuple[str, ...]) -> int:
    return sum(Path(file).stat().st_size for file in files) if files else PYDOC_BYTES


def passes(plan: Plan, text: str, model: str) -> tuple[float, float]:
    """Return how many tokens a model reads of all swapped sequences, and words times lags held."""
    asked, entry = plan.texts[text], plan.model(model)
    passages = asked.passages
    causal = entry.task == "causal"
    lags = passages.lags + 1
    words = passages.words
    # Read again: the words up to the last lag, or the whole sequence.
    tokens = TOKENS_PER_WORD * passages.sequences * words * (1 + (lags if causal else words))
    held = words * lags
    if asked.yoking:
        for length in asked.yoking.lengths:
            words = length * asked.yoking.sentences
            tokens += asked.yoking.sequences * words * (1 + words * (0.55 if causal else 1))
            held = max(held, words * words)
    return tokens, held * (1 if causal else 2)


def choose_swaps(plan: Plan, text: str, model: str) -> Cost:
    """The words of the text; of embedding swaps the model, of masked ones a guess for each word."""
    asked, entry = plan.texts[text], plan.model(model)
    size = text_bytes(tuple(plan.text_files(text)))
    kinds = {asked.passages.swap, asked.yoking.swap if asked.yoking else None}
    memory, seconds, gpu = WORD_BYTES * size / BYTES_PER_WORD / MIB, READING_S * size, 0.0
    words = asked.passages.sequences * asked.passages.words
    if asked.yoking:
        each = asked.yoking.sequences * asked.yoking.sentences
        words += sum(each * length for length in asked.yoking.lengths)
    if "embedding" in kinds:
        weights = 2 * FLOAT * n_params(entry) / MIB
        memory, gpu = memory + weights, weights
        seconds += DISTANCE_S * math.sqrt(words) * 10 + 2 * weights / DIGEST_MB_S
    if asked.masked_model:
        guesser = plan.model(asked.masked_model)
        tokens = words * min(guesser.context or 512, TOKENS_PER_WORD * asked.passages.words)
        speed = (GPU if on_gpu(plan) else CORE).float32
        weights = 2 * FLOAT * n_params(guesser) / MIB
        memory, gpu = memory + weights, max(gpu, weights + 2000)
        seconds += 2 * n_params(guesser) * tokens / speed
    start = TORCH_S + (CUDA_S if on_gpu(plan) else 0)
    host = host_mb(plan, TORCH_MB)
    context = CONTEXT_MB + gpu if on_gpu(plan) else 0
    return Cost(host + memory, start + seconds, 50 * words / MIB, context)


def measure_windows(plan: Plan, text: str, model: str) -> Cost:
    """The forward passes of swapped sequences, the sums of a block of layers, and the fits."""
    entry, asked = plan.model(model), plan.texts[text]
    tokens, held = passes(plan, text, model)
    units = min(asked.units or entry.width, entry.width)
    n_states = entry.n_layers + 1
    layer = FLOAT * HALVES * held * units
    in_block = max(1, min(n_states, BLOCK_BYTES // layer))
    rounds = math.ceil(n_states / in_block)
    # Beside the block: its means, and one layer in float64 with what windows are made of.
    sums = (2 * in_block * layer + 4 * DOUBLE / FLOAT / HALVES * layer) / MIB
    rows = UNIT_BYTES * n_states * units / MIB

    itemsize, stored = ITEMSIZE[entry.dtype], stored_bytes(entry)
    weights = itemsize * n_params(entry) / MIB
    loading = max(FLOAT, itemsize + (stored if stored != itemsize else 0)) * n_params(entry) / MIB
    kept = 2 * BATCH_PLACES * entry.n_layers * entry.width if entry.task == "causal" else 0
    states = itemsize * (2 * kept + (n_states + 16) * entry.width * BATCH_TOKENS) / MIB

    operations = 2 * computing_params(entry) * tokens * rounds
    fits_s = UNIT_S * n_states * units
    loading_s = 2 * loading / DIGEST_MB_S
    host = host_mb(plan, TORCH_MB)
    disk = UNIT_BYTES / 4 * n_states * units / MIB
    if on_gpu(plan):
        speed = GPU.float32 if entry.dtype == "float32" else GPU.half
        seconds = TORCH_S + CUDA_S + loading_s + 3 * operations / speed + fits_s
        memory = host + max(loading, sums + rows + FITTING_MB)
        return Cost(memory, seconds, disk, CONTEXT_MB + weights + states + sums / 2)
    speed = CORE.float32 if entry.dtype == "float32" else CORE.half
    memory = host + max(loading, weights + states + sums + rows + FITTING_MB)
    return Cost(memory, TORCH_S + loading_s + 3 * operations / speed + fits_s, disk)


def largest_rows(plan: Plan) -> float:
    """Return the rows of the largest table of units."""
    sizes = [
        (plan.model(run.model).n_layers + 1) * (asked.units or plan.model(run.model).width)
        for asked in plan.texts.values()
        for run in plan.window_runs()
    ]
    return 2 * max(sizes, default=0)


def collect_windows(plan: Plan) -> Cost:
    """The units of one run after the other."""
    rows = largest_rows(plan)
    n_files = len(plan.window_files())
    seconds = TABLES_S + n_files * (OPEN_S + 2e-5 * rows)
    return Cost(TABLES_MB + UNIT_BYTES * rows / MIB, seconds, 1)


def plot_windows(plan: Plan) -> Cost:
    """The units of two runs."""
    memory = STATISTICS_MB + 2 * UNIT_BYTES * largest_rows(plan) / MIB
    return Cost(memory, STATISTICS_S + 5, 1)


def relate_windows(plan: Plan) -> Cost:
    """Partial correlations of the measures of each text with the scores of all regions."""
    scores = read_scores(plan)
    measures = sum(
        3 + len(text.yoking.lengths if text.yoking else ()) for text in plan.texts.values()
    )
    seconds = scores.seconds + RELATION_S * measures * rows_of(plan).nested
    return Cost(scores.mem_mb + 800, seconds, 1)
