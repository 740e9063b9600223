"""HTTP, by Ryu's own WSGI server: what the cluster is like, as JSON. It changes nothing.

GET /v1/status
"""

import json
from collections.abc import Callable
from typing import Any

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route

NAME = "synod"


class Status(ControllerBase):
    """Answers requests; made anew by Ryu for each."""

    @route(NAME, "/v1/status", methods=["GET"])
    def status(self, request: Any, **_: Any) -> Any:
        """The cluster as it is now."""
        body = json.dumps(self.data[NAME](), indent=1) + "\n"
        return Response(content_type="application/json", charset="UTF-8", text=body)


def serve(wsgi: WSGIApplication, status: Callable[[], dict[str, Any]]) -> None:
    """Answer with what `status` returns."""
    wsgi.register(Status, {NAME: status})
