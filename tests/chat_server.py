"""A chat service in a thread of the tests, which answers as each test tells it to and notes what it was sent."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKENS = {"prompt_tokens": 1000, "completion_tokens": 100}


def completion(content, usage=TOKENS, finish_reason="stop", **message):
    """A body as services send it."""
    turn = {"role": "assistant", "content": content} | message
    choice = {"index": 0, "message": turn, "finish_reason": finish_reason}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


def echo(number, body):
    """An answer that repeats the last turn."""
    return 200, {}, completion("about " + body["messages"][-1]["content"])


def always(status, content, headers=None):
    """The same answer to every request."""
    return lambda number, body: (status, headers or {}, content)


def then_echo(*answers):
    """These answers to the first requests, afterwards the echo."""
    return lambda number, body: answers[number] if number < len(answers) else echo(number, body)


class ChatServer:
    """`script` maps (number of the request from 0, body) to (status, headers, content): content is JSON, or bytes as
    they are; None closes the connection without an answer. `requests` has path, body and headers of each."""

    def __init__(self, script=echo):
        self.requests, self.script, self.lock = [], script, threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with service.lock:
                    number = len(service.requests)
                    service.requests.append({"path": self.path, "body": body, "headers": self.headers})
                answer = service.script(number, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(content)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the client has given up

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
