"""What a study asks for: which cells, which files, and the settings of every stage.

A *spec* is the JSON object of exactly the settings that one stage depends on. It is what Snakemake
compares to decide whether a job must run again, so it never holds a list of checkpoints, a path of
this machine, threads, memory or the device.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lmcortex import config, paths, registry
from lmcortex.config import Fit, Site, Study, pick
from lmcortex.datasets import Dataset, SimulatedSentences, SimulatedStory, load_dataset
from lmcortex.errors import InputError
from lmcortex.registry import Model, Suite

LEAST_HEATMAP = 3  # checkpoints of one model that are worth a heatmap
LEAST_STEPS = 4  # checkpoints of one model that make a trajectory
LEAST_SIZES = 3  # models that make a scaling law

TABLES = (
    "scores",
    "draws",
    "scaling",
    "lateralization",
    "model_contrasts",
    "training",
    "quality",
    "provenance",
)


class Run(NamedTuple):
    """A model at a checkpoint."""

    model: str
    checkpoint: str


class Cell(NamedTuple):
    """One encoding result: a run's states against a dataset, by a fit."""

    dataset: str
    fit: str
    model: str
    checkpoint: str


@dataclass(frozen=True)
class Plan:
    """A study with everything that it names, looked up and checked."""

    name: str
    study: Study
    site: Site
    datasets: dict[str, Dataset]
    fits: dict[str, Fit]
    models: dict[str, Model]
    suites: dict[str, Suite]

    # --- what is asked for ----------------------------------------------------------------------

    @cached_property
    def runs(self) -> list[Run]:
        """The networks of the study, each with its checkpoints and its untrained twin."""
        runs = []
        for wanted in self.study.models:
            where = f"study {self.name}: models"
            model = pick(wanted.name, self.models, "model", where)
            names = model.checkpoints(wanted.checkpoints, f"{where}: {model.name}")
            if self.study.untrained:
                names = list(dict.fromkeys([*names, "untrained-seed1"]))
            runs += [Run(model.name, name) for name in names]
        return list(dict.fromkeys(runs))

    @cached_property
    def baselines(self) -> list[Run]:
        seeds = [f"seed{seed}" for seed in range(1, self.study.embedding_seeds + 1)]
        return [
            Run(name, checkpoint)
            for name in self.study.baselines
            for checkpoint in (seeds if name == "random-embedding" else ["main"])
        ]

    def runs_on(self, dataset: str) -> list[Run]:
        """The runs that are fitted to a dataset: networks, baselines and planted models."""
        planted = [
            Run(model.name, checkpoint)
            for model in self.datasets[dataset].planted_models()
            for checkpoint in model.checkpoints("all", dataset)
        ]
        return [*self.runs, *self.baselines, *planted]

    def fits_of(self, dataset: str) -> list[str]:
        kind = self.datasets[dataset].kind
        return [name for name in self.study.fits if self.fits[name].kind == kind]

    def cells(self) -> Iterator[Cell]:
        for dataset in self.study.datasets:
            for fit in self.fits_of(dataset):
                for run in self.runs_on(dataset):
                    yield Cell(dataset, fit, *run)

    def model(self, name: str) -> Model:
        """Return the registry entry of a model, or the entry of a pseudo-model."""
        if name in self.models:
            return self.models[name]
        planted = (model for found in self.datasets.values() for model in found.planted_models())
        return next((model for model in planted if model.name == name), registry.pseudo_model(name))

    def final(self, name: str) -> str:
        """Return the last checkpoint of a model that the study asks for."""
        listed = [run.checkpoint for run in self.runs if run.model == name]
        trained = [checkpoint for checkpoint in listed if not registry.UNTRAINED.match(checkpoint)]
        steps = {
            int(checkpoint.removeprefix("step")): checkpoint
            for checkpoint in trained
            if registry.STEP.match(checkpoint)
        }
        return steps[max(steps)] if steps else self.model(name).final

    # --- files ------------------------------------------------------------------------------------

    def all_features(self) -> list[str]:
        return [
            paths.FEATURES.format(dataset=dataset, **run._asdict())
            for dataset in self.study.datasets
            for run in self.runs_on(dataset)
        ]

    def fit_files(self, cell: Cell) -> list[str]:
        """The encoding files of a cell: one for each block of layers and of subjects."""
        dataset = self.datasets[cell.dataset]
        layers = paths.layer_blocks(self.model(cell.model).n_layers, dataset.layers_per_job)
        return [
            paths.FIT.format(**cell._asdict(), layer=layer, subject=subject)
            for subject in dataset.subject_blocks()
            for layer in layers
        ]

    def all_fits(self) -> list[str]:
        return [path for cell in self.cells() for path in self.fit_files(cell)]

    def all_scores(self, pattern: str = paths.SCORES) -> list[str]:
        return [pattern.format(**cell._asdict(), roi="all") for cell in self.cells()]

    def response_files(self, dataset: str, subjects: str = "all") -> list[str]:
        """The responses that a fit reads: of one subject, or of all and their mean."""
        labels = self.datasets[dataset].fitted_subjects() if subjects == "all" else [subjects]
        return [paths.RESPONSES.format(dataset=dataset, subject=label) for label in labels]

    def table(self, name: str) -> str:
        return paths.TABLE.format(study=self.name, table=name)

    def tables(self) -> list[str]:
        names = [*TABLES, *(["truth_recovery"] if self.simulated_datasets() else [])]
        return [self.table(name) for name in names]

    def figures(self) -> list[str]:
        """Every figure that the study's data allow."""
        files = []
        for dataset, fit in [(d, f) for d in self.study.datasets for f in self.fits_of(d)]:
            files += [
                paths.FIT_FIGURE.format(study=self.name, dataset=dataset, fit=fit, figure=figure)
                for figure in self.fit_figures(dataset)
            ]
        for name, dataset in self.datasets.items():
            figures = ["quality", *(["recovery"] if dataset.simulated else [])]
            files += [
                paths.DATASET_FIGURE.format(study=self.name, dataset=name, figure=figure)
                for figure in figures
            ]
        return files

    def fit_figures(self, dataset: str) -> list[str]:
        """Name the figures of a fit: some need several checkpoints, sizes or hemispheres."""
        steps = Counter(run.model for run in self.runs_on(dataset) if registry.STEP.match(run[1]))
        trained = [model for model in steps if self.model(model).role == "trained"]
        sizes = {run.model for run in self.runs_on(dataset) if self.is_final(run)}
        figures = ["overview", "layers"]
        figures += [f"heatmap-{model}" for model in trained if steps[model] >= LEAST_HEATMAP]
        if max(steps.values(), default=0) >= LEAST_STEPS:
            figures.append("training")
        if len(sizes) >= LEAST_SIZES:
            figures.append("scaling")
        if self.datasets[dataset].bilateral():
            figures.append("lateralization")
        return figures

    def is_final(self, run: Run) -> bool:
        """Tell whether a run is the last checkpoint of a model that has a size."""
        model = self.model(run.model)
        return model.n_params is not None and run.checkpoint == self.final(run.model)

    def pages(self) -> list[str]:
        """A page for every table that the study's data can fill, and one on configuration."""
        possible = {figure for dataset in self.datasets for figure in self.fit_figures(dataset)}
        empty = {"scaling", "lateralization", "training"} - possible
        tables = [Path(table).stem for table in self.tables()]
        names = [*(table for table in tables if table not in {"draws", *empty}), "software"]
        return [paths.PAGE.format(study=self.name, page=name) for name in names]

    def checkpoint_files(self) -> list[str]:
        return [paths.CHECKPOINT.format(**run._asdict()) for run in self.runs]

    def quality_files(self) -> list[str]:
        """The files whose facts make the table of data quality."""
        files = []
        for name in self.datasets:
            files.append(paths.ITEMS.format(dataset=name))
            files += self.response_files(name)
            files.append(paths.CEILING.format(dataset=name))
        return [*files, *self.all_fits()]

    def truth_files(self) -> list[str]:
        return [paths.TRUTH.format(dataset=name) for name in self.simulated_datasets()]

    def signed_files(self) -> list[str]:
        """Every output of the study that says how it was made."""
        suites = {self.model(run.model).suite for run in self.runs} - {None}
        return [
            *(paths.SUITE.format(suite=suite) for suite in sorted(map(str, suites))),
            *(paths.WORDS.format(dataset=dataset) for dataset in self.datasets),
            *self.truth_files(),
            *self.quality_files(),
            *self.checkpoint_files(),
            *self.all_features(),
            *self.all_scores(),
            *self.all_scores(paths.DRAWS),
            *(self.table(name) for name in TABLES if name != "provenance"),
        ]

    def outputs(self) -> set[str]:
        """Every file that the study asks for."""
        tables = self.tables()
        return {
            *self.signed_files(),
            *tables,
            *(str(Path(table).with_suffix(".csv")) for table in tables),
            *self.figures(),
            *self.pages(),
            paths.REPORT.format(study=self.name),
        }

    def planted_states(self, dataset: str) -> str:
        """The features of the model from whose states a dataset is simulated."""
        states = self.simulated(dataset).signal.states
        return paths.FEATURES.format(
            dataset=dataset, model=states.model, checkpoint=self.model(states.model).final
        )

    def simulated_datasets(self) -> list[str]:
        return [name for name, dataset in self.datasets.items() if dataset.simulated]

    def averaged_datasets(self) -> list[str]:
        """Datasets whose mean response is computed here, not given."""
        return [name for name, dataset in self.datasets.items() if len(dataset.subjects) > 1]

    def suite_texts(self, suite: str) -> list[str]:
        """The text files that a suite is trained on; none where its text is `pydoc`."""
        where = f"config/suites.yaml: {suite}.text"
        text = config.expand(self.suites[suite].text, where)
        files = sorted(str(path) for path in Path(text).glob("*.txt"))
        if text != "pydoc" and not files:
            raise InputError(f"{where}: {text}: no such folder, or no .txt file in it")
        return files

    def check_asked(self, dataset: str, fit: str, roi: str) -> None:
        """Refuse a path that names an unknown dataset, fit or ROI, before any job."""
        where = f"study {self.name}"
        found = pick(dataset, self.datasets, "dataset", where)
        pick(fit, self.fits, "fit", where)
        known = found.roi_names()
        if roi != "all" and known is not None:
            pick(roi, dict.fromkeys(known), "ROI", f"dataset {dataset}")

    def simulated(self, dataset: str) -> SimulatedSentences | SimulatedStory:
        found = self.datasets[dataset]
        assert isinstance(found, SimulatedSentences | SimulatedStory)
        return found

    # --- report -----------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """Say what the report's text and captions need to know of the study."""
        return {
            "title": self.study.title,
            "question": self.study.question,
            "baselines": list(self.study.baselines),
            "datasets": {name: self.about_dataset(name) for name in self.datasets},
            "models": {run.model: self.about_model(run.model) for run in self.runs},
        }

    def about_dataset(self, name: str) -> dict[str, Any]:
        found = self.datasets[name]
        return {
            "title": found.title,
            "citation": found.citation,
            "licence": found.licence,
            "simulated": found.simulated,
        }

    def about_model(self, name: str) -> dict[str, Any]:
        model = self.model(name)
        trained_here = f"trained here, suite {model.suite} (config/suites.yaml)"
        source = model.repo or model.folder or model.package or trained_here
        return {"name": name, "family": model.family, "source": source, "citation": model.citation}

    def dataset_view_spec(self, dataset: str) -> dict[str, Any]:
        found = self.datasets[dataset]
        return {"dataset": dataset, "simulated": found.simulated, "title": found.title}

    def view_spec(self, dataset: str, fit: str) -> dict[str, Any]:
        return {**self.dataset_view_spec(dataset), "fit": fit}

    def model_view_spec(self, dataset: str, fit: str, model: str) -> dict[str, Any]:
        return {**self.view_spec(dataset, fit), "model": model}

    def page_spec(self) -> dict[str, Any]:
        return {"simulated": self.simulated_datasets()}

    def software_spec(self) -> dict[str, Any]:
        about = self.about()
        return {
            "name": self.name,
            "study": self.study.model_dump(mode="json"),
            "fits": {name: fit.model_dump(mode="json") for name, fit in self.fits.items()},
            "datasets": about["datasets"],
            "models": {
                name: self.model(name).model_dump(mode="json", exclude={"steps"})
                for name in about["models"]
            },
        }

    def quality_spec(self) -> dict[str, Any]:
        return {"excluded": {name: found.excluded for name, found in self.datasets.items()}}

    def recovery_spec(self) -> dict[str, Any]:
        """Say what was planted, for the comparison with what was found."""
        settings = {
            name: {
                **self.simulated(name).model_dump(
                    mode="json", include={"regions", "signal", "planted"}
                ),
                "n_subjects": len(self.datasets[name].subjects),
            }
            for name in self.simulated_datasets()
        }
        poolings = {name: fit.pooling for name, fit in self.fits.items()}
        return {"datasets": settings, "poolings": poolings}

    # --- specs ------------------------------------------------------------------------------------

    def fetch_spec(self, model: str, checkpoint: str) -> dict[str, Any]:
        entry = self.model(model)
        untrained = registry.UNTRAINED.fullmatch(checkpoint)
        step = registry.STEP.fullmatch(checkpoint)
        folder = entry.folder.replace("{step}", step[1]) if entry.folder and step else entry.folder
        spec = {
            "source": entry.source,
            "repo": entry.repo,
            "folder": folder,
            "package": entry.package,
            "subfolder": entry.subfolder,
            "revision": entry.revision_of(checkpoint) or "main",
            "seed": int(untrained[1]) if untrained else None,
            "task": entry.task,
            "weights": entry.weights,
            "n_params": entry.n_params,
        }
        return {key: value for key, value in spec.items() if value is not None}

    def suite_spec(self, suite: str) -> dict[str, Any]:
        return self.suites[suite].model_dump(mode="json")

    def stimuli_spec(self, dataset: str) -> dict[str, Any]:
        return {"dataset": dataset, **self.datasets[dataset].stimuli_spec()}

    def responses_spec(self, dataset: str, subject: str) -> dict[str, Any]:
        return {"dataset": dataset, **self.datasets[dataset].responses_spec()}

    def average_spec(self, dataset: str) -> dict[str, Any]:
        return {"dataset": dataset}

    def ceiling_spec(self, dataset: str) -> dict[str, Any]:
        return {"dataset": dataset, "published": self.datasets[dataset].published_ceilings()}

    def features_spec(self, dataset: str, model: str) -> dict[str, Any]:
        spec = {"dataset": dataset, "dtype": self.model(model).dtype}
        return {**spec, **self.datasets[dataset].features_spec()}

    def baseline_spec(self, dataset: str, model: str, checkpoint: str) -> dict[str, Any]:
        spec: dict[str, Any] = {"dataset": dataset, "kind": self.datasets[dataset].kind}
        if registry.PLANTED.fullmatch(model):
            spec["planted"] = self.simulated(dataset).planted.law()
        return {**spec, "model": model, "checkpoint": checkpoint}

    def fit_spec(self, dataset: str, fit: str, model: str, checkpoint: str) -> dict[str, Any]:
        settings = self.fits[fit].model_dump(
            mode="json", include={"pooling", "response", "folds", "alphas"}
        )
        cell = {"dataset": dataset, "fit": fit, "model": model, "checkpoint": checkpoint}
        return {**cell, "kind": self.datasets[dataset].kind, **settings}

    def score_spec(self, dataset: str, fit: str, model: str, checkpoint: str) -> dict[str, Any]:
        inference = {"layer_choice", "n_permutations", "n_resamples", "resample_block", "seed"}
        cell = {"dataset": dataset, "fit": fit, "model": model, "checkpoint": checkpoint}
        return {
            **cell,
            **self.fits[fit].model_dump(mode="json", include=inference),
            "n_layers": self.model(model).n_layers,
            "rois": self.datasets[dataset].roi_spheres(),
        }

    def scores_spec(self) -> dict[str, Any]:
        """Say what the master table holds about each model beside its scores."""
        names = {run.model for dataset in self.datasets for run in self.runs_on(dataset)}
        return {
            "models": {name: self.model(name).describe(self.final(name)) for name in sorted(names)}
        }

    def contrasts_spec(self) -> dict[str, Any]:
        """Pair each network's last checkpoint with its untrained twin and with every baseline."""
        pairs = []
        for run in self.runs:
            if run.checkpoint == self.final(run.model):
                twins = [other for other in self.runs if other == (run.model, "untrained-seed1")]
                pairs += [[list(run), list(other)] for other in (*twins, *self.baselines)]
        return {"pairs": pairs}


