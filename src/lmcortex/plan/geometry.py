"""What `analyses: [geometry]` adds."""

from lmcortex import paths, registry
from lmcortex.plan.asked import Asked, Run

GEOMETRY_TABLES = (
    "geometry",
    "modules",
    "module_nulls",
    "module_scores",
    "geometry_brain",
    "onset_contrasts",
    "claims",
)


class Geometry(Asked):
    """The geometry of layers."""

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

    def network_draws(self) -> list[str]:
        """The resampled scores of all layers of the networks with training steps."""
        return [
            paths.DRAWS.format(**cell._asdict(), roi="all")
            for cell in self.cells()
            if (cell.model, cell.checkpoint) in self.runs and registry.STEP.match(cell.checkpoint)
        ]
