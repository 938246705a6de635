"""Read a study, and refuse what is wrong with it before anything runs."""

from pathlib import Path
from typing import Any

from lmcortex import config, registry
from lmcortex.config import Site, pick
from lmcortex.datasets import load_dataset
from lmcortex.errors import InputError
from lmcortex.plan.files import Plan
from lmcortex.registry import Model


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
