"""The settings that each stage depends on: a *spec* for every rule, by the rule's name.

A spec is the JSON object of exactly the settings that one stage depends on. It is what Snakemake
compares to decide whether a job must run again, so it never holds a list of checkpoints (but for
the tables that list them), a path of this machine, threads, memory or the device.
"""

import json
from typing import Any

from lmcortex import registry
from lmcortex.config import Fit
from lmcortex.datasets import Dataset, Story
from lmcortex.plan import Plan

Spec = dict[str, Any]
MIN_RUNS = 3  # to leave one out and choose a penalty on the others
GAP_SECONDS = 16.0  # between training and test, as in config/fits.yaml


def dumps(spec: Spec) -> str:
    """Write a spec as one JSON line with sorted keys, the form that commands and Snakemake read."""
    return json.dumps(spec, sort_keys=True, ensure_ascii=False)


def prepare_stimuli(plan: Plan, dataset: str) -> Spec:
    return {"dataset": dataset, **plan.datasets[dataset].stimuli_spec()}


def fetch_recording(plan: Plan, dataset: str, part: str) -> Spec:
    """Say which version is fetched, and how many files of it."""
    found, archive = plan.archived(dataset)
    source = archive.model_dump(include={"accession", "version"})
    files = found.per_run(found.words) if part == "words" else found.runs
    return {**source, "count": len(files)}


def prepare_responses(plan: Plan, dataset: str, subject: str) -> Spec:
    return {"dataset": dataset, **plan.datasets[dataset].responses_spec()}


def cover_runs(plan: Plan, dataset: str) -> Spec:
    covered = plan.imaged(dataset).coverage_spec()
    return {"dataset": dataset, **{key: covered[key] for key in ("by", "grid") if key in covered}}


def combine_coverage(plan: Plan, dataset: str) -> Spec:
    covered = plan.imaged(dataset).coverage_spec()
    return {"dataset": dataset, **{key: covered[key] for key in ("by", "share", "mirrored")}}


def average_responses(plan: Plan, dataset: str) -> Spec:
    return {"dataset": dataset}


def estimate_ceiling(plan: Plan, dataset: str) -> Spec:
    found = plan.datasets[dataset]
    spec = {"dataset": dataset, "published": found.published_ceilings()}
    return {**spec, "half_groups": True} if found.half_groups() else spec


def train_suite(plan: Plan, suite: str) -> Spec:
    return plan.suites[suite].model_dump(mode="json")


def fetch_checkpoint(plan: Plan, model: str, checkpoint: str) -> Spec:
    entry = plan.model(model)
    untrained = registry.UNTRAINED.fullmatch(checkpoint)
    step = registry.STEP.fullmatch(checkpoint)
    folder = entry.folder.replace("{step}", step[1]) if entry.folder and step else entry.folder
    spec = {
        "source": entry.source,
        "repo": entry.repo,
        "tokenizer": entry.tokenizer,
        "folder": folder,
        "package": entry.package,
        "subfolder": entry.subfolder,
        "revision": entry.revision_of(checkpoint),
        "seed": int(untrained[1]) if untrained else None,
        "task": entry.task,
        "weights": entry.weights,
        "n_params": entry.n_params,
    }
    return {key: value for key, value in spec.items() if value is not None}


def extract_features(plan: Plan, dataset: str, model: str) -> Spec:
    spec = {"dataset": dataset, "dtype": plan.model(model).dtype}
    return {**spec, **plan.datasets[dataset].features_spec()}


def compute_baseline(plan: Plan, dataset: str, model: str, checkpoint: str) -> Spec:
    spec: dict[str, Any] = {"dataset": dataset, "kind": plan.datasets[dataset].kind}
    if registry.PLANTED.fullmatch(model):
        spec["planted"] = plan.simulated(dataset).planted.law()
    return {**spec, "model": model, "checkpoint": checkpoint}


