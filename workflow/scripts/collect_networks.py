"""Collect the atoms, labels and organization of all runs of a study into tables."""

from lmcortex import cli, provenance, storage
from lmcortex.statistics.networks import collect_networks


def main() -> None:
    parser = cli.parser(__doc__)
    for kind in ("atoms", "labels", "organization"):
        parser.add_argument(f"--{kind}", type=cli.listed, required=True, help="list of tables")
        parser.add_argument(f"--{kind}-output", required=True)
    args = parser.parse_args()

    made = provenance.record("collect_networks", args.spec)
    for name, files, output in (
        ("atoms", args.atoms, args.atoms_output),
        ("network_labels", args.labels, args.labels_output),
        ("organization", args.organization, args.organization_output),
    ):
        runs = [storage.read_table(path) for path in files]
        storage.write_study_table(collect_networks(runs, name, args.spec), output, made)


if __name__ == "__main__":
    cli.run(main)
