"""Every file of config/studies, run from nothing to its pages: real commands, small sizes.

Models of the hub are tiny random ones under the registry's names, data are noise in the presets'
layouts, and `cuts` shortens the rest, all by rule: a new study is covered as soon as it is there.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cuts import cut_configuration, cut_study
from fork_server import forking
from hub import serve
from stand_in_data import write_data
from tiny_models import FAMILIES, MODELS, TinyHub, tiny_width
from workspace import ROOT, Workspace, new_workspace

from lmcortex import paths, registry, reporting, storage
from lmcortex.plan import Cell, Plan, load_plan

STUDIES = sorted(path.stem for path in ROOT.glob("config/studies/*.yaml"))
REGISTRY = registry.load_models(ROOT / "config")
# The smallest model of each family, and those that differ from their family.
KINDS = {
    **{model.family: model.name for model in reversed(REGISTRY.values()) if model.source == "hub"},
    **{name: name for name in MODELS},
}
FAMILY_STUDY = {
    "title": "One model of each family, with some of its training where that was published",
    "datasets": ["tuckute2024", "alice"],
    "fits": ["shuffled-5", "story-5"],
    "models": [
        {"name": name, "checkpoints": {"log_spaced": 4} if REGISTRY[name].steps else "final"}
        for name in KINDS.values()
    ],
    "untrained": False,
}


@pytest.fixture(scope="module")
def hub() -> Iterator[TinyHub]:
    with serve(TinyHub(REGISTRY.values())) as hub:
        yield hub


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, hub: TinyHub) -> Iterator[Workspace]:
    """A workspace before any run: its configuration is cut, and the data are there."""
    folder = tmp_path_factory.mktemp("prepared")
    new_workspace(folder, stand_ins=False)
    environment = {
        "LMCORTEX_DATA": str(folder / "data"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    python = folder / "bin" / "python"
    with pytest.MonkeyPatch.context() as patch, forking(python, ["preloaded"], environment):
        for name, value in environment.items():
            patch.setenv(name, value)
        cut_configuration(folder / "config")
        write_data(folder / "config")
        yield Workspace(folder, stand_ins=True)


@pytest.fixture
def space(prepared: Workspace, tmp_path: Path) -> Workspace:
    return copy_of(prepared, tmp_path)


def copy_of(prepared: Workspace, folder: Path) -> Workspace:
    """Copy the prepared workspace to an empty folder; the data stay where they are."""
    shutil.copytree(prepared.path("config"), folder / "config")
    for name in ("bin", "workflow"):
        (folder / name).symlink_to(prepared.path(name))
    return Workspace(folder, stand_ins=True)


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_runs_from_nothing_to_its_pages(space: Workspace, hub: TinyHub, study: str) -> None:
    cut_study(space.path(f"config/studies/{study}.yaml"), REGISTRY)
    hub.asked.clear()
    space.snakemake("--config", f"study={study}", "device=cpu")
    plan = plan_of(space, study)
    made = [*plan.tables(), *reporting.figures(plan), *reporting.pages(plan)]
    assert [file for file in made if not space.path(file).stat().st_size] == []
    scores = pd.read_parquet(space.path(plan.table("scores")))
    assert set(scores[list(Cell._fields)].itertuples(index=False, name=None)) == set(plan.cells())
    assert hub.asked == revisions(plan)


def plan_of(space: Workspace, study: str) -> Plan:
    return load_plan({"study": study}, space.path("config"))


def revisions(plan: Plan) -> Counter[tuple[str | None, str]]:
    """Count how often each revision has to be looked up: once for each checkpoint."""
    runs = dict.fromkeys([*plan.runs, *plan.swap_runs()])
    models = [(plan.model(run.model), run.checkpoint) for run in runs]
    return Counter(
        (model.repo, model.revision_of(checkpoint))
        for model, checkpoint in models
        if model.source == "hub"
    )


@pytest.fixture(scope="module")
def families(
    prepared: Workspace, hub: TinyHub, tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    """A workspace with the features of one model of each family; `hub` knows what was asked for."""
    space = copy_of(prepared, tmp_path_factory.mktemp("families"))
    space.path("config/studies/families.yaml").write_text(yaml.safe_dump(FAMILY_STUDY))
    hub.asked.clear()
    options = ["--config", "study=families", "device=cpu"]
    space.snakemake("features", "--keep-going", *options, check=False)
    return space


def test_every_family_of_the_registry_has_a_stand_in() -> None:
    assert {model.family for model in REGISTRY.values() if model.source == "hub"} == set(FAMILIES)


@pytest.mark.parametrize("kind", KINDS)
def test_each_family_gives_the_states_of_all_its_layers(families: Workspace, kind: str) -> None:
    model = REGISTRY[KINDS[kind]]
    for dataset, poolings in (("tuckute2024", ["last", "mean"]), ("alice", ["word"])):
        place = {"dataset": dataset, "model": model.name, "checkpoint": model.final}
        with storage.open_arrays(families.path(paths.FEATURES.format(**place))) as arrays:
            names = list(arrays.keys())
            states = [name for name in names if not name.startswith("gram/")]
            widths = {name: arrays.get_tensor(name).shape[1] for name in states}
        # Sentences have inner products of tokens, too, at each layer and after the final norm.
        assert len(names) - len(states) == (model.n_layers + 3 if dataset == "tuckute2024" else 0)
        layers = range(model.n_layers + 1)
        names = [f"{pooling}/{layer:02d}" for pooling in poolings for layer in layers]
        assert widths == dict.fromkeys(names, tiny_width(model.width))


def test_each_checkpoint_is_fetched_once_and_has_weights_of_its_own(
    families: Workspace, hub: TinyHub
) -> None:
    plan = plan_of(families, "families")
    assert hub.asked == revisions(plan)
    files = [families.path(paths.CHECKPOINT.format(**run._asdict())) for run in plan.runs]
    assert len({storage.read_json(file)["fingerprint"] for file in files}) == len(plan.runs)
