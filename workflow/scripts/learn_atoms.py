"""Learn the atoms of a checkpoint's neurons: a sparse dictionary of their time courses."""

from threadpoolctl import threadpool_limits

from lmcortex import cli, provenance, storage
from lmcortex.networks import atoms


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True)
    parser.add_argument("--words", required=True)
    parser.add_argument("--neurons", required=True, help="file of extract_neurons")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    items, words = storage.read_table(args.items), storage.read_table(args.words)
    signals = atoms.neuron_signals(args.neurons, items, words)
    with threadpool_limits(args.threads):
        arrays = atoms.learn_atoms(signals, items["run"].to_numpy(), args.spec)
    made = provenance.record("learn_atoms", args.spec)
    storage.write_arrays(arrays, args.output, made, n_dropped=str(signals.n_dropped))


if __name__ == "__main__":
    cli.run(main)
