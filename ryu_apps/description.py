"""The description of the HTTP API (OpenAPI), as it stands in docs/openapi.yaml."""

from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).with_name("openapi.yaml")  # leads to docs/, and is installed with the app


def description() -> dict[str, Any]:
    """All of it."""
    found: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return found
