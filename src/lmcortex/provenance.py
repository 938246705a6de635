"""What made a result: the settings, the code, the libraries and the machine's arithmetic."""

import ast
import hashlib
import io
import json
import math
import os
import subprocess
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcortex import paths, storage

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = Path(__file__).resolve().parent
STAGE_VERSIONS = PACKAGE.parents[1] / "workflow" / "stage_versions.json"
# How a command fails or signs its output, and what files are called, does not change its results,
# so it is no reason to run it again.
UNCOUNTED = {"cli", "errors", "paths", "provenance", "storage"}
# Jobs with several outputs: what is measured is noted under the first.
SECOND_OUTPUTS = {
    "/words.parquet": "/items.parquet",
    "/truth.safetensors": "/items.parquet",
    ".draws.parquet": ".parquet",
    ".yoking.parquet": ".parquet",
    ".differences.safetensors": ".parquet",
    "/draws.parquet": "/scores.parquet",
    "/labels.parquet": "/group.nc",
    "/organization.parquet": "/group.nc",
    "_left-minus-right.nii.gz": "_r.nii.gz",
}
LIBRARIES = ("numpy", "scipy", "torch", "transformers", "tokenizers", "himalaya", "nilearn")


def record(stage: str, spec: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """Describe how a stage makes an output.

    Parameters
    ----------
    stage : name of the rule.
    spec : the settings that the stage depends on.
    facts : what else matters here, such as device, dtype, threads, fingerprint.
    """
    return {
        "stage": stage,
        "spec": dict(spec),
        "code": code_digest(PACKAGE.parents[1] / "workflow" / "scripts" / f"{stage}.py"),
        "git_commit": git_commit(),
        "versions": {name: version for name in LIBRARIES if (version := installed(name))},
        "threads": int(os.environ.get("OMP_NUM_THREADS", "1")),
        **facts,
    }


def data_hash(files: Iterable[str | Path]) -> str:
    """Digest the content of a dataset's files, as its version."""
    digests = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def installed(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


@cache
def git_commit() -> str:
    """Return the commit of the repository, "+" appended when its tracked files differ from it."""
    command = ["git", "-C", str(PACKAGE), "describe", "--always", "--abbrev=40", "--dirty=+"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


@cache
def code_digest(script: Path) -> str:
    """Digest a command and every module of the package that it imports, directly or not.

    Comments, docstrings and blank lines do not count, so that only a change of what the code does
    changes the digest; it is the same on every Python version.

    Returns
    -------
    12 hexadecimal digits.
    """
    digest = hashlib.sha256()
    root = PACKAGE.parents[1]
    for path in sorted(imported_files(script.resolve())):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        digest.update(f"{name}\n{bare_file(path)}\n".encode())
    return digest.hexdigest()[:12]


def imported_files(script: Path) -> set[Path]:
    """Return `script` and the files of this package that it imports, transitively."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found and (path.parent != PACKAGE or path.stem not in UNCOUNTED):
            found.add(path)
            waiting += package_imports(path)
    return found


@cache
def package_imports(path: Path) -> list[Path]:
    """Return the files of this package that one file imports."""
    return list(_package_imports(ast.parse(path.read_text("utf-8"))))


def _package_imports(tree: ast.AST) -> Iterator[Path]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                modules = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case _:
                continue
        for module in modules:
            parent, _, rest = module.partition(".")
            if parent == PACKAGE.name and rest:
                path = PACKAGE.joinpath(*rest.split("."))
                if path.with_suffix(".py").exists():
                    yield path.with_suffix(".py")
                elif (path / "__init__.py").exists():
                    yield path / "__init__.py"


@cache
def bare_file(path: Path) -> str:
    return bare_code(path.read_text("utf-8"))


def bare_code(source: str) -> str:
    """Return `source` without comments, docstrings, blank lines and trailing space."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())) as docstring, *_]:
                    for row in range(docstring.lineno, (docstring.end_lineno or 0) + 1):
                        lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def reviewed_version(script: str) -> int:
    """Return the version of a stage whose outputs are too dear to remake for every edit.

    ``workflow/stage_versions.json`` holds, for each such stage, the digest of the code that was
    reviewed last and a version that a person raises when the results change.
    """
    return json.loads(STAGE_VERSIONS.read_text("utf-8"))[script]["version"]


def provenance_table(files: Iterable[str]) -> "pd.DataFrame":
    """Describe what made each of `files`: one row per output.

    Returns
    -------
    Columns: path, stage, spec (JSON), code, git_commit, one column per library, threads, wall_s
    (seconds) and peak_mb (MiB, resident) as measured by Snakemake, and the facts that the stage
    noted: commit, fingerprint, tokenizer_hash, text_hash, data_hash, device, dtype, tf32.
    """
    import pandas as pd

    facts = ["commit", "fingerprint", "tokenizer_hash", "text_hash", "data_hash"]
    facts += ["device", "dtype", "tf32"]
    rows = []
    for path in files:
        made = storage.read_provenance(path)
        rows.append(
            {
                "path": path,
                "stage": made["stage"],
                "spec": json.dumps(made["spec"], sort_keys=True),
                "code": made["code"],
                "git_commit": made["git_commit"],
                **{library: made["versions"].get(library) for library in LIBRARIES},
                "threads": made["threads"],
                **measured(path),
                **{fact: made.get(fact) for fact in facts},
            }
        )
    return pd.DataFrame(rows)


def measured(path: str) -> dict[str, float]:
    """Return the wall time and peak memory of the job that made `path`, as Snakemake measured."""
    for second, first in SECOND_OUTPUTS.items():
        if path.endswith(second):
            path = path.removesuffix(second) + first
    benchmark = Path(paths.benchmark(path))
    if not benchmark.exists():
        return {"wall_s": math.nan, "peak_mb": math.nan}
    names, values = (line.split("\t") for line in benchmark.read_text("utf-8").splitlines()[:2])
    row = dict(zip(names, values, strict=True))
    return {"wall_s": number(row["s"]), "peak_mb": number(row["max_rss"])}


def number(text: str) -> float:
    """Read a number of a benchmark file; "-" and "NA" stand for a job too short to measure."""
    return math.nan if text in ("-", "NA") else float(text)
