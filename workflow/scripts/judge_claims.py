"""Judge the claims on training geometry by what the study found."""

from lmcortex import cli, provenance, storage
from lmcortex.statistics.claims import judge_claims


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--module-nulls", required=True)
    parser.add_argument("--module-scores", required=True)
    parser.add_argument("--geometry-brain", required=True)
    parser.add_argument("--onset-contrasts", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    table = judge_claims(
        storage.read_table(args.module_nulls),
        storage.read_table(args.module_scores),
        storage.read_table(args.geometry_brain),
        storage.read_table(args.onset_contrasts),
    )
    storage.write_study_table(table, args.output, provenance.record("judge_claims", args.spec))


if __name__ == "__main__":
    cli.run(main)
