"""How every command fails."""

import subprocess
import sys
from pathlib import Path

FAILING = """
from lmcortex import cli
from lmcortex.errors import InputError

def main():
    raise InputError("a.csv: line 3: no number")

cli.run(main)
"""
MESSAGE = "error: a.csv: line 3: no number\n"


def test_a_failure_is_one_line_on_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", MESSAGE)


def test_a_message_for_which_its_log_has_no_room_is_said_on_stdout() -> None:
    with Path("/dev/full").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-c", FAILING], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert (done.returncode, done.stdout) == (1, MESSAGE)
