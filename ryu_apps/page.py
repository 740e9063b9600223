"""The web page: its files, as they are, by Ryu's WSGI server.

GET /             index.html
GET /page/FILE    what it consists of

All it shows it asks the API for, in the browser; nothing is made here. The files are read once,
when the app starts: what a request names is looked up among them, and never on the disk. Browsers
keep them but ask each time whether they are still the same (RFC 9110, section 13.1.2), so that a
new app is never seen through an old page. The policy lets the page load and ask nothing but what
this server has, and run no script that stands in its markup (CSP 3).
"""

import hashlib
from pathlib import Path
from typing import Any

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication

from ryu_apps.api import resource

NAME = "page"
INDEX = "index.html"
FOLDER = Path(__file__).with_name("page")

TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",  # RFC 9239
    ".svg": "image/svg+xml",
}
_POLICY = {
    "default-src": "'none'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "; ".join(map(" ".join, _POLICY.items())),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Page(ControllerBase):
    """Answers requests; made anew by Ryu for each."""

    @resource("/", "GET", "HEAD")
    def index(self, request: Any, **_: Any) -> Any:
        """The page itself."""
        return self._file(INDEX)

    @resource("/page/{name}", "GET", "HEAD")
    def file(self, request: Any, name: str, **_: Any) -> Any:
        """One of its files."""
        return self._file(name)

    def _file(self, name: str) -> Any:
        body = self.data[NAME].get(name)
        if body is None:
            return Response(status=404, content_type="text/plain", body=b"no such file\n")
        answer = Response(
            content_type=TYPES[Path(name).suffix], body=body, conditional_response=True
        )
        answer.headers.update(HEADERS)
        answer.etag = hashlib.sha256(body).hexdigest()[:16]
        return answer


def serve(wsgi: WSGIApplication) -> None:
    """Answer from now on."""
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}
    wsgi.register(Page, {NAME: files})
