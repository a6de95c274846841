"""A server on this machine that answers what huggingface_hub asks of huggingface.co."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

TOKEN = "hf_of_the_tests"


class Repo:
    """A repository: its files, and whether it is private."""

    def __init__(self, private: bool, files: dict[str, bytes]) -> None:
        self.private, self.files = private, files

    @property
    def sha(self) -> str:
        """The name of the commit, which follows its content."""
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """The server. Only `user` may write, and only with TOKEN."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.repos: dict[str, Repo] = {}

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nobody answers."""
        port = self.server_port
        self.stop()
        try:
            yield
        finally:
            ThreadingHTTPServer.__init__(self, ("127.0.0.1", port), Handler)
            self.start()

    def start(self) -> None:
        """Answer in a thread."""
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """Each answer as the Hub's documentation of its API has it."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(/revision/[^/]+|/tree/[^/]+)?", path):
            repo = self.repo(found[1])
            if repo is None:
                return
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in repo.files.items()
            ]
            about = {"id": found[1], "sha": repo.sha, "private": repo.private, "tags": [], "downloads": 0}
            siblings = {"siblings": [{"rfilename": each["path"]} for each in tree]}
            self.answer(tree if (found[2] or "").startswith("/tree/") else {**about, **siblings})
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            repo = self.repo(found[1])
            if repo is not None and found[2] in repo.files:
                content = repo.files[found[2]]
                headers = {"X-Repo-Commit": repo.sha, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
                self.reply(200, content, headers)
            elif repo is not None:
                self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            self.reply(404, b"", {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        repos = cast(Hub, self.server).repos
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if self.headers["Authorization"] != f"Bearer {TOKEN}" or asked["organization"] != "user":
                self.answer({"error": "You may not write here"}, 403)
                return
            is_private = asked.get("private", asked.get("visibility") == "private")
            status = 409 if name in repos else 200
            repos.setdefault(name, Repo(bool(is_private), {}))
            self.answer({"url": f"{cast(Hub, self.server).url}/{name}"}, status)
        elif self.path == "/api/validate-yaml":
            self.answer({"warnings": [], "errors": []})
        elif found := re.match(r"/api/models/([^/]+/[^/]+)/preupload/main", self.path):
            files = [{"path": each["path"]} for each in json.loads(body)["files"]]
            usual = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{**each, **usual} for each in files]})
        elif found := re.match(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            repo = repos[found[1]]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    repo.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del repo.files[line["value"]["path"]]
            url = f"{cast(Hub, self.server).url}/{found[1]}/commit/{repo.sha}"
            self.answer({"success": True, "commitOid": repo.sha, "commitUrl": url})
        else:
            self.reply(404, b"", {})

    def repo(self, name: str) -> Repo | None:
        """The repository; without one the answer is given."""
        found = cast(Hub, self.server).repos.get(name)
        if found is None:
            self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})
        return found

    def answer(self, content: Any, status: int = 200) -> None:
        """A reply in JSON."""
        self.reply(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        """A reply."""
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
