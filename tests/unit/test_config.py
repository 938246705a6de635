import re
import shutil
from pathlib import Path

import pytest

from lmcortex import config, specs
from lmcortex.errors import InputError
from lmcortex.plan import Run, load_plan

CONFIG = Path(__file__).parents[2] / "config"
STUDY = """
title: A study
datasets: [simulated-sentences]
fits: [shuffled-5]
models:
  - {name: gpt2, checkpoints: [final]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the configuration with one small study, `mine`."""
    copy = tmp_path / "config"
    shutil.copytree(CONFIG, copy)
    (copy / "studies" / "mine.yaml").write_text(STUDY)
    return copy


def refused(folder: Path, study: str, settings: dict | None = None) -> str:
    (folder / "studies" / "mine.yaml").write_text(study)
    with pytest.raises(InputError) as error:
        load_plan({"study": "mine", **(settings or {})}, folder)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("study", ["demo", "alice", "tuckute"])
def test_the_studies_that_ship_are_valid(study: str, monkeypatch, data_dir: Path) -> None:
    monkeypatch.setenv("LMCORTEX_DATA", str(data_dir))
    assert load_plan({"study": study}, CONFIG).name == study


def test_an_unknown_key_is_refused_with_the_nearest(folder: Path) -> None:
    message = refused(folder, STUDY.replace("fits:", "fit:"))
    assert "mine.yaml: " in message and ("`fits` is missing" in message or "`fit`" in message)


def test_an_extra_key_is_refused_with_the_nearest(folder: Path) -> None:
    message = refused(folder, STUDY + "baseline: []\n")
    assert "unknown key `baseline`; did you mean baselines?" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("shuffled-5", "shufled-5", "unknown fit `shufled-5`; did you mean shuffled-5"),
        ("name: gpt2", "name: gtp2", "unknown model `gtp2`; did you mean gpt2"),
        ("simulated-sentences", "simulated-sentence", "did you mean simulated-sentences"),
        ("[final]", "[step7]", "gpt2 has no checkpoint `step7`"),
        ("name: gpt2", "name: a/b", "a/b"),
        ("[shuffled-5]", "[]", "fits"),
        ("shuffled-5", "story-5", "no fit for dataset simulated-sentences (sentences)"),
    ],
)
def test_an_unknown_name_is_refused_before_any_job(
    folder: Path, old: str, new: str, expected: str
) -> None:
    assert expected in refused(folder, STUDY.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[shuffled-5]", "[shuffled-5, shuffled-5]", "`shuffled-5` stands twice"),
        ("[shuffled-5]", "[shuffled-5, story-5]", "fit story-5 is for story, and no dataset is"),
    ],
)
def test_what_would_be_computed_twice_or_never_is_refused(
    folder: Path, old: str, new: str, expected: str
) -> None:
    assert expected in refused(folder, STUDY.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("model: suite-l", "model: suite-x", "unknown model `suite-x`; did you mean suite-"),
        ("temporal: {L: 1.0", "temporl: {L: 1.0", "signal.gain names frontal, temporl"),
        ('subjects: ["01", "02"', 'subjects: ["01", "01"', "a subject stands twice"),
        ('subjects: ["01"', 'subjects: ["average"', "`average` and `group` are made"),
        ("kind: sentences", "kind: sentence", "`kind` is 'sentence'; expected"),
    ],
)
def test_a_wrong_dataset_is_refused(folder: Path, old: str, new: str, expected: str) -> None:
    path = folder / "datasets" / "simulated-sentences.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert expected in refused(folder, STUDY)


@pytest.mark.parametrize("name", ["fits.yaml", "models.yaml", "datasets/simulated-sentences.yaml"])
def test_a_file_that_is_no_mapping_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("")
    assert f"{name}: expected `key: value` lines" in refused(folder, STUDY)


def test_an_unknown_place_in_a_path_is_refused(folder: Path, monkeypatch, data_dir: Path) -> None:
    monkeypatch.setenv("LMCORTEX_DATA", str(data_dir))
    path = folder / "datasets" / "alice.yaml"
    path.write_text(path.read_text().replace("s{subject}", "s{sub}"))
    with pytest.raises(InputError, match=r"unknown place 'sub'; known: \{run\}, \{subject\}"):
        load_plan({"study": "alice"}, folder)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("alise", "story-5", "all"), "unknown dataset `alise`; did you mean alice"),
        (("alice", "story-6", "all"), "unknown fit `story-6`; did you mean story-5"),
        (("alice", "story-5", "PLT"), "unknown ROI `PLT`; did you mean PTL"),
    ],
)
def test_a_file_that_cannot_be_made_is_refused_before_any_job(
    asked: tuple[str, str, str], expected: str, monkeypatch, data_dir: Path
) -> None:
    monkeypatch.setenv("LMCORTEX_DATA", str(data_dir))
    with pytest.raises(InputError, match=expected):
        load_plan({"study": "alice"}, CONFIG).check_asked(*asked)


def test_an_unknown_study_is_refused_with_the_nearest(folder: Path) -> None:
    with pytest.raises(InputError, match=r"studies/alise\.yaml: no such file; did you mean alice"):
        load_plan({"study": "alise"}, folder)


