"""What `analyses: [networks]` adds."""

from typing import Any

from lmcortex import paths
from lmcortex.plan.asked import Asked, Run

NETWORK_TABLES = ("atoms", "network_labels", "organization")


class Networks(Asked):
    """Sub-groups of neurons, and the brain networks that they drive."""

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

    def map_files(self, dataset: str, run: Run) -> list[str]:
        """The files of a network's maps: of all subjects, or one for each."""
        place = {"dataset": dataset, **run._asdict()}
        blocks = self.datasets[dataset].subject_blocks()
        return [paths.ATOM_MAPS.format(**place, subject=block) for block in blocks]

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

    def network_truth(self) -> dict[str, Any]:
        """The files that tell what was recovered of sub-groups: their labels, and their atoms."""
        planted = self.planted_networks().items()
        atoms = [paths.ATOMS.format(dataset=dataset, **run._asdict()) for dataset, run in planted]
        return {"labels": self.table("network_labels"), "atoms": atoms} if atoms else {}
