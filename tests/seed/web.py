"""The web page: asks the api by name and shows the row it answers."""

import html
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

API_URL = os.environ["API_URL"]

PAGE = """<!doctype html>
<title>shim</title>
<h1>Hello from three containers</h1>
<p>Visit {id}: {note}.</p>
"""


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            return self.answer(200, "ok\n")
        try:
            with urlopen(f"{API_URL}/visits", timeout=5) as response:
                row = json.load(response)
        except OSError as error:
            return self.answer(502, f"the api does not answer: {html.escape(str(error))}\n")
        self.answer(200, PAGE.format(id=row["id"], note=html.escape(row["note"])))

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# Process 1 of a container has no default action for SIGTERM.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("0.0.0.0", 3000), Page).serve_forever()
