"""Maps of voxels."""

from lmcortex.costs.encoding import problem
from lmcortex.costs.machines import (
    DOUBLE,
    FLOAT,
    MIB,
    STATISTICS_MB,
    STATISTICS_S,
    TABLES_S,
)
from lmcortex.costs.requests import Cost
from lmcortex.paths import layer_blocks
from lmcortex.plan import Plan

VOXEL_BYTES = 300  # of a row of a table of voxels, while it is made and written
VOXEL_S = 1e-5  # seconds to write it as text
READ_MB_S = 200  # of r in compressed or plain files
DRAWN_MB, DRAWN_S = 300, 30  # nilearn and its meshes; a row of maps takes about 6 s


def map_scores(plan: Plan, dataset: str, fit: str, model: str, subject: str) -> Cost:
    """Test and inner r of all layers of a file's subjects, as read, joined and chosen from."""
    found = plan.datasets[dataset]
    block = found.subject_blocks()[0]
    layers = layer_blocks(plan.model(model).n_layers)[0]
    sizes = problem(plan, dataset, fit, model, layers, block)
    r = 2 * DOUBLE * sizes.layers * sizes.folds * sizes.targets / MIB
    n_blocks = len(found.single_subjects()) if subject == "group" and block != "all" else 1
    rows = VOXEL_BYTES * found.extent().targets * len(found.fitted_subjects()) / MIB
    seconds = TABLES_S + STATISTICS_S + n_blocks * r / READ_MB_S
    return Cost(STATISTICS_MB + 3 * r + rows, seconds, 2 * FLOAT * found.extent().targets / MIB)


def subtract_embedding(plan: Plan, dataset: str) -> Cost:
    """The maps of all seeds, stacked, and their voxels' places."""
    voxels = plan.datasets[dataset].extent().targets / MIB
    maps = 8 * DOUBLE * (plan.study.embedding_seeds + 2) * voxels
    return Cost(STATISTICS_MB + maps, STATISTICS_S, FLOAT * voxels)


def map_slopes(plan: Plan) -> Cost:
    """The maps of all models of a group, a few times, and the table of all groups."""
    groups = plan.sloped_voxels()
    rows = sum(plan.datasets[dataset].extent().targets for dataset, _, _ in groups)
    most = max(
        len(plan.sized_runs(dataset)) * plan.datasets[dataset].extent().targets
        for dataset, _, _ in groups
    )
    memory = STATISTICS_MB + (8 * DOUBLE * most + VOXEL_BYTES * rows) / MIB
    return Cost(memory, STATISTICS_S + VOXEL_S * rows, VOXEL_BYTES * rows / MIB)


def draw_maps(plan: Plan, dataset: str) -> Cost:
    """A few maps of one dataset on glass brains and on the cortex."""
    voxels = VOXEL_BYTES * plan.datasets[dataset].extent().targets / MIB
    return Cost(STATISTICS_MB + DRAWN_MB + voxels, STATISTICS_S + DRAWN_S, 2)
