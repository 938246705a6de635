"""Plot the scores of low- and high-complexity layers."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import geometry_brain, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--module-scores", required=True, help="table module_scores")
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    tables = [storage.read_table(path) for path in (args.module_scores, args.scores)]
    figure = geometry_brain.module_scores(*tables, view)
    style.save(figure, args.output, provenance.record("plot_module_scores", args.spec))


if __name__ == "__main__":
    cli.run(main)
