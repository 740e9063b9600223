"""The one exception of all decoders.

Every decoder in this package turns arbitrary bytes into a value or raises `WireError`; nothing else
may come out of it. The reason is a named outcome: the same word is logged, counted and expected by
the tests.
"""


class WireError(ValueError):
    """Bytes that are not what they claim to be.

    `reason` is a snake_case outcome name from a small fixed set (safe as a counter's name, however
    hostile the bytes); `detail` says more to a person and may depend on the bytes.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
