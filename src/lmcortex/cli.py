"""What every command in workflow/scripts shares: its parser and the way it fails."""

import argparse
import json
import sys
from collections.abc import Callable

from lmcortex.errors import InputError


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows the two options of every command.

    ``--spec`` is the JSON object of settings that the stage depends on; ``--threads`` is the
    number of processor threads that the job asked for, so that results do not depend on what
    else the machine runs.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--spec", type=json.loads, default={}, help="settings, as a JSON object")
    parser.add_argument("--threads", type=int, default=1, help="processor threads to use")
    return parser


def run(main: Callable[[], None]) -> None:
    """Run a command; a failure that the user can mend is one line and exit status 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(f"error: out of memory ({error}); ask for more with mem_mb or retry the job")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror or error}")
