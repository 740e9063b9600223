"""The description of the HTTP API (OpenAPI), as it stands in docs/openapi.yaml."""

import functools
from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).with_name("openapi.yaml")  # leads to docs/, and is installed with the app


@functools.cache
def description() -> dict[str, Any]:
    """All of it; read once, as that would hold decisions up each time. Not to be changed."""
    found: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return found
