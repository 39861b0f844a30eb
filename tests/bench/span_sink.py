"""`python -m tests.bench.span_sink`: takes spans by OTLP over HTTP and forgets them, as cheaply as a process can.

Prints its port, and at the end of its standard input how many batches and bytes came.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_COUNTS = [0, 0]
_LOCK = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        with _LOCK:
            _COUNTS[0] += 1
            _COUNTS[1] += size
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    sys.stdout.write(f"{_COUNTS[0]} {_COUNTS[1]}\n")


if __name__ == "__main__":
    main()
