"""Write the conda environment and the container recipe from uv.lock (`make envs`)."""

import argparse
import subprocess
from pathlib import Path

PYTHON = "3.12"
HEADER = "# Generated from uv.lock by `make envs`; edit pyproject.toml or envs/export.py instead.\n"

CONDA = """\
# conda env create --file envs/lmcortex.yaml && conda activate lmcortex
name: lmcortex
channels: [conda-forge, nodefaults]
dependencies:
  - python={python}
  - pip
  - pip:
{pins}
      - -e ..
"""

CONTAINER = """\
# apptainer build envs/lmcortex.sif envs/lmcortex.def
# The image holds the libraries; the code is that of the working copy it runs in.
Bootstrap: docker
From: python:{python}-slim

%environment
    export PYTHONPATH="$PWD/src"

%post
    apt-get update && apt-get install -y --no-install-recommends git
    pip install --no-cache-dir --no-deps --requirement /dev/stdin <<'PINS'
{pins}
PINS
"""


def locked(uv: str) -> list[str]:
    """Return what uv.lock pins for running the workflow, one `name==version ; marker` each."""
    command = [uv, "export", "--frozen", "--no-hashes", "--no-annotate", "--no-header"]
    command += ["--no-emit-project", "--no-dev", "--group", "pretrained"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv command")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    pins = locked(args.uv)
    conda = CONDA.format(python=PYTHON, pins="\n".join(f"      - {pin}" for pin in pins))
    container = CONTAINER.format(python=PYTHON, pins="\n".join(pins))
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "lmcortex.yaml").write_text(HEADER + conda, "utf-8")
    (args.output / "lmcortex.def").write_text(HEADER + container, "utf-8")


if __name__ == "__main__":
    main()
