"""Compute what the neurons of a planted model say: sub-groups that drive the simulated regions."""

from lmcortex import cli, provenance, storage
from lmcortex.simulation import neurons, planted


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True, help="items.parquet")
    parser.add_argument("--words", required=True, help="words.parquet")
    parser.add_argument("--truth", required=True, help="truth.safetensors")
    parser.add_argument("--output", required=True, help="neurons to write, .safetensors")
    args = parser.parse_args()
    items, words = storage.read_table(args.items), storage.read_table(args.words)
    latents, regions, rows = planted.read_truth(args.truth)
    runs = planted.runs_of("story", items, words)
    layers = neurons.planted_neurons(latents, regions, runs, args.spec)
    storage.write_arrays(
        {f"word/{layer:02d}": said for layer, said in enumerate(layers, start=1)},
        args.output,
        provenance.record("plant_neurons", args.spec, simulated=True),
        rows=rows,
    )


if __name__ == "__main__":
    cli.run(main)