def load_plan(settings: dict[str, Any], folder: Path = Path("config")) -> Plan:
    """Read and check a study and all that it names.

    Parameters
    ----------
    settings : what config/config.yaml and the command line say: `study` and `device`.
    folder : the configuration folder.

    Raises
    ------
    InputError : an unknown key or name, with the nearest valid ones.
    """
    site = config.check(Site, settings, f"{folder}/config.yaml or --config")
    name, study = config.load_study(site.study, folder)
    where = f"study {name}"
    fits = config.load_fits(folder)
    plan = Plan(
        name=name,
        study=study,
        site=site,
        datasets={dataset: load_dataset(dataset, folder) for dataset in study.datasets},
        fits={fit: pick(fit, fits, "fit", f"{where}: fits") for fit in study.fits},
        models=registry.load_models(folder),
        suites=registry.load_suites(folder),
    )
    for dataset in study.datasets:
        if not plan.fits_of(dataset):
            kind = plan.datasets[dataset].kind
            known = ", ".join(fit for fit in fits if fits[fit].kind == kind)
            raise InputError(f"{where}: no fit for dataset {dataset} ({kind}); add one of {known}")
    check_plan(plan)
    return plan


def check_plan(plan: Plan) -> None:
    """Refuse what each file alone cannot know to be wrong."""
    where = f"study {plan.name}"
    for key, names in (("datasets", plan.study.datasets), ("fits", plan.study.fits)):
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{where}: {key}: `{twice[0]}` stands twice; keep one")
    for fit in plan.study.fits:
        if not any(fit in plan.fits_of(dataset) for dataset in plan.study.datasets):
            kind = plan.fits[fit].kind
            raise InputError(f"{where}: fit {fit} is for {kind}, and no dataset is; leave it out")
    assert plan.runs  # resolving the checkpoints refuses unknown ones
    planted: dict[str, Model] = {}
    for name in plan.simulated_datasets():
        states = plan.simulated(name).signal.states.model
        pick(states, plan.models, "model", f"dataset {name}: signal.states.model")
        for model in plan.datasets[name].planted_models():
            if planted.setdefault(model.name, model) != model:
                raise InputError(
                    f"dataset {name}: {model.name} has other layers or steps than in another "
                    "dataset of the study; make them the same"
                )


def dumps(spec: dict[str, Any]) -> str:
    """Write a spec as one JSON line with sorted keys, the form that commands and Snakemake read."""
    return json.dumps(spec, sort_keys=True, ensure_ascii=False)
