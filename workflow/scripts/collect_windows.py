"""Sum the windows of each layer up, and collect all runs of a study into one table."""

from lmcortex import cli, provenance, storage
from lmcortex.statistics.windows import collect_windows


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--files", type=cli.listed, required=True, help="list of tables")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    table = collect_windows(map(storage.read_table, args.files), args.spec)
    storage.write_study_table(table, args.output, provenance.record("collect_windows", args.spec))


if __name__ == "__main__":
    cli.run(main)
