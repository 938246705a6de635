"""A command that a fork server runs is as a command that Python runs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fork_server import forking

TELL = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ["COLOUR"], sys.path[0], open(sys.argv[1]).read())
print(sys.stdin.read(), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    python = tmp_path_factory.mktemp("bin") / "python"
    with forking(python, [], {}):
        yield python


def run(
    python: Path | str, folder: Path, code: str, line: str = "{python} command.py"
) -> subprocess.CompletedProcess[str]:
    """Run code as a command, by a line for bash that Snakemake might write."""
    (folder / "command.py").write_text(code)
    command = ["bash", "-euo", "pipefail", "-c", line.format(python=python)]
    environment = {"COLOUR": "blue", "PATH": os.environ["PATH"]}
    return subprocess.run(
        command, cwd=folder, env=environment, input="in", capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (TELL, "{python} command.py <(printf a) 2> >(tee log >&2)"),
        (TELL, "{python} command.py command.py | cat"),
        ("raise SystemExit(3)", "{python} command.py"),
        ("raise SystemExit('why')", "{python} command.py"),
        ("raise SystemExit", "{python} command.py"),
        ("1 / 0", "{python} command.py 2> /dev/null"),
    ],
    ids=["streams", "pipe", "status", "message", "exit", "exception"],
)
def test_a_command_does_what_it_does_under_python(python: Path, tmp_path: Path, code, line):
    forked, plain = (run(each, tmp_path, code, line) for each in (python, sys.executable))
    assert (forked.returncode, forked.stdout) == (plain.returncode, plain.stdout)
    assert forked.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]


def test_a_command_that_a_signal_kills_ends_as_under_python(python: Path, tmp_path: Path) -> None:
    (tmp_path / "command.py").write_text("import os; os.kill(os.getpid(), 11)")
    assert subprocess.call([python, "command.py"], cwd=tmp_path) == -11


def test_a_command_ends_with_the_process_that_asked_for_it(python: Path, tmp_path: Path) -> None:
    code = "import os, pathlib, time\npathlib.Path('pid').write_text(f'{os.getpid()}\\n')\n"
    (tmp_path / "command.py").write_text(f"{code}time.sleep(60)")
    client = subprocess.Popen([python, "command.py"], cwd=tmp_path)
    written = tmp_path / "pid"
    wait_until(lambda: written.exists() and written.read_text().endswith("\n"))
    client.kill()
    client.wait()
    wait_until(lambda: not Path(f"/proc/{written.read_text().strip()}").exists())


def wait_until(condition) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited 20 s in vain")


def test_commands_run_side_by_side(python: Path, tmp_path: Path) -> None:
    """Each waits for the file that the other writes."""
    code = "import sys, time, pathlib; pathlib.Path(sys.argv[1]).touch()\n"
    code += "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)"
    (tmp_path / "command.py").write_text(code)
    both = [
        subprocess.Popen([python, "command.py", *names], cwd=tmp_path)
        for names in (("a", "b"), ("b", "a"))
    ]
    assert [each.wait(timeout=20) for each in both] == [0, 0]


def test_a_server_that_cannot_import_a_module_says_so(tmp_path: Path) -> None:
    with pytest.raises(AssertionError), forking(tmp_path / "python", ["no_such_module"], {}):
        pass