def fit_encoding(plan: Plan, dataset: str, fit: str, model: str, checkpoint: str) -> Spec:
    settings = plan.fits[fit].model_dump(
        mode="json", include={"pooling", "response", "folds", "alphas", "nuisance"}
    )
    cell = {"dataset": dataset, "fit": fit, "model": model, "checkpoint": checkpoint}
    found = plan.datasets[dataset]
    return {
        **cell,
        "kind": found.kind,
        **({"trim": list(found.trim)} if isinstance(found, Story) and any(found.trim) else {}),
        **settings,
        "dtype": target_dtype(found, plan.fits[fit]),
        "predictions": kept_predictions(found),
    }


def target_dtype(dataset: Dataset, fit: Fit) -> str:
    """Return the precision of products with targets: voxels are many, and noisy.

    Himalaya, which fits a model beyond a nuisance, decomposes in the same precision.
    """
    return "float32" if dataset.voxelwise and not fit.nuisance else "float64"


def kept_predictions(dataset: Dataset) -> str:
    """Say whose predictions a fit keeps.

    Those of all voxels of all subjects would fill any disk, and what is said of several subjects
    rests on the spread between them.
    """
    return "average" if dataset.voxelwise and len(dataset.subjects) > 1 else "all"


def score_roi(plan: Plan, dataset: str, fit: str, model: str, checkpoint: str) -> Spec:
    inference = {"layer_choice", "n_permutations", "n_resamples", "resample_block", "seed"}
    cell = {"dataset": dataset, "fit": fit, "model": model, "checkpoint": checkpoint}
    halved = {"halve_midline": True} if plan.fits[fit].midline == "by-order" else {}
    return {
        **cell,
        **plan.fits[fit].model_dump(mode="json", include=inference),
        **halved,
        **parcel_column(plan.datasets[dataset]),
        "n_layers": plan.model(model).n_layers,
        "rois": plan.datasets[dataset].roi_definitions(),
    }


def parcel_column(dataset: Dataset) -> Spec:
    """Say which column of the parcels' table names ROIs."""
    parcels = dataset.parcels if isinstance(dataset, Story) else None
    return {"parcels": parcels.column} if parcels else {}


def map_scores(
    plan: Plan, dataset: str, fit: str, model: str, checkpoint: str, subject: str
) -> Spec:
    cell = {"dataset": dataset, "fit": fit, "model": model, "checkpoint": checkpoint}
    return {**cell, "subject": subject, "layer_choice": plan.fits[fit].layer_choice}


def subtract_embedding(
    plan: Plan, dataset: str, fit: str, model: str, checkpoint: str, subject: str
) -> Spec:
    cell = {"dataset": dataset, "fit": fit, "model": model, "checkpoint": checkpoint}
    return {**cell, "subject": subject}


def map_slopes(plan: Plan) -> Spec:
    """Say which maps have slopes, in order, and over models of which size."""
    groups = [
        {
            **{"dataset": dataset, "fit": fit, "subject": subject},
            "n_params": [plan.model(run.model).n_params for run in plan.sized_runs(dataset)],
        }
        for dataset, fit, subject in plan.sloped_voxels()
    ]
    return {"groups": groups}


def measure_geometry(plan: Plan, dataset: str, model: str, checkpoint: str) -> Spec:
    return {"dataset": dataset, "model": model, "checkpoint": checkpoint}


def measure_passages(plan: Plan, dataset: str, model: str) -> Spec:
    return {"dataset": dataset, "dtype": plan.model(model).dtype}


def choose_swaps(plan: Plan, text: str) -> Spec:
    settings = plan.texts[text].model_dump(
        mode="json", include={"source", "passages", "yoking", "distance", "seed"}
    )
    return {"text": text, **settings}


def measure_windows(plan: Plan, text: str, model: str) -> Spec:
    asked, entry = plan.texts[text], plan.model(model)
    settings = {"lags": asked.passages.lags, "units": asked.units}
    return {"text": text, "task": entry.task, "dtype": entry.dtype, **settings}


def collect_geometry(plan: Plan) -> Spec:
    return {**collect_windows(plan), **first_choice(plan)}


