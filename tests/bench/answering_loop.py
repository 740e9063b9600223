"""The other end of `topologies.answering`: reads requests, line by line, and answers each.

A request that raises OSError or ValueError is answered with that as an error. Ends with its input.
"""

import json
import sys
from collections.abc import Callable
from typing import Any


def answer(operations: dict[str, Callable[..., Any]]) -> None:
    """Says `ready`, then does what it is asked, by these."""
    print("ready", flush=True)
    for line in sys.stdin:
        operation, arguments = json.loads(line)
        try:
            said = {"ok": operations[operation](**arguments)}
        except (OSError, ValueError) as failure:
            said = {"error": repr(failure)}
        print(json.dumps(said), flush=True)
