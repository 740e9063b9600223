"""Who may give orders: whoever shows the operator's token.

The file is read for each order: a token that is made, changed or removed counts at once.
"""

import hmac

from agents import config_token


class TurnedAway(Exception):
    """No order is taken from that one: the HTTP code, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Admission:
    """The token of that file, as a door."""

    def __init__(self, path: str) -> None:
        self._path = path

    def fault(self) -> str:
        """Why nobody can give orders now; empty if there is a token."""
        try:
            config_token.load(self._path)
        except config_token.TokenError as error:
            return str(error)
        return ""

    def admit(self, authorization: str) -> None:
        """Of a request that has this header. TurnedAway if it may not, or nobody may."""
        try:
            token = config_token.load(self._path)
        except config_token.TokenError as error:
            raise TurnedAway(403, f"the app takes no orders: {error}") from error
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise TurnedAway(401, "an order needs the header 'Authorization: Bearer TOKEN'")
        # How long it takes says nothing of how much of it was right.
        if not hmac.compare_digest(shown.strip().encode(), token.encode()):
            raise TurnedAway(401, "that is not the token of this app")
