from pathlib import Path

import pytest
import yaml

from lmcortex import slurm
from lmcortex.config import Partition, Site
from lmcortex.errors import InputError

SITE = Path(__file__).parents[2] / "profiles" / "slurm" / "site.yaml"
# As printed by Slurm 22.05, shortened.
LIMITS = """\
PartitionName=short AllowGroups=ALL AllowAccounts=ALL Default=YES MaxTime=02:30:00 State=UP
PartitionName=long AllowGroups=ALL AllowAccounts=lab,other Default=NO MaxTime=7-12:00:00 State=UP
PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL Default=NO MaxTime=UNLIMITED State=UP
PartitionName=theirs AllowGroups=ALL AllowAccounts=other,laboratory MaxTime=02:30:00 State=UP
PartitionName=denied AllowGroups=ALL DenyAccounts=lab,x Default=NO MaxTime=02:30:00 State=UP
PartitionName=broken AllowGroups=ALL AllowAccounts=ALL Default=NO MaxTime=02:30:00 State=DOWN
PartitionName=empty AllowGroups=ALL AllowAccounts=ALL Default=NO MaxTime=02:30:00 State=UP
"""
NODES = """\
short|16|64000|(null)
long|16|64000|(null)
long|64|256000|(null)
gpu|32|128000|gpu:v100:4(S:0-1)
gpu|128|512000|gpu:a100:8(S:0-7),mps:800
gpu|32|128000|gpu:2
theirs|16|64000|(null)
denied|16|64000|(null)
broken|16|64000|(null)
"""


@pytest.fixture
def partitions() -> dict[str, dict]:
    return slurm.read_partitions(LIMITS, NODES, "lab")


def test_partitions_that_take_no_jobs_of_the_account_are_left_out(partitions) -> None:
    assert list(partitions) == ["short", "long", "gpu"]


def test_without_an_account_the_partitions_open_to_all_remain() -> None:
    assert list(slurm.read_partitions(LIMITS, NODES, "")) == ["short", "gpu", "denied"]


@pytest.mark.parametrize(("name", "minutes"), [("short", 150), ("long", 10800), ("gpu", None)])
def test_a_time_limit_is_in_minutes(partitions, name: str, minutes: int | None) -> None:
    assert partitions[name].get("max_runtime") == minutes


def test_limits_are_those_of_the_largest_node(partitions) -> None:
    assert partitions["long"] == {"max_runtime": 10800, "max_mem_mb": 256000, "max_threads": 64}


def test_a_gpu_partition_has_its_gpus_and_their_models(partitions) -> None:
    assert partitions["gpu"]["max_gpu"] == 8
    assert partitions["gpu"]["available_gpu_models"] == ["a100", "v100"]


def test_what_is_read_are_settings_of_a_site(partitions) -> None:
    site = Site.model_validate({"partitions": partitions})
    assert site.partitions["short"] == Partition(
        max_runtime=150, max_mem_mb=64000, max_threads=16, max_gpu=0
    )


def test_only_empty_settings_of_the_site_file_are_filled_in(partitions) -> None:
    text = SITE.read_text().replace("device: cuda", "device: auto")
    filled, kept = slurm.fill_in(text, {"account": "lab", "partitions": partitions})
    assert kept == []
    before, after = yaml.safe_load(text), yaml.safe_load(filled)
    assert after == before | {"account": "lab", "partitions": partitions}
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in filled.splitlines() if line.startswith("#")
    ]
    again, kept = slurm.fill_in(filled, {"account": "other", "partitions": {"cpu": {}}})
    assert again == filled
    assert kept == ["account", "partitions"]


def test_a_machine_without_slurm_is_told_to_ask_elsewhere(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="scontrol was not found; ask on a login node"):
        slurm.partitions("lab")


def test_what_slurm_refuses_is_passed_on(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "sacctmgr").write_text("#!/bin/sh\necho You are not running slurmdbd >&2; exit 1\n")
    (tmp_path / "sacctmgr").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"sacctmgr .*: You are not running slurmdbd"):
        slurm.default_account("me")


def test_jobs_of_a_study_are_known_by_their_name_and_folder(monkeypatch, tmp_path: Path) -> None:
    profile = yaml.safe_load(SITE.with_name("config.yaml").read_text())
    ours = f"{profile['slurm-jobname-prefix']}_1f2e"
    lines = [f"7|{ours}|/study", f"8|{ours}|/other", "9|wrap|/study", f"10|{ours}|/study"]
    (tmp_path / "squeue").write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.jobs_of("/study") == ["7", "10"]


def test_a_machine_without_slurm_has_no_jobs(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.jobs_of("/study") == []
