"""Plot nested scores against training step."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import style, training


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--training", required=True, help="table training")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    scores = storage.read_table(args.scores)
    trajectories = storage.read_table(args.training)
    figure = training.training(scores, trajectories, view)
    style.save(figure, args.output, provenance.record("plot_training", args.spec))


if __name__ == "__main__":
    cli.run(main)
