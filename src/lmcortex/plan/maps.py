"""The maps of voxels."""

from lmcortex import paths
from lmcortex.plan.asked import Asked, Cell, Run

LEAST_SIZES = 3  # models that make a scaling law


class Maps(Asked):
    """Maps of scores, of what they add to a random embedding, and of their slopes with size."""

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
