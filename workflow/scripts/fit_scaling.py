"""Regress scores on the size of models, their perplexity and a benchmark, with controls."""

from lmcortex import cli, provenance, statistics, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--draws", required=True)
    parser.add_argument("--output", required=True, help="table scaling")
    parser.add_argument("--controls-output", required=True, help="table scaling_controls")
    args = parser.parse_args()

    scores, draws = storage.read_table(args.scores), storage.read_table(args.draws)
    record = provenance.record("fit_scaling", args.spec)
    storage.write_study_table(statistics.fit_scaling(scores, draws), args.output, record)
    controls = statistics.control_scaling(scores, draws)
    storage.write_study_table(controls, args.controls_output, record)


if __name__ == "__main__":
    cli.run(main)
