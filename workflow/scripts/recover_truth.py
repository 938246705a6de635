"""Set what was planted in simulated data beside what the analyses recovered."""

from lmcortex import cli, provenance, storage
from lmcortex.simulation import recovery


def main() -> None:
    parser = cli.parser(__doc__)
    for table in ("scores", "scaling", "lateralization", "training"):
        parser.add_argument(f"--{table}", required=True, help=f"table of {table}, .parquet")
    parser.add_argument("--output", required=True, help="truth_recovery.parquet to write")
    args = parser.parse_args()
    recovered = recovery.recover(
        storage.read_table(args.scores),
        storage.read_table(args.scaling),
        storage.read_table(args.lateralization),
        storage.read_table(args.training),
        args.spec,
    )
    record = provenance.record("recover_truth", args.spec, simulated=True)
    storage.write_study_table(recovered, args.output, record)


if __name__ == "__main__":
    cli.run(main)