def test_an_unknown_device_is_refused(folder: Path) -> None:
    assert "`device` is 'gpu'" in refused(folder, STUDY, {"device": "gpu"})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"acount": "lab"}, "site.yaml or --config: unknown key `acount`; did you mean account"),
        ({"account": 123}, "`account` is 123"),
        ({"gpu_model": "a100-40gb"}, "`gpu_model` is 'a100-40gb'"),
        (
            {"partitions": {"a": {"max_gpus": 2}}},
            "key `partitions.a.max_gpus`; did you mean max_gpu",
        ),
        ({"partitions": {"a": {"max_runtime": "1-00"}}}, "`partitions.a.max_runtime` is '1-00'"),
    ],
)
def test_a_wrong_setting_of_the_site_is_refused(
    folder: Path, settings: dict, expected: str
) -> None:
    assert expected in refused(folder, STUDY, settings)


def test_an_unset_environment_variable_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMCORTEX_DATA", raising=False)
    with pytest.raises(InputError, match="environment variable LMCORTEX_DATA"):
        load_plan({"study": "tuckute"}, folder)


def test_a_missing_data_file_is_named(folder: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LMCORTEX_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"tuckute2024.*bold_response_LH\.csv.*no such file"):
        load_plan({"study": "tuckute"}, folder)


def test_final_and_the_last_step_are_one_run(folder: Path) -> None:
    study = STUDY.replace("{name: gpt2, checkpoints: [final]}", "{name: pythia-70m}")
    study += "  - {name: pythia-70m, checkpoints: [step143000]}\n"
    (folder / "studies" / "mine.yaml").write_text(study)
    plan = load_plan({"study": "mine"}, folder)
    assert [run.checkpoint for run in plan.runs] == ["step143000", "untrained-seed1"]


def test_only_weights_of_the_hub_are_released_and_only_under_a_budget(folder: Path) -> None:
    study = STUDY + "  - {name: suite-l}\n"
    (folder / "studies" / "mine.yaml").write_text(study)
    kept = load_plan({"study": "mine"}, folder)
    budget = load_plan({"study": "mine", "weights_budget_gb": 100}, folder)
    assert kept.releases() == []
    assert budget.releases() == ["results/studies/mine/released/gpt2/main.json"]
    # Without a budget the file is no orphan either: it says what was done.
    assert set(budget.releases()) <= kept.outputs()


def test_weights_are_released_after_the_features_of_every_dataset_that_reads_them(
    folder: Path,
) -> None:
    change = ("model: suite-l", "model: opt-125m")
    path = folder / "datasets" / "simulated-sentences.yaml"
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    study = STUDY.replace("[simulated-sentences]", "[simulated-sentences, simulated-story]")
    study = study.replace("[shuffled-5]", "[shuffled-5, runs]")
    (folder / "studies" / "mine.yaml").write_text(study)
    plan = load_plan({"study": "mine", "weights_budget_gb": 100}, folder)
    names = [Path(path).parent.name for path in plan.releases()]
    assert names == ["gpt2", "opt-125m"]
    features = "results/datasets/simulated-{}/features/{}/main.safetensors"
    assert plan.gpu_outputs(Run("gpt2", "main")) == [
        features.format(dataset, "gpt2") for dataset in ("sentences", "story")
    ]
    assert plan.gpu_outputs(Run("opt-125m", "main")) == [features.format("sentences", "opt-125m")]


def test_specs_hold_no_path_of_the_machine_and_no_checkpoint_list(
    folder: Path, monkeypatch, data_dir: Path
) -> None:
    monkeypatch.setenv("LMCORTEX_DATA", str(data_dir))
    plan = load_plan({"study": "alice"}, folder)
    found = [
        specs.prepare_stimuli(plan, "alice"),
        specs.prepare_responses(plan, "alice", "18"),
        specs.extract_features(plan, "alice", "books-l"),
        specs.fit_encoding(plan, "alice", "story-5", "books-l", "step64"),
    ]
    assert not re.search(rf"{data_dir}|step256|device|threads", str(found))


def test_jobs_are_told_how_responses_were_smoothed_scaled_and_trimmed(
    monkeypatch, tmp_path: Path
) -> None:
    texts = tmp_path / "lpp" / "lpp_en_text"
    texts.mkdir(parents=True)
    for run in range(1, 10):
        (texts / f"text_en_run{run}.txt").touch()
    monkeypatch.setenv("LMCORTEX_DATA", str(tmp_path))
    person, mean = "lpp-en-individuals", "lpp-en"
    plans = {
        dataset: load_plan({"study": study}, CONFIG)
        for dataset, study in ((person, "lateralization-individuals"), (mean, "lateralization"))
    }
    responses = {
        dataset: specs.prepare_responses(plan, dataset, "EN057") for dataset, plan in plans.items()
    }
    asked = {dataset: {"smoothing", "zscore"} & set(spec) for dataset, spec in responses.items()}
    assert asked == {person: {"smoothing"}, mean: {"zscore"}}
    assert (responses[person]["smoothing"], responses[mean]["zscore"]) == (4, "whole")
    fit = specs.fit_encoding(plans[mean], mean, "bonnasse-gahot-2024", "gpt2", "main")
    assert (fit["trim"], fit["response"]) == ([10, 10], {"undershoot": 0.35})


def test_nearest_names_come_first() -> None:
    assert config.suggestion("pythia-70", ["gpt2", "pythia-70m"]) == "did you mean pythia-70m?"


def test_windows_are_drawn_through_training(monkeypatch, data_dir: Path) -> None:
    monkeypatch.setenv("LMCORTEX_DATA", str(data_dir))
    plan = load_plan({"study": "books-windows"}, CONFIG)
    assert plan.shown_windows("books-l") == ["step2000", "step16", "step256", "untrained-seed1"]
    assert plan.shown_windows("minilm") == ["main", "untrained-seed1"]
