"""Ask a Slurm cluster for account and partitions, and fill them into a site file."""

import getpass
from pathlib import Path

import yaml

from lmcortex import cli, slurm
from lmcortex.errors import InputError


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--site", type=Path, required=True, help="file to fill in")
    args = parser.parse_args()
    try:
        account = slurm.default_account(getpass.getuser())
    except InputError as error:
        print(f"The cluster names no account: {error}")
        account = ""
    partitions = slurm.partitions(account)
    if not any("max_gpu" in limits for limits in partitions.values()):
        print("None of its partitions has a GPU: docs/hpc.md says what to set.")
    said = {"account": account, "partitions": partitions}
    settings = {name: value for name, value in said.items() if value}
    site, kept = slurm.fill_in(args.site.read_text("utf-8"), settings)
    args.site.write_text(site, "utf-8")
    for name, value in settings.items():
        done = "stays as it was; the cluster says" if name in kept else "is now"
        print(f"{args.site}: {name} {done}\n{yaml.safe_dump({name: value}, sort_keys=False)}")


if __name__ == "__main__":
    cli.run(main)
