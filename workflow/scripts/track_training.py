"""Find when in training each model comes to predict the brain."""

from lmcortex import cli, provenance, statistics, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--draws", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    scores, draws = storage.read_table(args.scores), storage.read_table(args.draws)
    table = statistics.track_training(scores, draws)
    storage.write_study_table(table, args.output, provenance.record("track_training", args.spec))


if __name__ == "__main__":
    cli.run(main)
