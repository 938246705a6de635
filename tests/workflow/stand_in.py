"""A stand-in for every command of the workflow, so that a test of the DAG takes seconds.

Called in the place of ``python SCRIPT --option value ...``. Snakemake removes a job's outputs
before it runs, so each path below results/ that does not exist is an output; it gets a digest of
the command and of its inputs, hence new content exactly when a setting or an input has changed.
A list of paths that comes through a pipe counts as so many arguments.
"""

import hashlib
import sys
from pathlib import Path

arguments = []
for argument in sys.argv[2:]:
    piped = argument.startswith("/dev/fd/")
    arguments += Path(argument).read_text().splitlines() if piped else [argument]
digest = hashlib.sha256("\n".join(arguments).encode())
outputs = []
for argument in arguments:
    path = Path(argument)
    if not argument.startswith("{") and path.is_file():
        digest.update(path.read_bytes())
    elif argument.startswith("results/"):
        outputs.append(path)
for path in outputs:
    path.write_text(f"{path.name} {digest.hexdigest()}\n")
