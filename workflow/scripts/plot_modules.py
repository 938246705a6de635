"""Plot the modules that layers form, and their stability."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import geometry, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--geometry", required=True, help="table geometry")
    parser.add_argument("--modules", required=True, help="table modules")
    parser.add_argument("--nulls", required=True, help="table module_nulls")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    tables = [storage.read_table(path) for path in (args.geometry, args.modules, args.nulls)]
    figure = geometry.modules(*tables, view)
    style.save(figure, args.output, provenance.record("plot_modules", args.spec))


if __name__ == "__main__":
    cli.run(main)
