"""Plot the partial correlation of geometry and scores."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import geometry_brain, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--geometry-brain", required=True, help="table geometry_brain")
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    tables = [storage.read_table(path) for path in (args.geometry_brain, args.scores)]
    figure = geometry_brain.relation(*tables, view)
    style.save(figure, args.output, provenance.record("plot_relation", args.spec))


if __name__ == "__main__":
    cli.run(main)
