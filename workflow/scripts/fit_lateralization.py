"""Compare left and right scores of every model, and the difference with that of baselines."""

from lmcortex import cli, provenance, statistics, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--draws", required=True)
    parser.add_argument("--output", required=True, help="table lateralization")
    parser.add_argument("--contrasts-output", required=True, help="table lateralization_contrasts")
    args = parser.parse_args()

    scores, draws = storage.read_table(args.scores), storage.read_table(args.draws)
    record = provenance.record("fit_lateralization", args.spec)
    storage.write_study_table(statistics.fit_lateralization(scores, draws), args.output, record)
    contrasts = statistics.contrast_lateralization(scores, draws)
    storage.write_study_table(contrasts, args.contrasts_output, record)


if __name__ == "__main__":
    cli.run(main)
