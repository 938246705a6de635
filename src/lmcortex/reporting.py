"""What the report of a study shows: its figures and pages, and what their captions know."""

from collections import Counter
from pathlib import Path
from typing import Any

from lmcortex import paths, registry
from lmcortex.plan import LEAST_SIZES, Cell, Plan, Run

LEAST_HEATMAP = 3  # checkpoints of one model that are worth a heatmap
LEAST_STEPS = 4  # checkpoints of one model that make a trajectory
# Tables that have rows only where a figure has something to show.
SHOWN_BY = {
    "scaling": "scaling",
    "scaling_controls": "scaling",
    "lateralization": "lateralization",
    "lateralization_contrasts": "lateralization",
    "training": "training",
}
WINDOW_FIGURES = ("window-relation",)
GEOMETRY_FIGURES = ("module-scores", "onsets", "relation", "variants")

NETWORK_FIGURES = ("atoms", "sub-groups", "networks", "organization")
ATOM_FIGURES = ("atom-maps", "atom-correlations")


def figures(plan: Plan) -> list[str]:
    """Every figure that the study's data allow."""
    files = []
    for dataset, fit in [(d, f) for d in plan.study.datasets for f in plan.fits_of(d)]:
        files += [
            paths.FIT_FIGURE.format(study=plan.name, dataset=dataset, fit=fit, figure=figure)
            for figure in fit_figures(plan, dataset)
        ]
        files += cortex_pages(plan, dataset, fit)
    for name, dataset in plan.datasets.items():
        shown = ["quality", *(["recovery"] if dataset.simulated else [])]
        shown += ["geometry", "modules"] if plan.measured_runs() else []
        if runs := plan.shown_runs(name):
            shown += [*NETWORK_FIGURES]
            shown += [f"{figure}-{run.model}" for run in runs for figure in ATOM_FIGURES]
        files += [
            paths.DATASET_FIGURE.format(study=plan.name, dataset=name, figure=figure)
            for figure in shown
        ]
    files += [
        paths.WINDOW_FIGURE.format(study=plan.name, text=text, figure=figure)
        for text in plan.texts
        for figure in text_figures(plan, text)
    ]
    return files


def text_figures(plan: Plan, text: str) -> list[str]:
    """Name the figures of windows: of all models, and of each; some need series of sentences."""
    yoked = plan.texts[text].yoking is not None
    kinds = ["windows", *(["differences"] if yoked else [])]
    own = [f"{kind}-{model}" for kind in kinds for model in plan.window_models()]
    return ["window-fits", *(["yoking"] if yoked else []), *own]


def fit_figures(plan: Plan, dataset: str) -> list[str]:
    """Name the figures of a fit: some need several checkpoints, sizes or hemispheres."""
    steps = Counter(run.model for run in plan.runs_on(dataset) if registry.STEP.match(run[1]))
    trained = [model for model in steps if plan.model(model).role == "trained"]
    sizes = {run.model for run in plan.runs_on(dataset) if is_final(plan, run)}
    figures = ["overview", "layers"]
    figures += [f"heatmap-{model}" for model in trained if steps[model] >= LEAST_HEATMAP]
    if max(steps.values(), default=0) >= LEAST_STEPS:
        figures.append("training")
    if len(sizes) >= LEAST_SIZES:
        figures.append("scaling")
    if plan.datasets[dataset].bilateral():
        figures += ["lateralization", "emergence"]
    figures += [f"maps-{run.model}" for run in mapped_runs(plan, dataset)]
    if any(place[0] == dataset for place in plan.sloped_voxels()):
        figures.append("slopes")
    figures += GEOMETRY_FIGURES if plan.measured_runs() else ()
    figures += WINDOW_FIGURES if plan.window_runs() else ()
    return figures


def mapped_runs(plan: Plan, dataset: str) -> list[Run]:
    """The networks whose maps are drawn: the largest of each family, the largest of all last."""
    if not plan.datasets[dataset].has_voxels():
        return []

    def size(run: Run) -> int:
        return plan.model(run.model).n_params or 0

    runs = sorted(plan.sized_runs(dataset), key=size)
    largest = {plan.model(run.model).family: run for run in runs}
    return sorted(largest.values(), key=size)


def headline_subject(plan: Plan, dataset: str) -> str:
    """Return whose maps are drawn, as in the other figures: the group where there is one."""
    return plan.datasets[dataset].speaking_subjects()[-1]


