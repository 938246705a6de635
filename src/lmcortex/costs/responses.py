"""Responses of subjects, and their ceiling."""

from lmcortex.costs.machines import CORE, DOUBLE, FLOAT, MIB, TABLES_MB, TABLES_S
from lmcortex.costs.models import DIGEST_MB_S
from lmcortex.costs.requests import Cost
from lmcortex.datasets import Story
from lmcortex.plan import Plan

LABEL_BYTES = 100  # of a sample in a file of responses or fits: its item, run and time
GRID_VOXELS = 1_000_000  # of an image: the head at 2 mm, 91 x 109 x 91
CELL_BYTES = 120  # of a table read as text
GUNZIP_S = 2e-8  # seconds for a voxel of a volume
SPLINE_S = 2e-7  # and to fit splines to it
SMOOTH_S = 3e-8  # and to smooth it
EIGH = 8  # operations of a decomposition, for n^3
HALVINGS, N_ALPHAS = 10, 16  # of a ceiling from half-groups


def series_mb(plan: Plan, dataset: str) -> float:
    """Return the size of one subject's responses, in float64 and with their labels."""
    extent = plan.datasets[dataset].extent()
    return (DOUBLE * extent.targets + LABEL_BYTES) * extent.samples / MIB


def prepare_responses(plan: Plan, dataset: str) -> Cost:
    """A few copies of the series; images, a run of whole volumes; tables of sentences, as text."""
    found = plan.datasets[dataset]
    extent, series = found.extent(), series_mb(plan, dataset)
    if found.kind == "sentences":
        cells = extent.samples * len(found.subjects) * extent.targets
        read, seconds = CELL_BYTES * cells / MIB, 1e-6 * cells
    elif isinstance(found, Story) and found.has_images():
        run = extent.samples / extent.runs * GRID_VOXELS
        # The file to be digested, its voxels as stored, and in float32; splines are float64.
        stored = 2 + 2 + FLOAT + (DOUBLE if found.grid else 0) + (FLOAT if found.smoothing else 0)
        per_voxel = SPLINE_S if found.grid else GUNZIP_S
        per_voxel += SMOOTH_S if found.smoothing else 0
        read, seconds = stored * run / MIB, extent.samples * GRID_VOXELS * per_voxel
    else:
        read, seconds = 0.0, 1e-6 * extent.samples * extent.targets
    return Cost(TABLES_MB + 4 * series + read, TABLES_S + seconds, series)


def cover_runs(plan: Plan, dataset: str) -> Cost:
    """A run of whole volumes at a time, as stored and in float32, and its mean."""
    extent = plan.datasets[dataset].extent()
    run = extent.samples / extent.runs * GRID_VOXELS
    seconds = TABLES_S + 2 * extent.samples * GRID_VOXELS * GUNZIP_S
    return Cost(TABLES_MB + (2 + 2 * FLOAT) * run / MIB, seconds, 1.0)


def simulate_responses(plan: Plan, dataset: str) -> Cost:
    """A kernel, and a ridge from each layer of the model that the responses are planted from."""
    extent = plan.datasets[dataset].extent()
    entry = plan.model(plan.simulated(dataset).signal.states.model)
    n_states = entry.n_layers + 1
    states = 2 * DOUBLE * n_states * max(extent.samples, extent.words) * entry.width / MIB
    kernels = 4 * DOUBLE * extent.samples**2 / MIB
    operations = n_states * (4 * extent.samples**3 + 2 * extent.samples**2 * entry.width)
    series = series_mb(plan, dataset)
    seconds = TABLES_S + operations / CORE.float64 + 1e-4 * extent.samples * extent.targets
    return Cost(TABLES_MB + states + kernels + 4 * series, seconds, series)


def average_responses(plan: Plan, dataset: str) -> Cost:
    """The sum of subjects who are read one by one, the next one, and their sum."""
    series, n_subjects = series_mb(plan, dataset), len(plan.datasets[dataset].subjects)
    seconds = TABLES_S + 2 * n_subjects * series / DIGEST_MB_S
    return Cost(TABLES_MB + 3 * series, seconds, series)


def estimate_ceiling(plan: Plan, dataset: str) -> Cost:
    """The sum of all subjects, one of them, the others' mean, and both once more, standardised.

    Or the sums of half-groups, and their ridges.
    """
    found, series = plan.datasets[dataset], series_mb(plan, dataset)
    n_subjects, extent = len(found.subjects), found.extent()
    rows = (n_subjects + 1) * extent.targets
    seconds, memory = TABLES_S + 12 * n_subjects * series / DIGEST_MB_S, 6 * series
    if found.half_groups():
        n = extent.samples
        memory = (HALVINGS + 9) * series + 4 * DOUBLE * n**2 / MIB
        # Of each halving and run: two decompositions, two rotations, and the penalties' products.
        products = 4 * n**2 * extent.targets + 2 * N_ALPHAS * n**2 / extent.runs * extent.targets
        operations = HALVINGS * extent.runs * (2 * EIGH * n**3 + products)
        seconds += operations / CORE.float64
    return Cost(TABLES_MB + memory + 1000 * rows / MIB, seconds, 40 * rows / MIB)
