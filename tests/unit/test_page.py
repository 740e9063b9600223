"""The web page's files as the app serves them, and what may stand in them.

How it looks and works in a browser: tests/lab/test_page.py.
"""

import configparser
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import webob
from ryu.app.wsgi import WSGIApplication

from ryu_apps import page

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in page.FOLDER.iterdir())
SCRIPTS = [name for name in FILES if name.endswith(".js")]
HTML = (page.FOLDER / page.INDEX).read_text()

TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

# What would make markup or code of text, or speak where nobody listens.
FORBIDDEN = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "srcdoc"),
    *("eval(", "new Function", "console.", "localStorage", "javascript:", "debugger"),
)
SVG = "http://www.w3.org/2000/svg"  # a name, and nothing that is asked for


def text(name: str) -> str:
    return (page.FOLDER / name).read_text()


@pytest.fixture(scope="module")
def server() -> Any:
    """Ryu's WSGI application with the page and nothing else."""
    application = WSGIApplication()
    page.serve(application)
    return application


def get(server: Any, path: str, **headers: str) -> Any:
    return webob.Request.blank(path, headers=headers).get_response(server)


def test_the_page_is_at_the_root(server: Any) -> None:
    answer = get(server, "/")
    assert (answer.status_int, answer.text) == (200, HTML)
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"


@pytest.mark.parametrize("name", FILES)
def test_each_file_has_its_type_and_what_protects_the_page(server: Any, name: str) -> None:
    answer = get(server, f"/page/{name}")
    assert (answer.status_int, answer.text) == (200, text(name))
    assert answer.headers["Content-Type"].split(";")[0] == TYPES[Path(name).suffix]
    assert page.HEADERS.items() <= dict(answer.headers).items()


def test_the_policy_allows_nothing_but_this_server() -> None:
    policy = dict(
        part.split(" ", 1) for part in page.HEADERS["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert {"base-uri", "form-action", "frame-ancestors"} <= policy.keys()


def test_a_browser_that_has_a_file_is_told_so(server: Any) -> None:
    tag = get(server, "/page/main.js").headers["ETag"]
    again = get(server, "/page/main.js", **{"If-None-Match": tag})
    assert (again.status_int, again.body) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache"
    assert get(server, "/page/main.js", **{"If-None-Match": '"old"'}).status_int == 200
    assert get(server, "/").headers["ETag"] != tag


def test_head_is_answered_without_a_body(server: Any) -> None:
    answer = webob.Request.blank("/", method="HEAD").get_response(server)
    assert (answer.status_int, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        *("/page/nothing.js", "/page/", "/page/__init__.py", "/page/../page.py"),
        *("/page/..%2fpage.py", "/page/%2e%2e/page.py", "/page//etc/passwd", "/page/main.js%00"),
    ],
)
def test_what_is_no_file_of_the_page_is_not_found(server: Any, path: str) -> None:
    assert get(server, path).status_int == 404


def test_nothing_is_written_to_it(server: Any) -> None:
    for path in ("/", "/page/main.js"):
        refused = webob.Request.blank(path, method="POST").get_response(server)
        assert (refused.status_int, refused.allow) == (405, ("GET", "HEAD"))


def test_every_file_is_served_and_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.package_data"]["ryu_apps"].split()
    installed = {path for pattern in patterns for path in (ROOT / "ryu_apps").glob(pattern)}
    assert sorted(path.name for path in installed if path.parent == page.FOLDER) == FILES


class Seen(HTMLParser):
    """What the markup has."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.named: set[str] = set()  # ids that other elements refer to
        self.inline: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.ids += [given["id"]] if "id" in given else []
        self.links |= {given[key] for key in ("src", "href") if key in given}
        for key in ("aria-labelledby", "aria-describedby", "for"):
            self.named |= set(given.get(key, "").split())
        self.inline += [key for key in given if key == "style" or key.startswith("on")]
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in = ""


@pytest.fixture(scope="module")
def markup() -> Seen:
    seen = Seen()
    seen.feed(HTML)
    return seen


def test_the_markup_has_no_script_or_style_of_its_own(markup: Seen) -> None:
    assert markup.inline == []


def test_the_markup_names_what_there_is(markup: Seen) -> None:
    assert len(markup.ids) == len(set(markup.ids))
    assert markup.named <= set(markup.ids)
    files = {link for link in markup.links if link.startswith("page/")}
    assert files <= {f"page/{name}" for name in FILES}
    assert markup.links - files == {"v1/status", "metrics"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_text_of_text_only(markup: Seen, name: str) -> None:
    source = text(name)
    assert [word for word in FORBIDDEN if word in source] == []
    assert re.findall(r"https?://[^\"' ]*", source) in ([], [SVG])
    imported = re.findall(r'^import [^;]* from "(.*)";$', source, re.MULTILINE)
    assert set(imported) <= {f"./{each}" for each in SCRIPTS}
    assert source.count("import ") == len(imported)
    sought = re.findall(r'(?:getElementById|by)\("([\w-]+)"\)|querySelector\("#([\w-]+)', source)
    assert {one or other for one, other in sought} <= set(markup.ids)
    assert len(source.splitlines()) <= 350


def colours() -> list[dict[str, str]]:
    """The page's colours by name: light, and dark."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", text("page.css"), re.DOTALL)
    )
    return [light, light | dark]


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


TEXTS = {
    "card": ("ink", "faint", "accent", "ok", "warning", "bad"),
    "ground": ("ink", "faint", "accent", "ok", "warning", "bad"),
    "warning-ground": ("ink", "faint", "warning"),
    "bad-ground": ("ink", "faint", "bad"),
    "accent": ("on-accent",),
}
DRAWN = ("faint", "accent", "ok", "warning", "bad", *(f"unit-{number}" for number in range(1, 9)))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_what_is_written_and_drawn_can_be_told_from_what_is_behind(scheme: int) -> None:
    """WCAG 2.2, success criteria 1.4.3 and 1.4.11, level AA."""
    palette = colours()[scheme]
    written = {
        (front, behind): contrast(palette[front], palette[behind])
        for behind, fronts in TEXTS.items()
        for front in fronts
    }
    assert {pair: found for pair, found in written.items() if found < 4.5} == {}
    drawn = {front: contrast(palette[front], palette["card"]) for front in DRAWN}
    assert {front: found for front, found in drawn.items() if found < 3} == {}
