"""A server on this machine for tests of downloads: files with Range requests, and mishaps by order."""

import contextlib
import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Mishap = Callable[["Handler", bytes], None]


class FileServer(ThreadingHTTPServer):
    """Serves ``files`` (path -> bytes); each request first takes a mishap from ``mishaps``, if one is left.

    ``requests`` lists what was asked: method, path, headers. ``posts`` answers POST requests: path -> a function of
    the JSON sent.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.mishaps: deque[Mishap | None] = deque()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.posts: dict[str, Callable[[Any], Any]] = {}
        self.ranges, self.tags = True, True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.requests.append(("GET", self.path, dict(self.headers)))
        mishap = self.server.mishaps.popleft() if self.server.mishaps else None
        data = self.server.files.get(self.path)
        if mishap is not None:
            mishap(self, data or b"")
        elif data is None:
            self.answer(404, b'{"message": "no such file"}')
        else:
            self.serve(data)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(("POST", self.path, dict(self.headers)))
        mishap = self.server.mishaps.popleft() if self.server.mishaps else None
        if mishap is not None:
            mishap(self, b"")
            return
        self.answer(200, json.dumps(self.server.posts[self.path](json.loads(sent))).encode())

    def serve(self, data: bytes, *, cut_after: int | None = None) -> None:
        """``data`` or the range of it that is asked for; only ``cut_after`` bytes of it, then the connection ends."""
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        asked = self.headers.get("Range", "") if self.server.ranges else ""
        if self.headers.get("If-Range", tag) != tag:
            asked = ""
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        headers = {"ETag": tag} if self.server.tags else {}
        if asked and start >= len(data):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206 if asked else 200, data[start:], headers, cut_after=cut_after)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut_after: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut_after is None else body[:cut_after])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def cut_after(count: int) -> Mishap:
    """The connection ends after ``count`` bytes of what was promised."""
    return lambda handler, data: handler.serve(data, cut_after=count)


def answering(status: int, body: bytes, headers: dict[str, str] | None = None) -> Mishap:
    """Another answer than the file."""
    return lambda handler, _data: handler.answer(status, body, headers)


@contextlib.contextmanager
def serving() -> Iterator[FileServer]:
    """A running server; stopped at the end."""
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
