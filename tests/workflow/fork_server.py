"""Run commands as forks of one process, which has already imported what they import.

A command of the workflow spends up to twelve seconds on imports, and in a small study a fraction of
a second on its work. A fork runs the very script that the rule names, with the rule's arguments,
folder, environment and streams, and ends with its exit status. What a library reads from the
environment when it is imported is the server's.
"""

import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

# A fork keeps one thread of the server's. jemalloc knows about that, pools of OpenMP do not.
HARMLESS_THREADS = {"jemalloc_bg_thd"}
# No pool is started on import, and one that a command starts does not spin while others work.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
CLIENT = Path(__file__).with_name("fork_client.py")
MOST_FILES = 253  # that one message carries
HIGH = 500  # a file's number that no command was given


@contextmanager
def forking(python: Path, modules: Iterable[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Serve commands until the block ends.

    Parameters
    ----------
    python : the executable to write; what it is called with runs in a fork of the server.
    modules : what to import before the first fork.
    environment : added to the server's.
    """
    with tempfile.TemporaryDirectory() as folder:  # a socket's path is 107 characters at most
        address = str(Path(folder) / "socket")
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{CLIENT}" "{address}" "$@"\n')
        python.chmod(0o755)
        server = subprocess.Popen(
            [sys.executable, __file__, address, *modules],
            env=os.environ | THREADS | dict(environment),
            stdin=subprocess.PIPE,  # its end tells the server that this process is gone
            stdout=subprocess.PIPE,
        )
        try:
            assert server.stdout and server.stdout.readline() == b"ready\n"
            yield
        finally:
            server.communicate()


def next_command(address: str) -> list[str]:
    """Listen at a socket, and return in each fork: with the arguments of the command to run."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a fork has ended
        while True:
            waiting, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in waiting:
                os._exit(0)
            client, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return fork_command(client)
            client.close()


def fork_command(client: socket.socket) -> list[str]:
    """Receive a command, and return in the process that is to run it."""
    start, files, _, _ = socket.recv_fds(client, 8, MOST_FILES)
    length, message = int.from_bytes(start), b""
    while len(message) < length:
        message += client.recv(length - len(message))
    command = json.loads(message)
    worker = os.fork()
    if worker:
        report(client, worker, files)
    client.close()
    # Out of the way first: what one file is now may be the number that another is to have.
    aside = [fcntl.fcntl(file, fcntl.F_DUPFD, HIGH) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(aside, command["files"], strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    return command["argv"]


def report(client: socket.socket, worker: int, files: list[int]) -> NoReturn:
    """Wait for a command's end and tell the client its status; end the command with the client."""
    for file in files:
        os.close(file)
    done = os.pidfd_open(worker)
    ended, _, _ = select.select([done, client], [], [])
    if done not in ended:
        os.kill(worker, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    if done in ended:
        client.sendall(code.to_bytes(2, signed=True))
    os._exit(0)


def run(argv: list[str]) -> NoReturn:
    """Run a script as ``python`` does, but leave the interpreter as it is: that saves seconds."""
    sys.argv = argv
    sys.path[0] = str(Path(argv[0]).resolve().parent)
    code = 0
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a fork shares what it leaves alone
    threads = {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}
    names = threads - HARMLESS_THREADS
    assert len(names) == 1, f"a library has started threads, which a fork would miss: {names}"
    run(next_command(sys.argv[1]))
