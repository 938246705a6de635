"""What learning atoms costs, mapping them and labelling their maps."""

from lmcortex.costs.machines import (
    CORE,
    DOUBLE,
    FLOAT,
    MIB,
    STATISTICS_MB,
    STATISTICS_S,
    TABLES_MB,
    TABLES_S,
)
from lmcortex.costs.requests import Cost
from lmcortex.costs.tables import OPEN_S, ROW_BYTES, ROW_S
from lmcortex.plan import Plan

LEARNING_MB = 250  # scikit-learn and SciPy
CODE_S = 1.5e-4  # seconds to code a neuron or target on 64 atoms, with the step of the atoms
CODED_ATOMS = 64
FITS = 210  # of each target: penalties, validation folds and outer folds
BLOCK_MB = 4 * 500  # of surrogates' maps, with their sums and copies; see `lmcortex.networks.group`
SORT_S = 2e-7  # for a target of a map, to find which pass the false discovery rate
TESTED = 2  # encoders with a null


def atoms_of(plan: Plan) -> list[int]:
    """Return the number of atoms of each set: the main one, its control and those of checks."""
    asked = plan.study.networks
    matched = [asked.n_atoms] if asked.matched_neurons else []
    return [asked.n_atoms, asked.n_atoms, *asked.sweep, *matched]


def neurons_of_layer(plan: Plan, dataset: str, model: str) -> int:
    entry = plan.model(model)
    planted = entry.role == "planted"
    return plan.simulated(dataset).neurons_of_layer() if planted else entry.width


def plant_neurons(plan: Plan, dataset: str, model: str) -> Cost:
    """A layer in float64, with its noise and what it follows, and all layers in float32."""
    extent = plan.datasets[dataset].extent()
    layer = extent.words * neurons_of_layer(plan, dataset, model) / MIB
    operators = DOUBLE * extent.words * extent.samples / extent.runs / MIB
    neurons = FLOAT * plan.model(model).n_layers * layer
    seconds = TABLES_S + 1e-4 * extent.words
    return Cost(TABLES_MB + 4 * DOUBLE * layer + operators + 2 * neurons, seconds, neurons)


def learn_atoms(plan: Plan, dataset: str, model: str) -> Cost:
    """All neurons on all samples in float32, twice while they are read, and codes of each seed.

    The atoms of the control are moved, not learnt, but neurons are held out of one more set.
    """
    asked, entry = plan.study.networks, plan.model(model)
    extent = plan.datasets[dataset].extent()
    width = neurons_of_layer(plan, dataset, model)
    n_neurons = entry.n_layers * width
    signals = FLOAT * n_neurons * extent.samples / MIB
    words = (FLOAT + DOUBLE) * extent.words * width / MIB
    operator = 2 * DOUBLE * extent.words * extent.samples / extent.runs / MIB
    sets = [n for n in atoms_of(plan) if n]
    weights = FLOAT * sum(sets) * n_neurons / MIB
    passes = asked.seeds * (asked.epochs + 1)
    coding = CODE_S * n_neurons * sum(n / CODED_ATOMS for n in sets) * passes
    products = 6 * n_neurons * extent.samples * sum(sets) * passes / CORE.float64
    memory = LEARNING_MB + TABLES_MB + 2 * signals + words + operator + (asked.seeds + 1) * weights
    return Cost(memory, TABLES_S + STATISTICS_S + coding + products, weights)


def map_atoms(plan: Plan, dataset: str, subject: str) -> Cost:
    """The responses of a job's subjects, and one solver call for each target, penalty and fold."""
    found = plan.datasets[dataset]
    extent = found.extent()
    n_subjects = len(found.fitted_subjects()) if subject == "all" else 1
    sets = atoms_of(plan)
    responses = DOUBLE * extent.samples * extent.targets / MIB
    weights = 3 * FLOAT * sum(sets) * extent.targets * n_subjects / MIB
    share = sum(n / CODED_ATOMS for n in sets)
    seconds = CODE_S * FITS * extent.targets * n_subjects * share
    memory = LEARNING_MB + TABLES_MB + (6 + 2 * n_subjects) * responses + 2 * weights
    return Cost(memory, TABLES_S + STATISTICS_S + seconds, weights)


def label_atoms(plan: Plan, dataset: str) -> Cost:
    """The maps of all subjects, and those of the surrogates some at a time."""
    found, asked = plan.datasets[dataset], plan.study.networks
    extent = found.extent()
    n_subjects, sets = len(found.single_subjects()), atoms_of(plan)
    maps = extent.targets * max(sets) / MIB
    stored = 3 * FLOAT * sum(sets) * extent.targets * (n_subjects + 1) / MIB
    block = min(BLOCK_MB, 4 * DOUBLE * maps * asked.n_null)
    responses = 4 * DOUBLE * extent.samples * extent.targets / MIB
    products = 2 * extent.samples * extent.targets * sum(sets) * n_subjects / CORE.float64
    seconds = TESTED * asked.n_null * (products + SORT_S * sum(sets) * extent.targets)
    memory = LEARNING_MB + TABLES_MB + stored + 2 * DOUBLE * n_subjects * maps + block + responses
    return Cost(memory, TABLES_S + STATISTICS_S + seconds, FLOAT * 3 * maps)


def collect_networks(plan: Plan) -> Cost:
    """A row for each atom, encoder, sign and network of each checkpoint."""
    rows = sum(
        2 * 3 * sum(atoms_of(plan)) * (found.extent().rois + found.n_labels())
        for dataset, found in plan.datasets.items()
        for _ in plan.networked_runs(dataset)
    )
    n_files = 3 * len(plan.organized_files("{dataset}"))
    seconds = TABLES_S + ROW_S * rows + OPEN_S * n_files
    return Cost(TABLES_MB + ROW_BYTES * rows / MIB, seconds, 200 * rows / MIB)


def draw_atoms(plan: Plan, dataset: str) -> Cost:
    """A figure of maps and time courses: those of the last checkpoints, one at a time."""
    extent = plan.datasets[dataset].extent()
    maps = 4 * FLOAT * plan.study.networks.n_atoms * (extent.targets + extent.samples) / MIB
    return Cost(STATISTICS_MB + 300 + maps, STATISTICS_S + 60, 2)
