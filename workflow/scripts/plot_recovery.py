"""Plot planted effects beside what the analyses recovered."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import recovery, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--recovery", required=True, help="table truth_recovery")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.View(**args.spec)
    figure = recovery.recovery(storage.read_table(args.recovery), view)
    style.save(figure, args.output, provenance.record("plot_recovery", args.spec))


if __name__ == "__main__":
    cli.run(main)
