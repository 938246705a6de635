"""Plot a model's nested scores on glass brains and on the cortex."""

from lmcortex import cli, maps, provenance
from lmcortex.figures import maps as figures
from lmcortex.figures import style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True, help="map of nested scores")
    parser.add_argument("--sides", required=True, help="map of left minus right")
    parser.add_argument("--added", help="map of nested scores minus those of the random embedding")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    figure = figures.score_maps(
        maps.read_image(args.scores),
        maps.read_image(args.sides),
        maps.read_image(args.added) if args.added else None,
        style.View(**args.spec),
    )
    style.save(figure, args.output, provenance.record("plot_maps", args.spec))


if __name__ == "__main__":
    cli.run(main)
