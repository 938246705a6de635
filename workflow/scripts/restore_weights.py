"""Bring back the weights that left the cache and that a study's jobs still to run will read."""

import math
import subprocess
import sys
from pathlib import Path

from lmcortex import cli, config
from lmcortex.errors import InputError
from lmcortex.models import ledger, restore


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--study", required=True)
    parser.add_argument("--profile", type=Path, help="the profile with which the study is run")
    args = parser.parse_args()
    profile = ["--profile", str(args.profile)] if args.profile else []
    command = [*profile, "--config", f"study={args.study}", "--summary"]
    summary = subprocess.run(
        [sys.executable, "-m", "snakemake", *command],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if summary.returncode:
        raise InputError(f"snakemake {' '.join(command)}: failed, see above")
    budget = config.load_site(args.study, args.profile).weights_budget_gb or math.inf
    for line in restore.restore(restore.needed_weights(summary.stdout), budget * ledger.GB):
        print(line, flush=True)


if __name__ == "__main__":
    cli.run(main)
