"""An origin of Python's own HTTP server, HTTP/1.1 and threads, for the end-to-end tests.

    /bytes/N    N bytes with Content-Length      /close/N    N bytes, ended by the connection
    /chunked/N  N bytes in chunks of odd sizes   /gzip/N     N bytes, compressed and chunked
    /echo       the body that came               /events/N   N server-sent events, one in 10 ms

It listens on the port of 127.0.0.1 that is its argument.
"""

import gzip
import http.server
import sys
import time


def body(size):
    return bytes(i * 7 % 251 for i in range(251)) * (size // 251) + bytes(i * 7 % 251 for i in range(size % 251))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def received(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return data

    def answer(self):
        data = self.received()
        kind, _, size = self.path.strip("/").partition("/")
        self.send_response(200)
        getattr(self, "send_" + kind)(int(size or 0), data)

    do_GET = do_POST = do_PUT = answer

    def send_bytes(self, size, _):
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(body(size))

    def send_echo(self, _, data):
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_close(self, size, _):
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body(size))

    def send_chunked(self, size, _, data=None):
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data, at, step = data or body(size), 0, 1
        while at < len(data):
            self.chunk(data[at : at + step])
            at, step = at + step, step * 3 % 65521
        self.wfile.write(b"0\r\n\r\n")

    def send_gzip(self, size, _):
        self.send_header("Content-Encoding", "gzip")
        self.send_chunked(size, _, gzip.compress(body(size)))

    def send_events(self, count, _):
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(count):
            self.chunk(b"data: %d\n\n" % i)
            time.sleep(0.01)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
