"""Plot how much atoms explain of neurons and of responses."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import networks, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--maps", nargs="+", required=True, help="files of label_atoms")
    parser.add_argument("--organization", required=True, help="table organization")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    maps = networks.by_model([storage.read_dataset(path) for path in args.maps])
    organization = storage.read_table(args.organization)
    figure = networks.atoms(maps, organization, view)
    style.save(figure, args.output, provenance.record("plot_atoms", args.spec))


if __name__ == "__main__":
    cli.run(main)
