"""Compare left and right scores of every model."""

from lmcortex import cli, provenance, statistics, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--draws", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    scores, draws = storage.read_table(args.scores), storage.read_table(args.draws)
    table = statistics.fit_lateralization(scores, draws)
    storage.write_study_table(
        table, args.output, provenance.record("fit_lateralization", args.spec)
    )


if __name__ == "__main__":
    cli.run(main)
