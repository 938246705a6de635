"""The files of encoders: features, fits and scores."""

from lmcortex import paths
from lmcortex.plan.asked import Asked, Cell


class Encoding(Asked):
    """What cells are made of."""

    def checkpoint_files(self) -> list[str]:
        return [paths.CHECKPOINT.format(**run._asdict()) for run in self.runs]

    def all_features(self) -> list[str]:
        return [
            paths.FEATURES.format(dataset=dataset, **run._asdict())
            for dataset in self.study.datasets
            for run in self.runs_on(dataset)
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
