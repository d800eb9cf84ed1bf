"""An HTTPS proxy on loopback through which every host name leads to one server.

It lets a client keep the vendor's own addresses: what it opens to
`login.microsoftonline.com:443` ends at the simulator, TLS and all.
"""

import selectors
import socket
import socketserver
import threading


class Tunnel:
    """Serves `CONNECT` until it is closed; `url` is what `HTTPS_PROXY` takes."""

    def __init__(self, target: tuple[str, int]):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                method = self.rfile.readline().split(b" ")[0]
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                if method != b"CONNECT":
                    self.wfile.write(b"HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\n\r\n")
                    return
                with socket.create_connection(target) as server:
                    self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                    join(self.connection, server)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    # Clients keep connections open for reuse; nobody waits for them at the end.
    block_on_close = False

    def handle_error(self, request, client_address):
        """A connection that breaks is seen by the client; there is nothing to add."""


def join(one: socket.socket, other: socket.socket):
    """Carries bytes both ways until either side ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                data = key.fileobj.recv(65536)
                if not data:
                    return
                key.data.sendall(data)
