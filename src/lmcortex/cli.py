"""What every command in workflow/scripts shares: its parser and the way it fails."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

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


def listed(path: str) -> list[str]:
    """Read an option that names a list: a file or pipe with one path in each line."""
    return Path(path).read_text("utf-8").splitlines()


def run(main: Callable[[], None]) -> None:
    """Run a command; a failure that the user can mend is one line and exit status 1."""
    try:
        main()
    except InputError as error:
        fail(str(error))
    except MemoryError as error:
        fail(f"out of memory ({error}); ask for more with mem_mb or retry the job")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}")


def fail(message: str) -> NoReturn:
    """Say why on stderr, or on stdout where stderr is a log on a full disk, and exit."""
    try:
        print(f"error: {message}", file=sys.stderr, flush=True)
    except OSError:
        print(f"error: {message}", flush=True)
    sys.exit(1)
