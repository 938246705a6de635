"""List results that no study asks for any more; nothing is deleted."""

import sys
from pathlib import Path

from lmcortex import cli, orphans


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, default=Path("config"), help="configuration folder")
    args = parser.parse_args()
    found = orphans.list_orphans(args.config)
    for path in found:
        print(path)
    print(f"{len(found)} files that no study asks for", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
