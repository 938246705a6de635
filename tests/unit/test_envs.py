"""The exported environments are those of uv.lock."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPORTS = ("lmcortex.yaml", "lmcortex.def")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the exports as `make envs` writes them now."""
    folder = tmp_path_factory.mktemp("envs")
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
    command = ["make", "--silent", "envs", f"ENVS={folder}"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return folder


@pytest.mark.parametrize("name", EXPORTS)
def test_the_export_is_in_step_with_the_lock(exported: Path, name: str) -> None:
    expected = (exported / name).read_text("utf-8")
    assert (ROOT / "envs" / name).read_text("utf-8") == expected, "run `make envs`"


@pytest.mark.parametrize("name", EXPORTS)
def test_the_export_pins_every_dependency_as_the_lock_does(name: str) -> None:
    text = (ROOT / "envs" / name).read_text("utf-8")
    pins = {line.strip(" -").partition(" ;")[0] for line in text.splitlines() if "==" in line}
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    locked = {f"{package['name']}=={package.get('version')}" for package in lock}
    direct = next(package for package in lock if package["name"] == "lmcortex")["dependencies"]
    assert pins <= locked
    assert {dependency["name"] for dependency in direct} <= {pin.split("==")[0] for pin in pins}
