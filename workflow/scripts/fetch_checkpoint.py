"""Bring a checkpoint's files to this machine and describe them; goes online."""

import math
from pathlib import Path

from lmcortex import cli, provenance, storage
from lmcortex.models import ledger
from lmcortex.models.fetch import fetch_checkpoint


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--suite", type=Path, help="manifest of a locally trained suite")
    parser.add_argument("--budget-gb", type=float, default=math.inf, help="room for all weights")
    parser.add_argument("--wait-hours", type=float, default=0, help="how long to wait for room")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    description = fetch_checkpoint(
        args.model,
        args.checkpoint,
        args.spec,
        args.suite,
        args.budget_gb * ledger.GB,
        args.wait_hours * 3600,
    )
    facts = {name: description[name] for name in ("commit", "fingerprint", "tokenizer_hash")}
    made = provenance.record("fetch_checkpoint", args.spec, **facts)
    storage.write_json({**description, "provenance": made}, args.output)


if __name__ == "__main__":
    cli.run(main)
