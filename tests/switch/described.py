"""What the description of the HTTP API (docs/openapi.yaml) says of an answer, to the key."""

from typing import Any

import jsonschema_rs

from ryu_apps.description import description


def faults(name: str, told: dict[str, Any]) -> list[str]:
    """What of an answer isn't described by the schema of that name."""
    schema = closed(description()) | {"$ref": f"#/components/schemas/{name}"}
    validator = jsonschema_rs.validator_for(schema)
    return [f"{[*each.instance_path]}: {each.message}" for each in validator.iter_errors(told)]


def closed(schema: Any) -> Any:
    """The same, but with no keys beside those described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found
