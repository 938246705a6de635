"""Each make target sets up what it needs, and the documents name targets that exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")]
# The first command of each target that is not set-up.
COMMANDS = {
    "demo": "snakemake",
    "report STUDY=alice": "snakemake",
    "plan": "show_plan",
    "efficiency": "show_efficiency",
    "fetch": "restore_weights",
    "site": "write_site",
    "orphans": "list_orphans",
    "bench": "benchmarks/",
    "test": "pytest",
    "published": "tests/published.py",
    "recovery": "tests/recovery.py",
    "gpu-test": "pytest",
    "slurm-test": "pytest",
    "slurm-faults": "tests/slurm/faults.py",
    "lint": "ruff",
    "schema": "lmcortex.schemas",
}


@pytest.mark.parametrize(("target", "command"), COMMANDS.items())
def test_a_target_sets_up_the_environment_before_its_command(
    tmp_path: Path, target: str, command: str
) -> None:
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
    dry_run = ["make", "--dry-run", *target.split()]
    printed = subprocess.run(
        dry_run, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout
    places = [printed.rfind(text) for text in ("-m venv", "pip install", "sync --frozen", command)]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_only_targets_that_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = set(
        re.findall(r"(?:^|`|=\S+ )make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE)
    )
    assert named <= targets
