"""What a study asks for: models at checkpoints, against datasets, by fits."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from lmcortex import config, paths, registry
from lmcortex.config import Fit, Site, Study, Text, pick
from lmcortex.datasets import Dataset, SimulatedSentences, SimulatedStory
from lmcortex.errors import InputError
from lmcortex.registry import Model, Suite


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
class Asked:
    """A study and everything that it names."""

    name: str
    study: Study
    site: Site
    datasets: dict[str, Dataset]
    fits: dict[str, Fit]
    models: dict[str, Model]
    suites: dict[str, Suite]
    texts: dict[str, Text] = field(default_factory=dict)

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
        names = [*self.study.baselines, *(["glove"] if self.study.glove else [])]
        return [
            Run(name, checkpoint)
            for name in names
            for checkpoint in (seeds if name.startswith("random-") else ["main"])
        ]

    @cached_property
    def word_vectors(self) -> str | None:
        """The file of the baseline `glove`, if the study has one."""
        if self.study.glove is None:
            return None
        where = f"study {self.name}: glove"
        path = config.expand(self.study.glove, where)
        if not Path(path).is_file():
            raise InputError(f"{where}: {path}: no such file; correct it, or leave `glove` out")
        return path

    def runs_on(self, dataset: str) -> list[Run]:
        """The runs that are fitted to a dataset: networks, baselines and planted models."""
        planted = [
            Run(model.name, checkpoint)
            for model in self.datasets[dataset].planted_models()
            for checkpoint in model.checkpoints("all", dataset)
        ]
        return [*self.runs, *self.baselines, *planted]

    def extracted_on(self, dataset: str) -> list[Run]:
        """The networks that read a stimulus: the study's, and one that it is simulated from."""
        simulated_from = [self.simulated_from(dataset)] if self.datasets[dataset].simulated else []
        return list(dict.fromkeys([*self.runs, *simulated_from]))

    def datasets_of(self, kind: str) -> list[str]:
        return [name for name, found in self.datasets.items() if found.kind == kind]

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
        return self.models.get(name) or self._planted.get(name) or registry.pseudo_model(name)

    @cached_property
    def _planted(self) -> dict[str, Model]:
        found = (dataset.planted_models() for dataset in self.datasets.values())
        return {model.name: model for models in found for model in models}

    def final(self, name: str) -> str:
        """Return the last checkpoint of a model that the study asks for."""
        return self._finals.get(name) or self.model(name).final

    @cached_property
    def _finals(self) -> dict[str, str]:
        """The last training step of each model, where the study asks for one."""
        steps: dict[str, int] = {}
        for model, checkpoint in self.runs:
            if step := registry.STEP.fullmatch(checkpoint):
                steps[model] = max(int(step[1]), steps.get(model, 0))
        return {model: f"step{step}" for model, step in steps.items()}

    def simulated_datasets(self) -> list[str]:
        return [name for name, dataset in self.datasets.items() if dataset.simulated]

    def simulated(self, dataset: str) -> SimulatedSentences | SimulatedStory:
        found = self.datasets[dataset]
        assert isinstance(found, SimulatedSentences | SimulatedStory)
        return found

    def simulated_from(self, dataset: str) -> Run:
        model = self.simulated(dataset).signal.states.model
        return Run(model, self.model(model).final)

    def averaged_datasets(self) -> list[str]:
        """Datasets whose mean response is computed here, not given."""
        return [name for name, dataset in self.datasets.items() if len(dataset.subjects) > 1]

    def table(self, name: str) -> str:
        return paths.TABLE.format(study=self.name, table=name)

    def check_asked(self, dataset: str, fit: str, roi: str) -> None:
        """Refuse a path that names an unknown dataset, fit or ROI, before any job."""
        where = f"study {self.name}"
        found = pick(dataset, self.datasets, "dataset", where)
        pick(fit, self.fits, "fit", where)
        known = found.roi_names()
        if roi != "all" and known is not None:
            pick(roi, dict.fromkeys(known), "ROI", f"dataset {dataset}")
