"""Collect the geometry of all runs of a study into one table."""

from lmcortex import cli, provenance, storage
from lmcortex.statistics.geometry import collect_geometry


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--files", type=cli.listed, required=True, help="list of tables")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    runs = [storage.read_table(path) for path in args.files]
    table = collect_geometry(runs, args.spec)
    storage.write_study_table(table, args.output, provenance.record("collect_geometry", args.spec))


if __name__ == "__main__":
    cli.run(main)
