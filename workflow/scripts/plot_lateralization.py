"""Plot left against right, and their difference against size."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import lateralization, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--lateralization", required=True, help="table lateralization")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    scores = storage.read_table(args.scores)
    differences = storage.read_table(args.lateralization)
    figure = lateralization.lateralization(scores, differences, view)
    style.save(figure, args.output, provenance.record("plot_lateralization", args.spec))


if __name__ == "__main__":
    cli.run(main)
