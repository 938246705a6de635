"""A folder in which the workflow runs: its own configuration, data and results."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workspace:
    """A working directory beside the repository's own."""

    folder: Path
    stand_ins: bool = False

    def path(self, name: str) -> Path:
        return self.folder / name

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        text = self.path(name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        self.path(name).write_text(text.replace(old, new, 1))

    def snakemake(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.snakefile)]
        command += ["--directory", str(self.folder), "--cores", "2", *options]
        bin_folder = self.folder / "bin" if self.stand_ins else Path(sys.executable).parent
        environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, cwd=self.folder
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    @property
    def snakefile(self) -> Path:
        own = self.folder / "Snakefile"
        return own if own.exists() else ROOT / "Snakefile"

    def planned(self, *options: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run would do."""
        shown = self.snakemake("--dry-run", "--quiet", "rules", *options)
        text = shown.stdout + shown.stderr
        jobs = {
            match[1]: int(match[2]) for match in re.finditer(r"^(\w+) +(\d+)$", text, re.MULTILINE)
        }
        jobs.pop("total", None)
        jobs.pop("all", None)
        return jobs


def new_workspace(folder: Path, *, stand_ins: bool) -> Workspace:
    """Lay out a workspace: a copy of the configuration, a link to the code."""
    shutil.copytree(ROOT / "config", folder / "config", dirs_exist_ok=True)
    (folder / "workflow").symlink_to(ROOT / "workflow")
    if stand_ins:
        python = folder / "bin" / "python"
        python.parent.mkdir()
        stand_in = Path(__file__).with_name("stand_in.py")
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{stand_in}" "$@"\n')
        python.chmod(0o755)
    return Workspace(folder, stand_ins)
