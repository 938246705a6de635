"""Map a checkpoint's atoms: fit the responses of some subjects from them, target by target."""

from threadpoolctl import threadpool_limits

from lmcortex import cli, provenance, storage
from lmcortex.networks import atoms, subjects


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True)
    parser.add_argument("--words", required=True)
    parser.add_argument("--atoms", required=True, help="file of learn_atoms")
    parser.add_argument("--responses", nargs="+", required=True, help="prepared, one per subject")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    with threadpool_limits(args.threads):
        maps = subjects.map_atoms(
            atoms.read_sets(args.atoms),
            [storage.read_dataset(path) for path in args.responses],
            storage.read_table(args.items),
            storage.read_table(args.words),
            args.spec,
        )
    storage.write_dataset(maps, args.output, provenance.record("map_atoms", args.spec))


if __name__ == "__main__":
    cli.run(main)
