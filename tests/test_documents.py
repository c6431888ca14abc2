"""The documents name files that exist: relative links, and paths of the repository."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(r"(?<![\w./-])(?:src|scripts|tests)/[\w./*-]*\w")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_exist(path):
    text = path.read_text(encoding="utf-8")
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []
    named = {re.sub(r"\b[A-Z]+\b", "*", name) for name in PATH.findall(text)}  # NAME stands for any name
    assert sorted(name for name in named if not any(ROOT.glob(name))) == []


def test_links_and_paths_are_found():
    assert LINK.findall("[a](docs/a.md#part) ![b](b.png) [c](https://x.org) [d](#e)") == ["docs/a.md", "b.png"]
    assert PATH.findall("`src/ablate/data/` and scripts/golden.py.") == ["src/ablate/data", "scripts/golden.py"]


def test_every_page_is_listed_in_the_index_and_in_the_site():
    """A page is named by docs/index.md and zensical.toml, or by the README.md of its folder that these name."""
    index = linked(DOCS / "index.md")
    site = pages_of(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    for page in DOCS.glob("**/*.md"):
        name, readme = page.relative_to(DOCS).as_posix(), page.parent / "README.md"
        is_read = readme.exists() and readme.relative_to(DOCS).as_posix() in index & site
        beside = linked(readme) if is_read else set()
        assert name in index | beside | {"index.md"}, f"docs/index.md lists no {name}"
        assert name in site | beside, f"zensical.toml lists no {name}"


def linked(page):
    """Return the pages that a page links to, relative to docs/."""
    targets = [(page.parent / link).resolve() for link in LINK.findall(page.read_text(encoding="utf-8"))]
    return {path.relative_to(DOCS).as_posix() for path in targets if path.is_relative_to(DOCS)}


def pages_of(nav):
    """Return the paths in a navigation of nested lists and {title: path or list}."""
    if isinstance(nav, str):
        return {nav}
    return {path for part in (nav.values() if isinstance(nav, dict) else nav) for path in pages_of(part)}
