"""YAML text as plain data: mappings, lists, and text.

YAML has its own ideas of what a value looks like: `no` is false, 12:34:56:01:02:03 is a number to
the base of 60, a key given twice is silently the second. Here every scalar stays the text that
stands in the file, and a key given twice is an error.
"""

from collections.abc import Hashable

import yaml
from yaml.nodes import MappingNode


class YamlError(ValueError):
    """Text that is no YAML; the message has the line, counted from 1."""


class _Loader(yaml.BaseLoader):
    """BaseLoader makes no types of its own: text, list, dict."""

    def __init__(self, text: str | bytes) -> None:
        super().__init__(text)
        self.twice: list[str] = []

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Note keys that are there twice."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in seen:
                    first = seen[key.value]
                    self.twice.append(f"line {line}: '{key.value}' is there since line {first}")
                seen.setdefault(key.value, line)
        return super().construct_mapping(node, deep)


def read(text: str | bytes) -> tuple[object, list[str]]:
    """Dicts, lists and str of one YAML document; bytes are UTF-8 (or UTF-16 with its mark). Beside
    it, a message for each key that is given twice.

    YamlError if it isn't one document.
    """
    try:
        loader = _Loader(text)
        return loader.get_single_data(), loader.twice
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise YamlError(f"{line}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlError("nested too deeply") from error
