"""The `python` of a workspace: has a fork server run the command, and ends as the command does.

``fork_client.py SOCKET SCRIPT ...`` behaves as ``python SCRIPT ...``: same folder, environment and
open files, and the same exit status. When it is killed, so is the command.
"""

import json
import os
import socket
import sys


def is_open(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:  # the listing itself, which is closed again
        return False


# The standard streams, and the pipes of a shell's <(...).
files = [number for number in sorted(map(int, os.listdir("/dev/fd"))) if is_open(number)]
command = {
    "argv": sys.argv[2:],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "files": files,
}
message = json.dumps(command).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [len(message).to_bytes(8)], files)
    server.sendall(message)
    answer = server.recv(2)
if not answer:
    sys.exit("the fork server is gone")
code = int.from_bytes(answer, signed=True)
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
