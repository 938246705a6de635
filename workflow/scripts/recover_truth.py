"""Set what was planted in simulated data beside what the analyses recovered."""

import pandas as pd

from lmcortex import cli, provenance, storage
from lmcortex.networks import tables
from lmcortex.simulation import neurons, recovery


def main() -> None:
    parser = cli.parser(__doc__)
    for table in ("scores", "scaling", "lateralization", "training"):
        parser.add_argument(f"--{table}", required=True, help=f"table of {table}, .parquet")
    parser.add_argument("--labels", help="table of network_labels, where neurons are planted")
    parser.add_argument("--atoms", nargs="+", default=[], help="their atoms, one file per dataset")
    parser.add_argument("--output", required=True, help="truth_recovery.parquet to write")
    args = parser.parse_args()
    recovered = recovery.recover(
        storage.read_table(args.scores),
        storage.read_table(args.scaling),
        storage.read_table(args.lateralization),
        storage.read_table(args.training),
        args.spec,
    )
    if args.labels:
        planted = zip(args.spec["networks"], args.atoms, strict=True)
        weights = {dataset: tables.read_learnt(path).weights for dataset, path in planted}
        labels = storage.read_table(args.labels)
        groups = neurons.recover_groups(labels, weights, args.spec)
        recovered = pd.concat([recovered, groups], ignore_index=True)
    record = provenance.record("recover_truth", args.spec, simulated=True)
    storage.write_study_table(recovered, args.output, record)


if __name__ == "__main__":
    cli.run(main)
