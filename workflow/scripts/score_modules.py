"""Compare how well low- and high-complexity layers predict the brain."""

from lmcortex import cli, provenance, storage
from lmcortex.statistics.module_tables import score_modules


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--draws", type=cli.listed, required=True, help="list of tables")
    parser.add_argument("--modules", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    table = score_modules(
        storage.read_table(args.scores),
        [storage.read_table(path) for path in args.draws],
        storage.read_table(args.modules),
        args.spec,
    )
    storage.write_study_table(table, args.output, provenance.record("score_modules", args.spec))


if __name__ == "__main__":
    cli.run(main)
