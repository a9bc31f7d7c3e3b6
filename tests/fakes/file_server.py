"""A web server of files on 127.0.0.1 that can cut, refuse and ignore Range, as networks do."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `files` (path → bytes). `faults` are used up one by one, each by one request."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.faults: list[int] = []
        """Cut after so many bytes; a negative number is a status to answer instead."""
        self.ranges = True
        self.types: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, str | None]] = []
        """(path, Range) of every request so far."""
        self.headers: list[Message] = []
        """Likewise the headers."""
        self.posted: list[tuple[str | None, bytes]] = []
        """(Authorization, body) of every POST so far."""
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked.append((request.path, asked))
        self.headers.append(request.headers)
        fault = self.faults.pop(0) if self.faults else None
        content = self.files.get(request.path)
        if content is None or (fault is not None and fault < 0):
            request.send_error(404 if content is None else -(fault or 0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if asked and self.ranges and start >= len(content):
            request.send_error(416)
            return
        status = 206 if asked and self.ranges else self.statuses.get(request.path, 200)
        request.send_response(status)
        request.send_header(
            "Content-Type", self.types.get(request.path, "application/octet-stream")
        )
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start:] if fault is None else content[start : start + fault])
        request.close_connection = True


@contextlib.contextmanager
def serving(files: dict[str, bytes], context: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """A running FileServer, with TLS where a context is given; `.url` has no slash at its end."""
    served = FileServer(files)

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            served.posted.append((self.headers.get("Authorization"), body))
            served.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests look at `asked`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        served.url = (
            f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
