# An HTTP server that answers lists and watches as a test says: what a real API server cannot be made to do at will.
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from virtwatch_kube.client import KubeClient


def item(name, version):
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}}


def event(kind, name, version):
    return {"type": kind, "object": item(name, version)}


class ScriptedServer:
    """`lists` and `watches` are answers in turn, the last one for ever.

    A list is (status, headers, body). A watch is a list of lines (bytes, or an event), with a number for a pause in
    seconds and None for a stream that stays open.
    """

    def __init__(self, tmp_path):
        self.lists = [(200, {}, {"metadata": {"resourceVersion": "10"}, "items": []})]
        self.watches = [[None]]
        self.listed = []
        self.watched = []
        self.times = []
        self.closing = threading.Event()
        server = self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "scripted").write_text(json.dumps(config))
        self.client = KubeClient.from_environment(str(tmp_path / "scripted"))

    def close(self):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, answers):
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _handler(script):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            script.times.append(time.monotonic())
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            if "watch" in query:
                script.watched.append(query)
                self.watch(script.answer(script.watches))
            else:
                script.listed.append(query)
                self.list(*script.answer(script.lists))

        def list(self, status, headers, body):
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def watch(self, lines):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in lines:
                if line is None or isinstance(line, float):
                    script.closing.wait(line)
                    continue
                content = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass

    return Handler
