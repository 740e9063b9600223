"""The project's pages: links lead somewhere, and what has a name in the code has a row."""

import re
from pathlib import Path

import pytest

from ryu_apps.core.limits import Limit
from ryu_apps.core.pipeline import ROWS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def prose(page: Path) -> str:
    """Without blocks of code, in which nothing is a link or a heading."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings; the second of a name has a number."""
    found: list[str] = []
    for title in re.findall(r"^#+ (.+)$", prose(page), re.M):
        words = re.sub(r"\]\([^)]*\)", "", title)
        anchor = re.sub(r"[^\w -]", "", words.lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if re.match(r"\w+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_of_code_ends_before_the_next_begins(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text(), re.M)
    assert len(fences) % 2 == 0
    assert [fence for fence in fences[1::2] if fence] == []


def test_every_drop_has_a_row() -> None:
    page = (ROOT / "docs" / "pipeline.md").read_text()
    table = page.split("## Drops, by name", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"`((?:drop|limit)_\w+)`", table)
    dropping = {row.name for row in ROWS if row.name.startswith("drop_")}
    assert sorted(listed) == sorted(dropping | {f"limit_{limit.name.lower()}" for limit in Limit})
