"""Plot when temporal and frontal regions come to be predicted."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import geometry_brain, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--onset-contrasts", required=True, help="table onset_contrasts")
    parser.add_argument("--training", required=True, help="table training")
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    tables = [
        storage.read_table(path) for path in (args.onset_contrasts, args.training, args.scores)
    ]
    figure = geometry_brain.onsets(*tables, view)
    style.save(figure, args.output, provenance.record("plot_onsets", args.spec))


if __name__ == "__main__":
    cli.run(main)
