"""`baton` for examples: the real command, in a process forked from one that has its modules loaded.

A command is little work, but loading Python and its libraries takes a second; a guide has fifty of
them. The server loads all commands once and forks for each call; the client hands over arguments,
folder, environment and its three files, and ends with the command's exit code.

    python forked.py serve SOCKET          until it is killed
    python forked.py call SOCKET WORDS…    what stands in the path as `baton`
"""

import array
import importlib
import json
import os
import signal
import socket
import sys

REQUEST_BYTES_MAX = 1024 * 1024


def serve(path: str) -> None:
    """Load every command, then fork for each call."""
    main = importlib.import_module("baton.cli.main")
    importlib.import_module("baton.cli.parsing").build("", whole=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                run(connection, main.run)
            connection.close()


def run(connection: socket.socket, command: "object") -> None:
    """One call, in the child; ends the process."""
    body, files, _, _ = socket.recv_fds(connection, REQUEST_BYTES_MAX, 3)
    while not body.endswith(b"\n"):
        body += connection.recv(REQUEST_BYTES_MAX)
    asked = json.loads(body)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    assert callable(command)
    code = command(asked["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([code]))
    os._exit(0)


def call(path: str, words: list[str]) -> int:
    """The client's part."""
    asked = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        files = array.array("i", [0, 1, 2])
        body = json.dumps(asked).encode() + b"\n"
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)]
        sent = connection.sendmsg([body], ancillary)
        connection.sendall(body[sent:])
        told = connection.recv(1)
    return told[0] if told else 70


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    sys.exit(call(sys.argv[2], sys.argv[3:]))
