"""Bring back the weights that left the cache and that a study's jobs still to run will read."""

import math

from lmcortex import cli, jobs
from lmcortex.models import ledger, restore


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--study", required=True)
    parser.add_argument("--profile", help="the profile with which the study is run")
    args = parser.parse_args()
    profile = ["--profile", args.profile] if args.profile else []
    plan, pending = jobs.list_jobs([*profile, "--config", f"study={args.study}"])
    budget = plan.site.weights_budget_gb or math.inf
    needed = restore.needed_weights(plan, [job.output for job in pending])
    for line in restore.restore(needed, budget * ledger.GB):
        print(line, flush=True)


if __name__ == "__main__":
    cli.run(main)
