"""Measure the entropy and curvature of a dataset's sentences at every layer of a checkpoint."""

import torch

from lmcortex import cli, features, geometry, provenance, storage

READ = ("dtype", "commit", "fingerprint", "tokenizer_hash", "text_hash", "n_rows")


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--features", required=True, help="with the inner products of tokens")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    read = storage.read_provenance(args.features)
    facts = {name: read[name] for name in READ}
    made = provenance.record("measure_geometry", args.spec, **facts, threads=args.threads)
    cell = {name: args.spec[name] for name in ("dataset", "model", "checkpoint")}
    table = geometry.measure_geometry(features.read_grams(args.features))
    storage.write_table(table.assign(**cell), args.output, made)


if __name__ == "__main__":
    cli.run(main)
