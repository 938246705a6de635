"""Show what the jobs of a study used of what they asked for. Options are those of `snakemake`."""

import sys

from lmcortex import cli, efficiency, jobs


def main() -> None:
    print(efficiency.efficiency(*jobs.list_jobs(["--forceall", *sys.argv[1:]])))


if __name__ == "__main__":
    cli.run(main)
