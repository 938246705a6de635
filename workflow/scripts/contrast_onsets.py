"""Compare when temporal and frontal regions come to be predicted."""

from lmcortex import cli, provenance, storage
from lmcortex.statistics.onsets import contrast_onsets


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--draws", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    scores, draws = storage.read_table(args.scores), storage.read_table(args.draws)
    table = contrast_onsets(scores, draws, args.spec)
    storage.write_study_table(table, args.output, provenance.record("contrast_onsets", args.spec))


if __name__ == "__main__":
    cli.run(main)
