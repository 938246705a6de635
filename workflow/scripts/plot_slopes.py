"""Plot the slope of each voxel's score on the size of models."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import maps, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--slopes", required=True, help="table voxel_slopes")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    figure = maps.slope_maps(storage.read_table(args.slopes), style.View(**args.spec))
    style.save(figure, args.output, provenance.record("plot_slopes", args.spec))


if __name__ == "__main__":
    cli.run(main)
