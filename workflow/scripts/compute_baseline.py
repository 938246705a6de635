"""Compute the features of a pseudo-model: a baseline, or a planted model of a simulated dataset."""

from lmcortex import baselines, cli, provenance, storage
from lmcortex.simulation import planted


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True, help="items.parquet")
    parser.add_argument("--words", required=True, help="words.parquet")
    parser.add_argument("--truth", help="truth.safetensors; planted models only")
    parser.add_argument("--vectors", help="word vectors; baseline glove only")
    parser.add_argument("--output", required=True, help="features to write, .safetensors")
    args = parser.parse_args()
    items, words = storage.read_table(args.items), storage.read_table(args.words)
    facts = []
    if args.truth:
        latents, regions, rows = planted.read_truth(args.truth)
        runs = planted.runs_of(args.spec["kind"], items, words)
        layers = planted.planted_features(latents, regions, runs, args.spec)
    else:
        features, rows, facts = baselines.baseline_features(items, words, args.spec, args.vectors)
        layers = [features]
    storage.write_arrays(
        {f"any/{layer:02d}": features for layer, features in enumerate(layers)},
        args.output,
        provenance.record("compute_baseline", args.spec, simulated=bool(args.truth), quality=facts),
        rows=rows,
        n_layers=str(len(layers) - 1),
    )


if __name__ == "__main__":
    cli.run(main)
