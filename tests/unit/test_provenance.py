import subprocess
from pathlib import Path

import pytest

from lmcortex import paths, provenance

CODE = '''"""What it is."""
import os  # the system


def double(x):
    """Return twice x."""
    # a reason
    return f"{x!r:>{10}}" * 2
'''


@pytest.mark.parametrize(
    "edited",
    [
        CODE.replace("# a reason", "# a better reason"),
        CODE.replace('"""Return twice x."""', '"""Return `x` two times.\n\n    Really.\n    """'),
        CODE.replace('"""What it is."""', ""),
        CODE.replace("\n\n\n", "\n\n\n\n\n"),
        CODE.replace("import os  # the system", "import os"),
    ],
)
def test_comments_docstrings_and_blank_lines_are_not_code(edited: str) -> None:
    assert edited != CODE
    assert provenance.bare_code(edited) == provenance.bare_code(CODE)


def test_a_changed_number_is_code() -> None:
    assert provenance.bare_code(CODE.replace("* 2", "* 3")) != provenance.bare_code(CODE)


def test_a_hash_sign_inside_a_string_is_code() -> None:
    assert provenance.bare_code('x = "a # b"') != provenance.bare_code('x = "a # c"')


def test_imports_inside_the_package_are_followed() -> None:
    script = Path(__file__).parents[2] / "workflow" / "scripts" / "fit_encoding.py"
    names = {path.name for path in provenance.imported_files(script)}
    assert {"fit_encoding.py", "ridge.py", "folds.py", "hrf.py"} <= names
    assert "figures.py" not in names and "models.py" not in names


def test_what_files_are_called_is_not_part_of_a_digest() -> None:
    script = Path(__file__).parents[2] / "workflow" / "scripts" / "fit_encoding.py"
    assert not {"cli.py", "paths.py"} & {path.name for path in provenance.imported_files(script)}


def test_a_digest_does_not_depend_on_where_one_stands(monkeypatch) -> None:
    root = Path(__file__).parents[2]
    script = Path("workflow/scripts/fit_encoding.py")
    monkeypatch.chdir(root)
    assert provenance.code_digest(script) == provenance.code_digest(root / script)


def test_the_digest_is_the_same_on_every_python(tmp_path: Path) -> None:
    script = tmp_path / "f_strings.py"
    script.write_text(CODE + "y = f\"{{{1}}} # {'a'}\"\n")
    here = provenance.code_digest(script)
    package = Path(provenance.__file__).parents[1]
    for python in (python for python in ("python3.12", "python3.13") if runs(python)):
        code = (
            f"import sys; sys.path.insert(0, {str(package)!r}); from pathlib import Path;"
            "from lmcortex.provenance import code_digest;"
            f"print(code_digest(Path({str(script)!r})))"
        )
        there = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        assert there.stdout.strip() == here


def runs(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_job_too_short_to_measure_has_no_peak_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    benchmark = Path(paths.benchmark("results/a.parquet"))
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\tmax_rss\n0.5\t0:00:00\t-\n")
    measured = provenance.measured("results/a.parquet")
    assert measured["wall_s"] == 0.5
    assert measured["peak_mb"] != measured["peak_mb"]