def map_inputs(plan: Plan, dataset: str, fit: str, model: str) -> dict[str, str]:
    """The maps that a model's figure shows: its scores, what they add, and their asymmetry."""
    subject = headline_subject(plan, dataset)
    last = Cell(dataset, fit, model, plan.final(model))
    patterns = {"scores": paths.SCORE_MAP, "sides": paths.SIDES_MAP}
    if plan.embedding_maps(last, subject):
        patterns["added"] = paths.ADDED_MAP
    return {name: plan.voxel_map(pattern, last, subject) for name, pattern in patterns.items()}


def cortex_pages(plan: Plan, dataset: str, fit: str) -> list[str]:
    """The page on which one can turn the cortex."""
    place = {"study": plan.name, "dataset": dataset, "fit": fit, "figure": "cortex"}
    return [paths.FIT_PAGE.format(**place)] if mapped_runs(plan, dataset) else []


def is_final(plan: Plan, run: Run) -> bool:
    """Tell whether a run is the last checkpoint of a model that has a size."""
    model = plan.model(run.model)
    return model.n_params is not None and run.checkpoint == plan.final(run.model)


def pages(plan: Plan) -> list[str]:
    """A page for every table that the study's data can fill, and one on configuration."""
    possible = {figure for dataset in plan.datasets for figure in fit_figures(plan, dataset)}
    empty = {table for table, figure in SHOWN_BY.items() if figure not in possible}
    tables = [Path(table).stem for table in plan.tables()]
    names = [*(table for table in tables if table not in {"draws", *empty}), "software"]
    return [paths.PAGE.format(study=plan.name, page=name) for name in names]


def about(plan: Plan) -> dict[str, Any]:
    """Say what the report's text and captions need to know of the study."""
    return {
        "title": plan.study.title,
        "question": plan.study.question,
        "baselines": list(plan.study.baselines),
        "datasets": {name: about_dataset(plan, name) for name in plan.datasets},
        "models": {run.model: about_model(plan, run.model) for run in plan.runs},
    }


def about_dataset(plan: Plan, name: str) -> dict[str, Any]:
    found = plan.datasets[name]
    return {
        "title": found.title,
        "citation": found.citation,
        "licence": found.licence,
        "simulated": found.simulated,
    }


def about_model(plan: Plan, name: str) -> dict[str, Any]:
    model = plan.model(name)
    trained_here = f"trained here, suite {model.suite} (config/suites.yaml)"
    source = model.repo or model.folder or model.package or trained_here
    return {"name": name, "family": model.family, "source": source, "citation": model.citation}


def dataset_view(plan: Plan, dataset: str) -> dict[str, Any]:
    found = plan.datasets[dataset]
    return {"dataset": dataset, "simulated": found.simulated, "title": found.title}


def fit_view(plan: Plan, dataset: str, fit: str) -> dict[str, Any]:
    known = plan.fits[fit].nuisance
    beyond = {"beyond": " and ".join(known)} if known else {}
    return {**dataset_view(plan, dataset), "fit": fit, **beyond}


def model_view(plan: Plan, dataset: str, fit: str, model: str) -> dict[str, Any]:
    return {**fit_view(plan, dataset, fit), "model": model}


def map_view(plan: Plan, dataset: str, fit: str) -> dict[str, Any]:
    return {**fit_view(plan, dataset, fit), "subject": headline_subject(plan, dataset)}


def model_map_view(plan: Plan, dataset: str, fit: str, model: str) -> dict[str, Any]:
    return {**map_view(plan, dataset, fit), "model": model}


def cortex_view(plan: Plan, dataset: str, fit: str) -> dict[str, Any]:
    return model_map_view(plan, dataset, fit, mapped_runs(plan, dataset)[-1].model)


def text_view(plan: Plan, text: str) -> dict[str, Any]:
    published = plan.texts[text].published
    return {"text": text, "published": published.model_dump(mode="json") if published else None}


def window_view(plan: Plan, text: str, model: str) -> dict[str, Any]:
    return {"text": text, "model": model, "checkpoints": plan.shown_windows(model)}


def network_view(plan: Plan, dataset: str, model: str) -> dict[str, Any]:
    return {**dataset_view(plan, dataset), "model": model}


def table_page(plan: Plan) -> dict[str, Any]:
    return {"simulated": plan.simulated_datasets()}


def software_page(plan: Plan) -> dict[str, Any]:
    known = about(plan)
    return {
        "name": plan.name,
        "study": plan.study.model_dump(mode="json"),
        "fits": {name: fit.model_dump(mode="json") for name, fit in plan.fits.items()},
        "datasets": known["datasets"],
        "models": {
            name: plan.model(name).model_dump(mode="json", exclude={"steps"})
            for name in known["models"]
        },
    }


def outputs(plan: Plan) -> set[str]:
    """Every file of the study's report, and the report itself."""
    return {*figures(plan), *pages(plan), paths.REPORT.format(study=plan.name)}
