"""What publishing and reading use of the Hub's HTTP interface, in memory: repositories of files, commits and tags."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


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
        path, _, query = self.path.partition("?")
        kind = re.fullmatch(
            r"(?:/api)?/datasets/(\w+/\w+)(?:/(refs|tree|revision|resolve))?(?:/(\w[^/]*))?(?:/(.*))?", path
        )
        if kind is None or kind[1] not in self.server.repos:
            self.answer({"error": path}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        repo_id, asked, revision, name = kind[1], kind[2], kind[3], unquote(kind[4] or "")
        files = self.server.files(repo_id, revision or "main")
        if asked == "refs":
            self.answer(self.describe_refs(repo_id))
        elif asked == "tree":
            found = list_tree(files, name, "recursive=true" in query.lower())
            self.answer(found, 200 if found else 404, {} if found else {"X-Error-Code": "EntryNotFound"})
        elif asked == "resolve":
            self.answer_bytes(files[name])
        else:
            siblings = [{"rfilename": name} for name in files]
            sha = self.server.repos[repo_id]["commits"][-1][0]
            self.answer({"id": repo_id, "sha": sha, "siblings": siblings, "tags": []})

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

    def answer(self, value, status=200, headers=None):
        self.send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def answer_bytes(self, content):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if asked is None:
            self.send(content, 200, {})
            return
        first, last = int(asked[1]), min(int(asked[2]), len(content) - 1)
        self.send(content[first : last + 1], 206, {"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def send(self, body, status, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def choose_mode(path):
    return {"path": path, "uploadMode": "lfs" if path.endswith(".parquet") else "regular", "shouldIgnore": False}


def list_tree(files, folder, is_recursive):
    """Entries of a folder, and of all folders below it."""
    below = f"{folder}/" if folder else ""
    own = {name: data for name, data in files.items() if name.startswith(below)}
    parts = [name.removeprefix(below).split("/")[:-1] for name in own]
    folders = sorted({below + "/".join(part[:depth]) for part in parts for depth in range(1, len(part) + 1)})
    entries = [{"type": "directory", "path": name, "oid": "0" * 40} for name in folders]
    entries += [describe(name, data) for name, data in own.items()]
    return [entry for entry in entries if is_recursive or "/" not in entry["path"].removeprefix(below)]


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
