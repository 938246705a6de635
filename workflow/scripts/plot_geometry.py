"""Plot entropy and curvature of every layer through training."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import geometry, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--geometry", required=True, help="table geometry")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    tables = [storage.read_table(path) for path in (args.geometry,)]
    figure = geometry.geometry(*tables, view)
    style.save(figure, args.output, provenance.record("plot_geometry", args.spec))


if __name__ == "__main__":
    cli.run(main)