def first_choice(plan: Plan) -> Spec:
    return {"geometry": plan.study.geometry.model_dump(mode="json")}


def collect_windows(plan: Plan) -> Spec:
    models = collect_scores(plan)["models"]
    return {
        "models": {
            name: {**about, "n_layers": plan.model(name).n_layers}
            for name, about in models.items()
            if name in {run.model for run in plan.runs}
        }
    }


def geometry_statistics(plan: Plan) -> Spec:
    """Say what the statistics of geometry draw at random, and which variant comes first."""
    return {"seed": 0, **first_choice(plan)}


def score_modules(plan: Plan) -> Spec:
    """Say what the permutations of modules draw at random."""
    return {"seed": 0}


def window_statistics(plan: Plan) -> Spec:
    """Say what the statistics of windows draw at random."""
    return {"seed": 0}


def contrast_onsets(plan: Plan) -> Spec:
    lobes = {name: found.lobe_rois() for name, found in plan.datasets.items()}
    return {"lobes": lobes, "seed": 0}


def extract_neurons(plan: Plan, dataset: str, model: str) -> Spec:
    context = plan.datasets[dataset].features_spec()["context"]
    return {"dataset": dataset, "dtype": plan.model(model).dtype, "context": context}


def plant_neurons(plan: Plan, dataset: str, model: str, checkpoint: str) -> Spec:
    law = plan.simulated(dataset).planted.neuron_law()
    return {"dataset": dataset, "model": model, "checkpoint": checkpoint, "planted": law}


def learn_atoms(plan: Plan, dataset: str) -> Spec:
    learning = {"n_atoms", "penalty", "epochs", "seeds", "sweep", "matched_neurons"}
    return {"dataset": dataset, **plan.study.networks.model_dump(mode="json", include=learning)}


def map_atoms(plan: Plan, dataset: str) -> Spec:
    """Leave out a run at a time where there are three, else contiguous blocks of one."""
    several = plan.datasets[dataset].extent().runs >= MIN_RUNS
    folds = {"scheme": "runs"} if several else {"scheme": "blocks", "n": 5, "gap": GAP_SECONDS}
    return {"dataset": dataset, "folds": folds}


def label_atoms(plan: Plan, dataset: str, model: str, checkpoint: str) -> Spec:
    testing = {"level", "top_share", "dice", "n_null", "n_draws"}
    run: Spec = {"dataset": dataset, "model": model, "checkpoint": checkpoint}
    run["networks"] = plan.datasets[dataset].network_columns()
    return {**run, **plan.study.networks.model_dump(mode="json", include=testing)}


def collect_scores(plan: Plan) -> Spec:
    """Say what the master table holds about each model beside its scores."""
    names = {run.model for dataset in plan.datasets for run in plan.runs_on(dataset)}
    return {"models": {name: plan.model(name).describe(plan.final(name)) for name in sorted(names)}}


def contrast_models(plan: Plan) -> Spec:
    """Pair each network's last checkpoint with its untrained twin and with every baseline."""
    pairs = []
    for run in plan.runs:
        if run.checkpoint == plan.final(run.model):
            twins = [other for other in plan.runs if other == (run.model, "untrained-seed1")]
            pairs += [[list(run), list(other)] for other in (*twins, *plan.baselines)]
    return {"pairs": pairs}


def collect_quality(plan: Plan) -> Spec:
    return {"excluded": {name: found.excluded for name, found in plan.datasets.items()}}


def recover_truth(plan: Plan) -> Spec:
    """Say what was planted, for the comparison with what was found."""
    settings = {
        name: {
            **plan.simulated(name).model_dump(
                mode="json", include={"regions", "signal", "planted"}
            ),
            "n_subjects": len(plan.datasets[name].subjects),
        }
        for name in plan.simulated_datasets()
    }
    poolings = {name: fit.pooling for name, fit in plan.fits.items()}
    networks = {name: run._asdict() for name, run in plan.planted_networks().items()}
    return {"datasets": settings, "poolings": poolings, "networks": networks}
