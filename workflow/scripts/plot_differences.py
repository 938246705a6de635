"""Plot which words feel the swap of which other, at layers of a model."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import style, windows


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--runs", nargs="+", required=True, help="arrays by measure_windows")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    runs = []
    for path in args.runs:
        with storage.open_arrays(path) as arrays:
            runs.append({name: arrays.get_tensor(name) for name in list(arrays.keys())})
    figure = windows.differences(runs, args.spec)
    style.save(figure, args.output, provenance.record("plot_differences", args.spec))


if __name__ == "__main__":
    cli.run(main)
