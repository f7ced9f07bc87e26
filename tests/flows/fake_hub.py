"""The part of the Hub's HTTP interface that publishing uses, in memory: repositories of files, commits and tags."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos = {}  # id -> {"commits": [(sha, {path: content})], "tags": {name: sha}, "private": bool}
        self.large = {}  # sha256 -> content
        self.refuse = set()  # steps that answer 500: "commit", "tag", "upload"
        self.damage = False  # keep another byte than was sent

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files(self, repo_id, revision="main"):
        repo = self.repos[repo_id]
        sha = repo["tags"].get(revision, repo["commits"][-1][0] if revision == "main" else None)
        return dict(repo["commits"])[sha]


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, _ = self.path.partition("?")
        if found := re.fullmatch(r"/api/datasets/(\w+/\w+)/refs", path):
            self.answer(self.describe_refs(found[1]))
        elif found := re.fullmatch(r"/api/datasets/(\w+/\w+)/tree/([^/]+)", path):
            self.answer([describe(name, data) for name, data in self.server.files(found[1], found[2]).items()])
        elif found := re.fullmatch(r"/api/datasets/(\w+/\w+)", path):
            repo = self.server.repos[found[1]]
            siblings = [{"rfilename": name} for name in self.server.files(found[1])]
            self.answer({"id": found[1], "sha": repo["commits"][-1][0], "siblings": siblings, "tags": []})
        else:
            self.answer({"error": path}, 404)

    def do_PUT(self):
        content = self.read()
        digest = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == digest
        self.server.large[digest] = content
        self.answer({}, 500 if "upload" in self.server.refuse else 200)

    def do_POST(self):
        body, path = self.read(), self.path.partition("?")[0]
        if path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.answer({})
        elif found := re.fullmatch(r"/api/datasets/(\w+/\w+)/preupload/main", path):
            modes = [
                ("lfs" if file["path"].endswith(".parquet") else "regular", file["path"])
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for mode, name in modes]})
        elif path.endswith("/info/lfs/objects/batch"):
            self.answer({"transfer": "basic", "objects": [self.offer(item) for item in json.loads(body)["objects"]]})
        elif found := re.fullmatch(r"/api/datasets/(\w+/\w+)/commit/main", path):
            self.commit(found[1], [json.loads(line) for line in body.splitlines()])
        elif found := re.fullmatch(r"/api/datasets/(\w+/\w+)/tag/main", path):
            if "tag" not in self.server.refuse:
                repo = self.server.repos[found[1]]
                repo["tags"][json.loads(body)["tag"]] = repo["commits"][-1][0]
            self.answer({}, 500 if "tag" in self.server.refuse else 200)
        else:
            self.answer({"error": path}, 404)

    def create(self, asked):
        repo_id = f"{asked['organization']}/{asked['name']}"
        is_new = repo_id not in self.server.repos
        if is_new:
            files = {".gitattributes": b"*.parquet filter=lfs"}
            self.server.repos[repo_id] = {"commits": [("0" * 40, files)], "tags": {}, "asked": asked}
        self.answer({"url": f"{self.server.url}/datasets/{repo_id}"}, 200 if is_new else 409)

    def offer(self, item):
        known = item["oid"] in self.server.large
        return item if known else {**item, "actions": {"upload": {"href": f"{self.server.url}/lfs/{item['oid']}"}}}

    def commit(self, repo_id, lines):
        if "commit" in self.server.refuse:
            self.answer({}, 500)
            return
        repo = self.server.repos[repo_id]
        assert lines[0]["value"]["parentCommit"] == repo["commits"][-1][0]
        files = dict(repo["commits"][-1][1])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"]) + b"!" * self.server.damage
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = hashlib.sha1(json.dumps(sorted(files)).encode() + str(len(repo["commits"])).encode()).hexdigest()
        repo["commits"].append((sha, files))
        self.answer({"commitUrl": f"{self.server.url}/datasets/{repo_id}/commit/{sha}", "commitOid": sha})

    def describe_refs(self, repo_id):
        repo = self.server.repos[repo_id]
        tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha} for name, sha in repo["tags"].items()]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo["commits"][-1][0]}
        return {"branches": [main], "converts": [], "tags": tags}

    def read(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def choose_mode(path):
    return {"path": path, "uploadMode": "lfs" if path.endswith(".parquet") else "regular", "shouldIgnore": False}


def describe(name, data):
    entry = {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if name.endswith(".parquet"):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry


@contextmanager
def open_hub() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
