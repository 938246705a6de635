"""All files of a study together."""

from pathlib import Path

from lmcortex import paths, registry
from lmcortex.plan.asked import Run
from lmcortex.plan.encoding import Encoding
from lmcortex.plan.geometry import GEOMETRY_TABLES, Geometry
from lmcortex.plan.maps import Maps
from lmcortex.plan.networks import NETWORK_TABLES, Networks
from lmcortex.plan.recordings import Recordings
from lmcortex.plan.windows import WINDOW_TABLES, Windows

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


class Plan(Recordings, Encoding, Geometry, Windows, Networks, Maps):
    """A study with everything that it names, looked up and checked, and every file of it."""

    def networks(self) -> list[Run]:
        """Every network that a job of the study loads."""
        reading = [run for dataset in self.study.datasets for run in self.extracted_on(dataset)]
        return list(dict.fromkeys([*reading, *self.swap_runs()]))

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

    def tables(self) -> list[str]:
        names = [*TABLES, *(["truth_recovery"] if self.simulated_datasets() else [])]
        names += GEOMETRY_TABLES if "geometry" in self.study.analyses else ()
        names += WINDOW_TABLES if "windows" in self.study.analyses else ()
        names += NETWORK_TABLES if "networks" in self.study.analyses else ()
        names += ["voxel_slopes"] if self.sloped_voxels() else []
        return [self.table(name) for name in names]

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
