"""The documents name files that exist: relative links, and paths of the repository."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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
