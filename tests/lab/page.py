"""The app's web page, open in a browser on the controller, as tests look at it."""

from collections.abc import Callable
from typing import Any

from tests.lab.world import PeerError, PeerProcess, World
from topologies.recipe import HTTP_PORT

URL = f"http://127.0.0.1:{HTTP_PORT}/"


class Page:
    """One browser, one page."""

    def __init__(self, world: World, browser: PeerProcess) -> None:
        self.world = world
        self.browser = browser

    def open(self, **how: Any) -> None:
        """Loads it anew."""
        self.browser("open", url=URL, **how)
        self.until(lambda: "primary" in self.text("#verdict"), "the page shows no cluster")

    def text(self, css: str) -> str:
        return str(self.browser("text", css=css))

    def texts(self, css: str) -> list[str]:
        found: list[str] = self.browser("texts", css=css)
        return found

    def click(self, css: str) -> None:
        self.browser("click", css=css)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser("run", script=script, arguments=arguments)

    def until(self, condition: Callable[[], Any], what: str, timeout: float = 10) -> Any:
        """Polls; an element that is just being drawn anew is looked for again."""

        def holds() -> Any:
            try:
                return condition()
            except PeerError:
                return None

        return self.world.until(holds, lambda: f"{what}: {self.text('body')[:600]}", timeout)

    def shows(self, css: str, words: str, timeout: float = 10) -> None:
        """Returns once an element has these words in it."""
        self.until(lambda: words in self.text(css), f"no {words!r} in {css}", timeout)
