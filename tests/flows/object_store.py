"""An S3-compatible server on this machine, in a process of its own, that can be told to throttle its clients."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.flows.real_server import free_port, in_background, wait_for

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Store:
    """The running server, as its tests see it."""

    def __init__(self, url: str, bucket: str) -> None:
        self.url, self.bucket = url, bucket

    def throttle(self, every: int) -> int:
        """Refuse each `every`-th request from now on, none for 0; how many were refused until now."""
        return int(httpx.get(f"{self.url}/faults/{every}", timeout=20).text)

    def answer(self, how: str) -> None:
        """Of conditional writes: "lose" the answer to the next one that is granted, "ignore" conditions, or "fair"."""
        httpx.get(f"{self.url}/answers/{how}", timeout=20).raise_for_status()


@contextmanager
def serve_bucket(name: str, folder: Path) -> Iterator[Store]:
    """A bucket on moto's server; clients find it by the variables that boto documents."""
    s3fs = pytest.importorskip("s3fs", reason="needs `make setup-s3`")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {"AWS_ENDPOINT_URL": url, **keys}.items():
            patch.setenv(variable, value)
        with in_background(["tests.flows.object_store", str(port)], {}, folder / "store.log") as process:

            def answers():
                assert process.poll() is None, (folder / "store.log").read_text()[-2000:]
                try:
                    return httpx.put(f"{url}/{name}", timeout=20).is_success
                except httpx.HTTPError:
                    return False

            wait_for(answers, 90, "the object store answers")
            s3fs.S3FileSystem.clear_instance_cache()  # a client of an earlier test knows another address and no keys
            yield Store(url, f"s3://{name}")
            s3fs.S3FileSystem.clear_instance_cache()


class Throttled:
    """moto's application behind a gate that refuses some requests as S3 does."""

    def __init__(self, application):
        self.application, self.every, self.refused, self.asked = application, 0, 0, count(1)
        self.answers = "fair"

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith("/faults/"):
            self.every = int(path.rpartition("/")[2])
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(self.refused).encode()]
        if path.startswith("/answers/"):
            self.answers = path.rpartition("/")[2]
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b""]
        if "HTTP_IF_NONE_MATCH" in environ and self.answers != "fair":
            if self.answers == "ignore":
                del environ["HTTP_IF_NONE_MATCH"]
            else:
                self.answers = "fair"
                for _ in self.application(environ, lambda *_: None):
                    pass
                start_response("500 Internal Server Error", [("Content-Type", "application/xml")])
                return [b"<Error><Code>InternalError</Code></Error>"]
        if self.every and next(self.asked) % self.every == 0:
            self.refused += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [SLOW_DOWN]
        return self.application(environ, start_response)


if __name__ == "__main__":
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.server import MotoRequestHandler
    from werkzeug.serving import run_simple

    application = Throttled(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=MotoRequestHandler)
