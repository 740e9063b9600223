"""What is asked and ordered of the app over HTTP.

It only carries: JSON to and fro, the operator's token with each order, what went wrong in words.
"""

import json
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from agents import config_http, config_token

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT = 5.0  # seconds


class AppError(Exception):
    """Why there is no answer, or what it says is wrong; for a person to read."""


class Unreachable(AppError):
    """Nothing answers there, or what does isn't the app."""


class TurnedAway(AppError):
    """Who orders may not: no token, another one, or one that isn't secret."""


class Unauthorized(TurnedAway):
    """The app knows another token, or was shown none."""


class Misunderstood(AppError):
    """What was asked is no question, or about what there isn't; it says what is wrong with it."""


def ask(url: str, path: str, timeout: float = TIMEOUT) -> dict[str, Any]:
    """The app's answer to a GET."""
    return _answer(url, urllib.request.Request(_base(url) + path), timeout)


def order(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Have it done, with the token; what the app answers then."""
    base = _base(url)
    if not config_http.is_private(url):
        raise AppError(f"{url}: others would read the token on the way: https:, or a tunnel")
    try:
        headers = {"Authorization": f"Bearer {config_token.load(config_token.path())}"}
    except config_token.NoToken:
        headers = {}  # what the app says to it is better than what could be guessed here
    except config_token.TokenError as error:
        raise TurnedAway(str(error)) from error
    data = json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
    request = urllib.request.Request(base + path, data, headers, method="POST")
    try:
        return _answer(url, request, TIMEOUT)
    except Unauthorized as error:
        if "Authorization" in headers:
            raise
        there = f"{config_token.path()}, or where {config_token.VARIABLE} says"
        raise Unauthorized(f"{error}; here is none, at {there}") from error


_KINDS: dict[int, type[AppError]] = {
    400: Misunderstood,
    401: Unauthorized,
    403: TurnedAway,
    404: Misunderstood,
}


def _base(url: str) -> str:
    """What paths follow. Misunderstood if that is no address of a web server."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of the port
        right = None
    if not right or set(url) & set(" ?#"):
        raise Misunderstood(f"{url!r} is not where an app answers, as {DEFAULT_URL} is")
    return url.rstrip("/")


def _opener(url: str) -> urllib.request.OpenerDirector:
    """By no proxy, whatever the environment says, and to no other address that an answer names: who
    is there would read the token.
    """
    opener = urllib.request.OpenerDirector()
    if url.startswith("https:"):
        opener.add_handler(urllib.request.HTTPSHandler(context=config_http.context()))
    opener.add_handler(urllib.request.HTTPHandler())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    return opener


def _answer(url: str, request: urllib.request.Request, timeout: float) -> dict[str, Any]:
    try:
        with _opener(url).open(request, timeout=timeout) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        raise _refusal(url, error) from error
    except (ValueError, HTTPException) as error:  # no JSON, or not even HTTP
        raise Unreachable(f"what answers at {url} is not the app: no JSON came back") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            reason = f"{reason.verify_message}: name its CA's certificate by {config_http.CA}"
        raise Unreachable(f"no answer from the app at {url}: {reason}") from error
    if not isinstance(found, dict):
        raise Unreachable(f"what answers at {url} is not the app: no JSON came back")
    return found


def _refusal(url: str, error: urllib.error.HTTPError) -> AppError:
    try:
        why = str(json.load(error)["error"])
    except (ValueError, TypeError, KeyError, OSError):
        return Unreachable(f"what answers at {url} said {error.code} {error.reason}")
    return _KINDS.get(error.code, AppError)(why)
