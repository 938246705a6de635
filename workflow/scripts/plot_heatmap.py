"""Plot one model's score by layer and checkpoint."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import layers, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    scores = storage.read_table(args.scores)
    figure = layers.heatmap(scores, view)
    style.save(figure, args.output, provenance.record("plot_heatmap", args.spec))


if __name__ == "__main__":
    cli.run(main)
