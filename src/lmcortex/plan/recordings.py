"""The files of stimuli and responses."""

from pathlib import Path

from lmcortex import config, paths
from lmcortex.datasets import Story
from lmcortex.datasets.recorded import Archive
from lmcortex.datasets.shared import Files
from lmcortex.errors import InputError
from lmcortex.plan.asked import Asked


class Recordings(Asked):
    """What datasets are made of."""

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

    def response_files(self, dataset: str, subjects: str = "all") -> list[str]:
        """The responses that a fit reads: of one subject, or of all and their mean."""
        labels = self.datasets[dataset].fitted_subjects() if subjects == "all" else [subjects]
        return [paths.RESPONSES.format(dataset=dataset, subject=label) for label in labels]

    def imaged(self, dataset: str) -> Story:
        """Return a dataset whose mask is made of its images."""
        found = self.datasets[dataset]
        assert isinstance(found, Story) and found.coverage
        return found

    def archived(self, dataset: str) -> tuple[Story, Archive]:
        """Return a dataset that comes from an archive, and where that is."""
        found = self.datasets[dataset]
        assert isinstance(found, Story) and found.archive
        return found, found.archive

    def _without_archived(self, dataset: str, part: str, name: str, files: Files) -> Files:
        """Put what the archive notes of its files in their place: they may not be there yet."""
        found = self.datasets[dataset]
        if not isinstance(found, Story) or part not in found.archived_parts():
            return files
        kept = {other: entry for other, entry in files.items() if other != name}
        return {"archive": paths.RECORDING.format(dataset=dataset, part=part), **kept}

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

    def planted_states(self, dataset: str) -> str:
        """The features of the model from whose states a dataset is simulated."""
        return paths.FEATURES.format(dataset=dataset, **self.simulated_from(dataset)._asdict())

    def truth_files(self) -> list[str]:
        return [paths.TRUTH.format(dataset=name) for name in self.simulated_datasets()]

    def suite_texts(self, suite: str) -> list[str]:
        """The text files that a suite is trained on; none where its text is `pydoc`."""
        where = f"config/suites.yaml: {suite}.text"
        text = config.expand(self.suites[suite].text, where)
        files = sorted(str(path) for path in Path(text).glob("*.txt"))
        if text != "pydoc" and not files:
            raise InputError(f"{where}: {text}: no such folder, or no .txt file in it")
        return files
