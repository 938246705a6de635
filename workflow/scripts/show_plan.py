"""Show what a study will cost, before anything runs. Options are those of `snakemake`."""

import sys

from lmcortex import cli, forecast, jobs


def main() -> None:
    print(forecast.forecast(*jobs.list_jobs(sys.argv[1:])))


if __name__ == "__main__":
    cli.run(main)
