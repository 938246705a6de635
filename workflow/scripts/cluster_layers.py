"""Find the low- and high-complexity modules of layers of each model."""

from threadpoolctl import threadpool_limits

from lmcortex import cli, provenance, storage
from lmcortex.statistics.geometry import resample_sentences
from lmcortex.statistics.module_tables import cluster_layers


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--geometry", required=True, help="table geometry")
    parser.add_argument("--files", type=cli.listed, required=True, help="list of tables it is of")
    parser.add_argument("--output", required=True)
    parser.add_argument("--nulls-output", required=True)
    args = parser.parse_args()

    with threadpool_limits(args.threads):
        geometry = storage.read_table(args.geometry)
        runs = map(storage.read_table, args.files)
        resampled = resample_sentences(runs, geometry, args.spec)
        modules, nulls = cluster_layers(geometry, resampled, args.spec)
    record = provenance.record("cluster_layers", args.spec)
    storage.write_study_table(nulls, args.nulls_output, record)
    storage.write_study_table(modules, args.output, record)


if __name__ == "__main__":
    cli.run(main)
