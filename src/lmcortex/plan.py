"""What a study asks for: which cells and which files, with everything looked up and checked."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lmcortex import config, paths, registry
from lmcortex.config import Fit, Site, Study, Text, pick
from lmcortex.datasets import Dataset, SimulatedSentences, SimulatedStory, Story, load_dataset
from lmcortex.datasets.recorded import Archive
from lmcortex.datasets.shared import Files
from lmcortex.errors import InputError
from lmcortex.registry import Model, Suite

TABLES = (
    "scores",
    "draws",
    "scaling",
    "scaling_controls",
    "lateralization",
    "lateralization_contrasts",
    "model_contrasts",
    "training",
    "quality",
    "provenance",
)
# Tables of `analyses: [geometry]`.
GEOMETRY_TABLES = (
    "geometry",
    "modules",
    "module_nulls",
    "module_scores",
    "geometry_brain",
    "onset_contrasts",
    "claims",
)
# Tables of `analyses: [windows]`.
WINDOW_TABLES = ("windows", "yoking", "windows_brain")
TEXT_FILES = (".txt", ".csv", ".tsv")
# Tables of `analyses: [networks]`.
NETWORK_TABLES = ("atoms", "network_labels", "organization")
LEAST_SIZES = 3  # models that make a scaling law


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
    texts: dict[str, Text] = field(default_factory=dict)

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

    def extracted_on(self, dataset: str) -> list[Run]:
        """The networks that read a stimulus: the study's, and one that it is simulated from."""
        simulated_from = [self.simulated_from(dataset)] if self.datasets[dataset].simulated else []
        return list(dict.fromkeys([*self.runs, *simulated_from]))

    def networks(self) -> list[Run]:
        """Every network that a job of the study loads."""
        reading = [run for dataset in self.study.datasets for run in self.extracted_on(dataset)]
        return list(dict.fromkeys([*reading, *self.swap_runs()]))

    def simulated_from(self, dataset: str) -> Run:
        model = self.simulated(dataset).signal.states.model
        return Run(model, self.model(model).final)

    # --- files ------------------------------------------------------------------------------------

    def all_features(self) -> list[str]:
        return [
            paths.FEATURES.format(dataset=dataset, **run._asdict())
            for dataset in self.study.datasets
            for run in self.runs_on(dataset)
        ]

    def gpu_outputs(self, run: Run) -> list[str]:
        """Every output of a network's GPU jobs: after them, its weights are needed no more."""
        of_datasets = [
            pattern.format(dataset=dataset, **run._asdict())
            for dataset in self.study.datasets
            for pattern, runs in (
                (paths.FEATURES, self.extracted_on(dataset)),
                (paths.GEOMETRY, self.passage_runs(dataset)),
                (paths.NEURONS, self.networked_runs(dataset)),
            )
            if run in runs
        ]
        of_texts = [
            paths.WINDOWS.format(text=text, **run._asdict())
            for text in self.texts
            if run in self.window_runs()
        ]
        swaps = [
            paths.SWAPS.format(text=text, model=model)
            for text in self.texts
            for model in self.window_models()
            if run in self.swap_sources(text, model).values()
        ]
        return [*of_datasets, *of_texts, *swaps]

    def measured_runs(self) -> list[Run]:
        """The networks whose geometry is measured."""
        return self.runs if "geometry" in self.study.analyses else []

    def passage_runs(self, dataset: str) -> list[Run]:
        """The networks that read a dataset once more for its geometry: a story, in passages."""
        return self.measured_runs() if dataset in self.datasets_of("story") else []

    def geometry_files(self) -> list[str]:
        return [
            paths.GEOMETRY.format(dataset=dataset, **run._asdict())
            for dataset in self.study.datasets
            for run in self.measured_runs()
        ]

    def window_runs(self) -> list[Run]:
        """The networks whose integration windows are measured."""
        return self.runs if "windows" in self.study.analyses else []

    def window_models(self) -> list[str]:
        return list(dict.fromkeys(run.model for run in self.window_runs()))

    def window_files(self, pattern: str = paths.WINDOWS) -> list[str]:
        return [
            pattern.format(text=text, **run._asdict())
            for text in self.texts
            for run in self.window_runs()
        ]

    def swap_files(self) -> list[str]:
        return [
            paths.SWAPS.format(text=text, model=model)
            for text in self.texts
            for model in self.window_models()
        ]

    def swap_sources(self, text: str, model: str) -> dict[str, Run]:
        """The networks that choose a model's swaps: its last checkpoint, and a masked model.

        The last of all, not of the study's: a checkpoint added to a study changes no swap.
        """
        sources = {"checkpoint": Run(model, self.model(model).final)}
        if masked := self.texts[text].masked_model:
            sources["masked"] = Run(masked, self.model(masked).final)
        return sources

    def swap_runs(self) -> list[Run]:
        """The networks that choose swaps, whether the study asks for them or not."""
        runs = [
            run
            for text in self.texts
            for model in self.window_models()
            for run in self.swap_sources(text, model).values()
        ]
        return list(dict.fromkeys(runs))

    def waiting_models(self, run: Run) -> list[str]:
        """The models whose swaps a network chooses: before, no window of theirs is measured."""
        return [
            model
            for model in self.window_models()
            if any(run in self.swap_sources(text, model).values() for text in self.texts)
        ]

    def shown_windows(self, model: str) -> list[str]:
        """Name the checkpoints of a model whose units are drawn.

        The last comes first; then two, evenly spaced among those before it, as training goes; then
        the untrained twin.
        """
        known = [run.checkpoint for run in self.window_runs() if run.model == model]
        steps = sorted((n for n in known if registry.STEP.match(n)), key=lambda n: int(n[4:]))
        between = [steps[len(steps) // 3], steps[2 * len(steps) // 3]] if len(steps) > 3 else []
        return [name for name in (self.final(model), *between, "untrained-seed1") if name in known]

    def text_files(self, text: str) -> list[str]:
        """The files that a text is read from; none where its source is `pydoc`."""
        where = f"config/windows.yaml: {text}.source"
        source = Path(config.expand(self.texts[text].source, where))
        files = sorted(source.glob("*.txt")) if source.is_dir() else [source]
        if str(source) == "pydoc":
            return []
        if not files or not files[0].is_file():
            raise InputError(f"{where}: {source}: no such file, or no .txt file in this folder")
        if files[0].suffix not in TEXT_FILES:
            raise InputError(f"{where}: {source}: expected a file in {', '.join(TEXT_FILES)}")
        return [str(file) for file in files]

    def networked_runs(self, dataset: str) -> list[Run]:
        """The networks whose neurons are organized by what they drive in a dataset: a story."""
        asked = "networks" in self.study.analyses and self.datasets[dataset].kind == "story"
        return [*self.runs, *self.runs_with_planted_neurons(dataset)] if asked else []

    def runs_with_planted_neurons(self, dataset: str) -> list[Run]:
        """The planted model of a dataset whose sub-groups of neurons are known, if there is one."""
        simulated = self.datasets[dataset].simulated
        name = self.simulated(dataset).model_with_neurons() if simulated else None
        return [Run(name, self.model(name).final)] if name else []

    def planted_networks(self) -> dict[str, Run]:
        """The models with known sub-groups of neurons, by dataset, where networks are asked for."""
        return {
            dataset: run
            for dataset in self.networked_datasets()
            for run in self.runs_with_planted_neurons(dataset)
        }

    def network_truth(self) -> dict[str, Any]:
        """The files that tell what was recovered of sub-groups: their labels, and their atoms."""
        planted = self.planted_networks().items()
        atoms = [paths.ATOMS.format(dataset=dataset, **run._asdict()) for dataset, run in planted]
        return {"labels": self.table("network_labels"), "atoms": atoms} if atoms else {}

    def networked_datasets(self) -> list[str]:
        return [name for name in self.study.datasets if self.networked_runs(name)]

    def organized_files(self, pattern: str) -> list[str]:
        """The files of a pattern for every network on every dataset that it is organized on."""
        return [
            pattern.format(dataset=dataset, **run._asdict())
            for dataset in self.networked_datasets()
            for run in self.networked_runs(dataset)
        ]

    def shown_runs(self, dataset: str) -> list[Run]:
        """The last checkpoint of each network, whose atoms are drawn one by one."""
        runs = self.networked_runs(dataset)
        return [run for run in runs if run.checkpoint == self.final(run.model)]

    def last_group_maps(self, dataset: str, model: str | None = None) -> list[str]:
        """The maps of the atoms of every network's last checkpoint, or of one network's."""
        return [
            paths.GROUP_MAPS.format(dataset=dataset, **run._asdict())
            for run in self.shown_runs(dataset)
            if model in (None, run.model)
        ]

    def network_files(self) -> list[str]:
        """Every file of the networks' atoms, their maps and their labels."""
        patterns = (paths.NEURONS, paths.ATOMS, paths.GROUP_MAPS)
        patterns += (paths.ATOM_TABLE, paths.LABELS, paths.ORGANIZATION)
        return [
            *(file for pattern in patterns for file in self.organized_files(pattern)),
            *(
                file
                for dataset in self.networked_datasets()
                for run in self.networked_runs(dataset)
                for file in self.map_files(dataset, run)
            ),
        ]

    def map_files(self, dataset: str, run: Run) -> list[str]:
        """The files of a network's maps: of all subjects, or one for each."""
        place = {"dataset": dataset, **run._asdict()}
        blocks = self.datasets[dataset].subject_blocks()
        return [paths.ATOM_MAPS.format(**place, subject=block) for block in blocks]

    def network_draws(self) -> list[str]:
        """The resampled scores of all layers of the networks with training steps."""
        return [
            paths.DRAWS.format(**cell._asdict(), roi="all")
            for cell in self.cells()
            if (cell.model, cell.checkpoint) in self.runs and registry.STEP.match(cell.checkpoint)
        ]

    def release_files(self) -> list[str]:
        """What notes that weights left the cache: one file for each run with weights of the hub."""
        return [
            paths.RELEASED.format(study=self.name, **run._asdict())
            for run in self.networks()
            if self.model(run.model).source == "hub"
            and not registry.UNTRAINED.fullmatch(run.checkpoint)
        ]

    def releases(self) -> list[str]:
        """The release files that are asked for: none where the site keeps all weights."""
        return self.release_files() if self.site.weights_budget_gb else []

    def fit_files(self, cell: Cell, subject: str | None = None) -> list[str]:
        """The encoding files of a cell: one for each block of layers and of subjects.

        With a subject, just those that hold it; `group` is in those of all but `average`.
        """
        dataset = self.datasets[cell.dataset]
        layers = paths.layer_blocks(self.model(cell.model).n_layers, dataset.layers_per_job)
        return [
            paths.FIT.format(**cell._asdict(), layer=layer, subject=block)
            for block in dataset.subject_blocks()
            for layer in layers
            if subject in (None, block)
            or block == "all"
            or (subject == "group" and block != "average")
        ]

    def all_fits(self) -> list[str]:
        return [path for cell in self.cells() for path in self.fit_files(cell)]

    def all_scores(self, pattern: str = paths.SCORES) -> list[str]:
        return [pattern.format(**cell._asdict(), roi="all") for cell in self.cells()]

    def stimulus_files(self, dataset: str) -> Files:
        """What a dataset's stimuli are made of."""
        files = self.datasets[dataset].stimulus_files()
        return self._without_archived(dataset, "words", "words", files)

    def recording_files(self, dataset: str, subject: str) -> Files:
        """What a subject's responses are made of."""
        found = self.datasets[dataset]
        files = self._without_archived(
            dataset, f"sub-{subject}", "responses", found.recording_files(subject)
        )
        covered = isinstance(found, Story) and found.coverage
        return {**files, "mask": paths.MASK.format(dataset=dataset)} if covered else files

    def series_files(self, dataset: str, subject: str) -> Files:
        """The images of a subject alone."""
        files = self.recording_files(dataset, subject)
        return {name: entry for name, entry in files.items() if name in ("archive", "responses")}

    def imaged(self, dataset: str) -> Story:
        """Return a dataset whose mask is made of its images."""
        found = self.datasets[dataset]
        assert isinstance(found, Story) and found.coverage
        return found

    def _without_archived(self, dataset: str, part: str, name: str, files: Files) -> Files:
        """Put what the archive notes of its files in their place: they may not be there yet."""
        found = self.datasets[dataset]
        if not isinstance(found, Story) or part not in found.archived_parts():
            return files
        kept = {other: entry for other, entry in files.items() if other != name}
        return {"archive": paths.RECORDING.format(dataset=dataset, part=part), **kept}

    def archived(self, dataset: str) -> tuple[Story, Archive]:
        """Return a dataset that comes from an archive, and where that is."""
        found = self.datasets[dataset]
        assert isinstance(found, Story) and found.archive
        return found, found.archive

    def voxel_maps(self, *patterns: str) -> list[str]:
        """The maps of every cell of voxels, of each subject that speaks for its dataset."""
        return [
            self.voxel_map(pattern, cell, subject)
            for pattern in patterns
            for cell in self.cells()
            if self.datasets[cell.dataset].has_voxels()
            for subject in self.datasets[cell.dataset].speaking_subjects()
        ]

    def voxel_map(self, pattern: str, cell: Cell, subject: str) -> str:
        return pattern.format(study=self.name, subject=subject, **cell._asdict())

    def embedding_maps(self, cell: Cell, subject: str) -> list[str]:
        """The score maps of the random embedding beside a cell, one for each seed."""
        seeds = [run for run in self.baselines if run.model == "random-embedding"]
        return [
            self.voxel_map(paths.SCORE_MAP, Cell(cell.dataset, cell.fit, *run), subject)
            for run in seeds
        ]

    def added_maps(self) -> list[str]:
        """Maps of what the last checkpoint of each network adds to the random embedding."""
        return [
            self.voxel_map(paths.ADDED_MAP, cell, subject)
            for cell in self.cells()
            if self.datasets[cell.dataset].has_voxels()
            and Run(cell.model, cell.checkpoint) not in self.baselines
            and cell.checkpoint == self.final(cell.model)
            for subject in self.datasets[cell.dataset].speaking_subjects()
            if self.embedding_maps(cell, subject)
        ]

    def sized_runs(self, dataset: str) -> list[Run]:
        """The last checkpoints of trained models with a size; of planted ones if those are few."""
        last = [
            run
            for run in self.runs_on(dataset)
            if self.model(run.model).n_params and run.checkpoint == self.final(run.model)
        ]
        trained, planted = (
            [run for run in last if self.model(run.model).role == role]
            for role in ("trained", "planted")
        )
        return planted if len(trained) < LEAST_SIZES <= len(planted) else trained

    def sloped_voxels(self) -> list[tuple[str, str, str]]:
        """The (dataset, fit, subject) whose voxels have slopes over models."""
        return [
            (dataset, fit, subject)
            for dataset, found in self.datasets.items()
            if found.has_voxels() and len(self.sized_runs(dataset)) >= LEAST_SIZES
            for fit in self.fits_of(dataset)
            for subject in found.speaking_subjects()
        ]

    def slope_maps(self) -> list[str]:
        return [
            paths.SLOPE_MAP.format(study=self.name, dataset=dataset, fit=fit, subject=subject)
            for dataset, fit, subject in self.sloped_voxels()
        ]

    def sized_maps(self) -> list[str]:
        """The score maps that slopes are fitted to."""
        return [
            self.voxel_map(paths.SCORE_MAP, Cell(dataset, fit, *run), subject)
            for dataset, fit, subject in self.sloped_voxels()
            for run in self.sized_runs(dataset)
        ]

    def nuisance_files(self, dataset: str, fit: str) -> list[str]:
        """The features that a fit takes for known."""
        return [
            paths.FEATURES.format(
                dataset=dataset,
                model=name,
                checkpoint="seed1" if name.startswith("random-") else "main",
            )
            for name in self.fits[fit].nuisance
        ]

    def response_files(self, dataset: str, subjects: str = "all") -> list[str]:
        """The responses that a fit reads: of one subject, or of all and their mean."""
        labels = self.datasets[dataset].fitted_subjects() if subjects == "all" else [subjects]
        return [paths.RESPONSES.format(dataset=dataset, subject=label) for label in labels]

    def table(self, name: str) -> str:
        return paths.TABLE.format(study=self.name, table=name)

    def tables(self) -> list[str]:
        names = [*TABLES, *(["truth_recovery"] if self.simulated_datasets() else [])]
        names += GEOMETRY_TABLES if "geometry" in self.study.analyses else ()
        names += WINDOW_TABLES if "windows" in self.study.analyses else ()
        names += NETWORK_TABLES if "networks" in self.study.analyses else ()
        names += ["voxel_slopes"] if self.sloped_voxels() else []
        return [self.table(name) for name in names]

    def checkpoint_files(self) -> list[str]:
        return [paths.CHECKPOINT.format(**run._asdict()) for run in self.runs]

    def quality_files(self) -> list[str]:
        """The files whose facts make the table of data quality."""
        files = []
        for name in self.datasets:
            files.append(paths.ITEMS.format(dataset=name))
            labels = [*self.datasets[name].subjects, *self.datasets[name].fitted_subjects()]
            files += [
                paths.RESPONSES.format(dataset=name, subject=label)
                for label in dict.fromkeys(labels)
            ]
            files.append(paths.CEILING.format(dataset=name))
            if self.study.glove:
                glove = {"dataset": name, "model": "glove", "checkpoint": "main"}
                files.append(paths.FEATURES.format(**glove))
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
            *self.geometry_files(),
            *self.swap_files(),
            *self.window_files(),
            *self.window_files(paths.YOKING),
            *self.window_files(paths.DIFFERENCES),
            *self.network_files(),
            *self.all_scores(),
            *self.all_scores(paths.DRAWS),
            *self.voxel_maps(paths.SCORE_MAP, paths.SIDES_MAP),
            *self.added_maps(),
            *self.slope_maps(),
            *(self.table(name) for name in TABLES if name != "provenance"),
        ]

    def archive_files(self) -> list[str]:
        """What is noted of files that come from an archive."""
        return [
            paths.RECORDING.format(dataset=name, part=part)
            for name, found in self.datasets.items()
            if isinstance(found, Story)
            for part in found.archived_parts()
        ]

    def coverage_files(self) -> list[str]:
        """The masks that are made of images, and what they are made of."""
        return [
            file
            for name, found in self.datasets.items()
            if isinstance(found, Story) and found.coverage
            for file in (
                paths.MASK.format(dataset=name),
                *(paths.COVERAGE.format(dataset=name, subject=label) for label in found.subjects),
            )
        ]

    def outputs(self) -> set[str]:
        """Every file that the study asks for, but for its report."""
        tables = self.tables()
        return {
            *self.archive_files(),
            *self.coverage_files(),
            *self.signed_files(),
            *self.release_files(),
            *tables,
            *(str(Path(table).with_suffix(".csv")) for table in tables),
        }

    def planted_states(self, dataset: str) -> str:
        """The features of the model from whose states a dataset is simulated."""
        return paths.FEATURES.format(dataset=dataset, **self.simulated_from(dataset)._asdict())

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


def load_plan(settings: dict[str, Any], folder: Path = Path("config")) -> Plan:
    """Read and check a study and all that it names.

    Parameters
    ----------
    settings : what config/config.yaml, a profile's site.yaml and the command line say.
    folder : the configuration folder.

    Raises
    ------
    InputError : an unknown key or name, with the nearest valid ones.
    """
    site = config.check(Site, settings, f"{folder}/config.yaml, site.yaml or --config")
    name, study = config.load_study(site.study, folder)
    where = f"study {name}"
    fits = config.load_fits(folder)
    texts = config.load_texts(folder) if study.windows else {}
    plan = Plan(
        name=name,
        study=study,
        site=site,
        datasets={dataset: load_dataset(dataset, folder) for dataset in study.datasets},
        fits={fit: pick(fit, fits, "fit", f"{where}: fits") for fit in study.fits},
        models=registry.load_models(folder),
        suites=registry.load_suites(folder),
        texts={text: pick(text, texts, "text", f"{where}: windows") for text in study.windows},
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
    if "networks" in plan.study.analyses and not plan.networked_datasets():
        raise InputError(f"{where}: analyses: networks needs a story; add a dataset of that kind")
    for name in plan.networked_datasets():
        found = plan.datasets[name]
        if found.extent().rois < 2 and not found.network_files():
            raise InputError(
                f"{where}: analyses: networks: dataset {name} has one ROI; name two or more in its "
                "`targets` or `regions`, or labelled images in its `networks`"
            )
    assert plan.runs  # resolving the checkpoints refuses unknown ones
    assert plan.word_vectors or not plan.study.glove  # refuses a file that is not there
    for name, text in plan.texts.items():
        if text.masked_model:
            place = f"config/windows.yaml: {name}.masked_model"
            masked = pick(text.masked_model, plan.models, "model", place)
            if masked.task != "masked":
                raise InputError(f"{place}: {masked.name} reads forward; name a masked model")
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
