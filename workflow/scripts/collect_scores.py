"""Collect the scores of all cells of a study into its master table."""

from lmcortex import cli, provenance, statistics, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", type=cli.listed, required=True, help="list of tables")
    parser.add_argument("--draws", type=cli.listed, required=True, help="list of tables")
    parser.add_argument("--output", required=True)
    parser.add_argument("--draws-output", required=True)
    args = parser.parse_args()

    scores = [storage.read_table(path) for path in args.scores]
    draws = [storage.read_table(path) for path in args.draws]
    record = provenance.record("collect_scores", args.spec)
    storage.write_table(statistics.collect_draws(draws), args.draws_output, record)
    table = statistics.collect_scores(scores, args.spec)
    storage.write_study_table(table, args.output, record)


if __name__ == "__main__":
    cli.run(main)
