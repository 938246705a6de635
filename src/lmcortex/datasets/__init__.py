"""Dataset files (config/datasets/): where stimulus and responses are, and what they hold."""

from collections.abc import Sequence
from pathlib import Path

from lmcortex.config import check, expand, read_yaml
from lmcortex.datasets.recorded import Sentences, Story
from lmcortex.datasets.simulated import SimulatedSentences, SimulatedStory
from lmcortex.errors import InputError

__all__ = ["Dataset", "Sentences", "SimulatedSentences", "SimulatedStory", "Story", "load_dataset"]

Dataset = Sentences | Story | SimulatedSentences | SimulatedStory
KINDS: dict[tuple[str, bool], type[Dataset]] = {
    ("sentences", False): Sentences,
    ("story", False): Story,
    ("sentences", True): SimulatedSentences,
    ("story", True): SimulatedStory,
}


def load_dataset(name: str, folder: Path) -> Dataset:
    """Read config/datasets/{name}.yaml, and look that every file it names is there.

    Raises
    ------
    InputError : a wrong key, an environment variable that is not set, or a missing file.
    """
    path = folder / "datasets" / f"{name}.yaml"
    content = read_yaml(path)
    kind = (str(content.get("kind")), bool(content.get("simulated", False)))
    if kind not in KINDS:
        raise InputError(f"{path}: `kind` is {kind[0]!r}; expected sentences or story")
    for key in ("stimuli", "words", "text", "responses", "mask", "atlas", "targets"):
        if isinstance(content.get(key), str):
            content[key] = expand(content[key], f"{path}: {key}")
            check_places(content[key], f"{path}: {key}", ["task"] if "task" in content else [])
    archive = content.get("archive")
    if isinstance(archive, dict) and "folder" in archive:
        archive["folder"] = expand(str(archive["folder"]), f"{path}: archive.folder")
    dataset = check(KINDS[kind], content, str(path))
    story = dataset if isinstance(dataset, Story) else None
    fetched = {name for name in ("words", "responses") if story and story.is_archived(name)}
    named = [dataset.stimulus_files(), dataset.network_files(), dataset.ceiling_files()]
    named.append(dataset.parcel_files())
    named += map(dataset.recording_files, dataset.subjects)
    needed = (entry for files in named for name, entry in files.items() if name not in fetched)
    for file in (file for entry in needed for file in listed(entry)):
        if not Path(file).exists():
            raise InputError(f"{path}: {file}: no such file; see docs/datasets.md")
    if twice := sorted({*dataset.rois, "all"} & set(dataset.parcel_names())):
        raise InputError(f"{path}: parcels: `{twice[0]}` is an ROI already; name one otherwise")
    return dataset


def listed(entry: str | list[str]) -> list[str]:
    return [entry] if isinstance(entry, str) else entry


def check_places(pattern: str, where: str, more: Sequence[str]) -> None:
    """Refuse a path with a place other than {run}, {subject} and those in `more`."""
    places = ["run", "subject", *more]
    try:
        pattern.format(**dict.fromkeys(places, "1"))
    except (KeyError, IndexError, ValueError) as error:
        known = ", ".join(f"{{{place}}}" for place in places)
        raise InputError(f"{where}: {pattern}: unknown place {error}; known: {known}") from None
