"""What a job of each rule is expected to need, and what it therefore asks for.

There is one function for each rule whose cost depends on the data, by the rule's name: of the plan
and of just those wildcards that its cost depends on. The formulas count the arrays that live at
once and the operations of the dearest steps; docs/costs.md explains them and holds them against
measured jobs. Nothing is read but the number of lines of a dataset's tables, once, when asked for.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cache

from lmcortex.costs.encoding import fit_encoding, score_roi
from lmcortex.costs.features import compute_baseline, extract_features
from lmcortex.costs.geometry import (
    cluster_layers,
    collect_geometry,
    measure_geometry,
    measure_passages,
    relate_geometry,
    score_modules,
)
from lmcortex.costs.machines import MIB, on_gpu
from lmcortex.costs.maps import draw_maps, map_scores, map_slopes, subtract_embedding
from lmcortex.costs.models import cached_mb, fetch_checkpoint, train_suite, weights_mb
from lmcortex.costs.networks import (
    collect_networks,
    draw_atoms,
    label_atoms,
    learn_atoms,
    map_atoms,
    plant_neurons,
)
from lmcortex.costs.requests import HEADROOM_MB, Cost, memory_request, runtime_request
from lmcortex.costs.responses import (
    average_responses,
    cover_runs,
    estimate_ceiling,
    prepare_responses,
    simulate_responses,
)
from lmcortex.costs.tables import collect_scores, open_outputs, read_scores, small
from lmcortex.costs.windows import (
    choose_swaps,
    collect_windows,
    measure_windows,
    plot_windows,
    relate_windows,
)
from lmcortex.plan import Plan

__all__ = [
    "FORMULAS",
    "HEADROOM_MB",
    "MIB",
    "Cost",
    "arguments",
    "average_responses",
    "cached_mb",
    "choose_swaps",
    "cluster_layers",
    "collect_geometry",
    "collect_networks",
    "collect_scores",
    "collect_windows",
    "compute_baseline",
    "cover_runs",
    "draw_atoms",
    "draw_maps",
    "estimate_ceiling",
    "estimator",
    "extract_features",
    "fetch_checkpoint",
    "fit_encoding",
    "label_atoms",
    "learn_atoms",
    "map_atoms",
    "map_scores",
    "map_slopes",
    "measure_geometry",
    "measure_passages",
    "measure_windows",
    "memory_request",
    "on_gpu",
    "open_outputs",
    "plant_neurons",
    "plot_windows",
    "prepare_responses",
    "read_scores",
    "relate_geometry",
    "relate_windows",
    "runtime_request",
    "score_modules",
    "score_roi",
    "simulate_responses",
    "small",
    "subtract_embedding",
    "train_suite",
    "weights_mb",
]

FROM_SCORES = (
    *("fit_scaling", "fit_lateralization", "contrast_models", "track_training", "recover_truth"),
    *("plot_overview", "plot_layers", "plot_heatmap", "plot_training", "plot_scaling"),
    *("plot_lateralization", "plot_emergence", "plot_quality", "plot_recovery", "write_table_page"),
    *("plot_geometry", "plot_modules", "plot_module_scores", "plot_onsets"),
    *("plot_relation", "plot_variants"),
    *("plot_window_fits", "plot_yoking", "plot_window_relation"),
)
DRAWN = (
    "plot_atoms",
    "plot_sub_groups",
    "plot_networks",
    "plot_organization",
    "plot_atom_maps",
    "plot_atom_correlations",
)
FORMULAS: dict[str, Callable[..., Cost]] = {
    **{
        formula.__name__: formula
        for formula in (
            *(fetch_checkpoint, train_suite, extract_features, compute_baseline),
            *(cover_runs, prepare_responses, simulate_responses),
            *(average_responses, estimate_ceiling),
            *(fit_encoding, score_roi, collect_scores),
            *(measure_geometry, measure_passages, collect_geometry),
            *(cluster_layers, score_modules, relate_geometry),
            *(choose_swaps, measure_windows, collect_windows, relate_windows, plot_windows),
            *(plant_neurons, learn_atoms, map_atoms, label_atoms, collect_networks),
            *(map_scores, map_slopes, subtract_embedding),
        )
    },
    "collect_yoking": collect_windows,
    "plot_differences": plot_windows,
    "extract_neurons": extract_features,  # as many states as layers, one fewer
    **dict.fromkeys(FROM_SCORES, read_scores),
    **dict.fromkeys(DRAWN, draw_atoms),
    **dict.fromkeys(("plot_maps", "plot_slopes", "write_cortex_page"), draw_maps),
    **dict.fromkeys(("collect_quality", "collect_provenance", "write_software_page"), open_outputs),
}


@cache
def arguments(formula: Callable[..., Cost]) -> list[str]:
    """Return the wildcards that a formula takes, after the plan."""
    return list(inspect.signature(formula).parameters)[1:]


def estimator(plan: Plan) -> Callable[[str, Mapping[str, str]], Cost]:
    """Return the function that says what a job of a rule, with its wildcards, is expected to cost.

    What jobs have in common is reckoned once: of many thousand jobs few cost differently.
    """

    @cache
    def reckon(formula: Callable[..., Cost], *values: str) -> Cost:
        return formula(plan, *values)

    def estimate(rule: str, wildcards: Mapping[str, str]) -> Cost:
        formula = FORMULAS.get(rule, small)
        return reckon(formula, *(wildcards[name] for name in arguments(formula)))

    return estimate
