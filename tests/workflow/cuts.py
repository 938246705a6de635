"""Cut the configuration to what a test can afford: its sizes, by rule."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from tiny_models import HEAD, count_parameters, tiny_width

from lmcortex.config import Study, check, pick, read_yaml
from lmcortex.registry import STEP, Model, load_models
from lmcortex.reporting import LEAST_STEPS

SUBJECTS = 3
RUNS = 3  # of a recorded story
SAMPLES = 80  # of a run
SENTENCES = 60
SPACING = 12  # mm between voxels
SEQUENCES = 4  # of swapped words
DRAWS = 20  # permutations and resamples
ATOMS = 4
VOCABULARY = 512
STEPS_PER_STEP = 100  # steps of a suite's training that become one
MOST_MODELS = 4  # of a study
MOST_FITS = 40  # of a study's trained checkpoints; one that asks for more is thinned


def cut_configuration(folder: Path) -> None:
    """Cut every file of `folder`, a copy of config/, but for the studies."""
    models = load_models(folder)
    rewrite(folder / "models.yaml", lambda families: cut_models(families, models))
    rewrite(folder / "suites.yaml", lambda suites: for_each(cut_suite, suites))
    rewrite(folder / "fits.yaml", lambda fits: for_each(cut_fit, fits))
    rewrite(folder / "windows.yaml", lambda texts: for_each(cut_text, texts))
    for path in folder.glob("datasets/*.yaml"):
        rewrite(path, cut_dataset)


def rewrite(path: Path, cut: Callable[[Any], Any]) -> None:
    write_yaml(cut(read_yaml(path)), path)


def write_yaml(content: Any, path: Path) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")


def for_each(cut: Callable[[Any], Any], entries: dict[str, Any]) -> dict[str, Any]:
    return {name: cut(entry) for name, entry in entries.items()}


def cut_models(families: Any, models: dict[str, Model]) -> Any:
    """Give the hub's models the size of their stand-ins; layers, context and steps are kept."""
    for family in families.values():
        for name, entry in family["models"].items():
            if models[name].source == "hub":
                entry["width"] = tiny_width(models[name].width)
                entry["n_params"] = count_parameters(models[name])
    return families


def cut_suite(suite: Any) -> Any:
    """Make a suite's models narrow and their training short; layers and checkpoints are kept."""
    for model in suite["models"].values():
        model["n_heads"] = -(-model["width"] // 64)
        model["width"] = HEAD * model["n_heads"]
        model["checkpoints"] = cut_steps(model["checkpoints"])
    return {**suite, "vocabulary": VOCABULARY}


def cut_steps(steps: Sequence[int]) -> list[int]:
    """Return as many steps that rise from 0 or more, about a hundredth of these."""
    cut: list[int] = []
    for step in steps:
        cut.append(max(step // STEPS_PER_STEP, cut[-1] + 1 if cut else 0))
    return cut


def cut_fit(fit: Any) -> Any:
    return {**fit, "n_permutations": DRAWS, "n_resamples": DRAWS}


def cut_text(text: Any) -> Any:
    """Leave few and short sequences; stand-ins for words are as far apart as their weights are."""
    passages = {**text["passages"], "words": 12, "lags": 6, "sequences": SEQUENCES}
    yoking = {"lengths": [4], "sentences": 3, "sequences": SEQUENCES}
    kept = {name: value for name, value in text.items() if name not in {"distance", "units"}}
    return {**kept, "passages": passages, "yoking": yoking}


def cut_dataset(dataset: Any) -> Any:
    dataset["subjects"] = dataset["subjects"][:SUBJECTS]
    if dataset.get("individuals"):
        dataset["individuals"] = dataset["subjects"][:1]
    dataset.pop("corrections", None)  # of rows of the whole table
    if "grid" in dataset:
        times = SPACING / dataset["grid"]["spacing"]
        shape = [round((side - 1) / times) + 1 for side in dataset["grid"]["shape"]]
        dataset["grid"] |= {"spacing": SPACING, "shape": shape}
    if "runs" in dataset:
        dataset["runs"] = dataset["runs"][:RUNS]
    sizes = dataset["stimuli"] if dataset.get("simulated") else dataset
    if "samples" in sizes:
        counts = sizes["samples"]
        short = [SAMPLES] * len(counts[:RUNS]) if isinstance(counts, list) else SAMPLES
        sizes["samples"] = short
    if "sentences" in sizes:
        shortest, _ = sizes["words"]
        sizes |= {"sentences": SENTENCES, "words": [shortest, shortest + 6]}
    return dataset


def cut_study(path: Path, models: dict[str, Model]) -> None:
    """Thin the models and checkpoints of a study that is too large, and its draws.

    The first model and the shallowest are left, and as many checkpoints of each as make a
    trajectory, so that every table and figure stays. A suite's checkpoints get their new steps.

    Parameters
    ----------
    path : the study's file.
    models : the registry before it was cut.
    """
    content = read_yaml(path)
    first, *others = content["models"]
    others.sort(key=lambda entry: pick(entry["name"], models, "model", str(path)).n_layers)
    content["models"] = [first, *others[: MOST_MODELS - 1]]
    content["embedding_seeds"] = 1
    study = check(Study, content, str(path))
    most = max(LEAST_STEPS, MOST_FITS // (len(study.models) * len(study.fits)))
    for entry, asked in zip(content["models"], study.models, strict=True):
        model = pick(asked.name, models, "model", str(path))
        checkpoints = model.checkpoints(asked.checkpoints, str(path))
        if len(checkpoints) > most or isinstance(asked.checkpoints, list):
            entry["checkpoints"] = [renamed(each, model) for each in spread(checkpoints, most)]
    content["networks"] = {"n_atoms": ATOMS, "seeds": 2, "n_null": DRAWS, "n_draws": DRAWS}
    write_yaml(content, path)


def spread(names: list[str], most: int) -> list[str]:
    """Choose at most `most` of the names, evenly, the first and the last among them."""
    if len(names) <= most:
        return names
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]


def renamed(checkpoint: str, model: Model) -> str:
    step = STEP.fullmatch(checkpoint)
    if model.suite is None or step is None:
        return checkpoint
    return f"step{cut_steps(model.steps)[model.steps.index(int(step[1]))]}"
