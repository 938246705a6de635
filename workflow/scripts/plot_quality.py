"""Plot a dataset's noise ceilings beside what was counted and dropped."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import quality, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--ceiling", required=True, help="ceiling.parquet of the dataset")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    facts = storage.read_table(args.quality)
    view = style.view_of(args.spec, facts)
    figure = quality.quality(storage.read_table(args.ceiling), facts, view)
    style.save(figure, args.output, provenance.record("plot_quality", args.spec))


if __name__ == "__main__":
    cli.run(main)
