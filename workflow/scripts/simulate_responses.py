"""Simulate the responses of one subject to a simulated stimulus, with effects planted in them."""

from lmcortex import cli, provenance, storage
from lmcortex.encoding.design import read_features
from lmcortex.simulation import planted, signals


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True, help="items.parquet")
    parser.add_argument("--words", required=True, help="words.parquet")
    parser.add_argument("--truth", required=True, help="truth.safetensors")
    parser.add_argument("--features", required=True, help="states that a signal is planted from")
    parser.add_argument("--subject", required=True, help="label of the subject")
    parser.add_argument("--output", required=True, help="responses to write, .nc")
    args = parser.parse_args()
    items, words = storage.read_table(args.items), storage.read_table(args.words)
    latents, regions, _ = planted.read_truth(args.truth)
    states = read_features(args.features, args.spec["signal"]["states"]["pooling"])
    responses = signals.simulate_responses(
        items,
        planted.runs_of(args.spec["kind"], items, words),
        planted.by_region(latents, regions),
        dict(states.layers),
        args.subject,
        args.spec,
    )
    record = provenance.record("simulate_responses", args.spec, simulated=True)
    storage.write_dataset(responses, args.output, record)


if __name__ == "__main__":
    cli.run(main)
