"""Fit ridge encoders from one model's states to brain responses."""

import json
from contextlib import ExitStack

from threadpoolctl import threadpool_limits

from lmcortex import cli, encoding, provenance, storage
from lmcortex.folds import make_folds


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--features", required=True)
    parser.add_argument("--responses", required=True, nargs="+", help="one file per subject")
    parser.add_argument("--nuisance", nargs="*", default=[], help="features that are known already")
    parser.add_argument("--items", required=True)
    parser.add_argument("--words", required=True)
    parser.add_argument("--layers", help="07, or 00-12 for a block; all when not given")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--batch", type=int, default=encoding.TARGETS_PER_BATCH, help="targets fitted at a time"
    )
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    spec, device = args.spec, encoding.use_device(args.device)
    items, words = storage.read_table(args.items), storage.read_table(args.words)
    features = encoding.read_features(args.features, spec["pooling"], args.layers)
    with ExitStack() as files, threadpool_limits(args.threads):
        opened = [files.enter_context(storage.open_dataset(path)) for path in args.responses]
        responses = encoding.stack_responses(opened, items)
        frame = encoding.fit_frame(features, responses, make_folds(spec["folds"], items), spec)
        variables = encoding.fit_variables(responses, spec)
        fit, attributes = files.enter_context(
            storage.growing_dataset(frame, variables, args.output)
        )
        dropped = encoding.fill_fit(
            fit,
            features,
            responses,
            items,
            words,
            spec,
            nuisance=[encoding.read_features(path, spec["pooling"]) for path in args.nuisance],
            device=device,
            batch=args.batch,
        )
        cell = f"{spec['model']} {spec['checkpoint']}, fit {spec['fit']}"
        facts = {"device": device, "dtype": spec["dtype"], "tf32": False}
        facts["quality"] = encoding.dropped_columns(cell, features.layers, dropped)
        attributes["n_dropped_columns"] = json.dumps(dropped)
        attributes["provenance"] = provenance.record("fit_encoding", spec, **facts)


if __name__ == "__main__":
    cli.run(main)
