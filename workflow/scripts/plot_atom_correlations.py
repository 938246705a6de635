"""Plot the correlations of a model's atoms."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import atom_maps, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--maps", required=True, help="file of label_atoms")
    parser.add_argument("--labels", required=True, help="table network_labels")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    maps = storage.read_dataset(args.maps)
    labels = storage.read_table(args.labels)
    figure = atom_maps.atom_correlations(maps, labels, view)
    style.save(figure, args.output, provenance.record("plot_atom_correlations", args.spec))


if __name__ == "__main__":
    cli.run(main)
