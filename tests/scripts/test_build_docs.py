"""The site of the documents is built without a warning, and its links lead to pages and sections that exist."""

import html.parser
import re
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("zensical", reason="the site needs the extra docs: pip install zensical mkdocstrings-python")


class Page(html.parser.HTMLParser):
    """The links of a page, what it loads, and the names of its sections."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.ids = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if tag in ("img", "script") and attributes.get("src"):
            self.loaded.append(attributes["src"])
        if tag == "link" and attributes.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.loaded.append(attributes["href"])


def build(root, out):
    command = [sys.executable, root / "scripts" / "build_docs.py", out]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """{file: Page} of the site."""
    out = tmp_path_factory.mktemp("documents")
    done = build(ROOT, out)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Page(path) for path in (out / "site").rglob("*.html") if path.name != "404.html"}


def local(target):
    return not urllib.parse.urlsplit(target).scheme and not target.startswith("//")


def test_every_page_is_there(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    names = {Path(str(name).replace("README", "index")) for name in pages}
    (root,) = {path.parents[len(name.parts) - 1] for name in names for path in site if path.match(f"site/{name}.html")}
    assert sorted(name for name in names if root / f"{name}.html" not in site) == []


def test_links_and_pictures_exist(site):
    wrong = []
    for path, page in site.items():
        for target in [*page.links, *page.loaded]:
            if not local(target) or target in (".", ""):
                continue
            parts = urllib.parse.urlsplit(target)
            file = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if not file.is_file() or (parts.fragment and file in site and parts.fragment not in site[file].ids):
                wrong.append((path.name, target))
    assert wrong == []
    assert sum(len(page.links) for page in site.values()) > 500


def test_nothing_is_loaded_from_a_network(site):
    assert {target for page in site.values() for target in page.loaded if not local(target)} == set()


def test_the_reference_is_filled_in(site):
    text = {path.stem: path.read_text(encoding="utf-8") for path in site if path.parent.name == "reference"}
    for group in ("activation", "net", "data", "optimizer"):
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            assert f"<code>{path.stem}</code>" in text["levels"], path
    rules = yaml.safe_load((ROOT / "conf/schema/activation.yaml").read_text())["ablate.layers.activation.Maxout"]
    assert rules["num_pieces"].replace("whole", "integer") in text["levels"] and "whole in [" not in text["levels"]
    assert "<code>activation</code>" in text["studies"] and "https://arxiv.org/abs/1502.01852" in text["levels"]
    (python,) = (page for path, page in site.items() if path.stem == "python")
    assert {"ablate.load_net", "ablate.study.claim.Claim", "ablate.training.loop.Callback"} <= python.ids
    assert "&gt;&gt;&gt;" in text["python"] and "<!-- made" not in "".join(text.values())


def test_pages_of_wide_tables_have_no_table_of_contents_beside_them(site):
    """The theme lists a page's sections in a sidebar that `hide: [toc]` marks as hidden."""
    hidden = {
        f"{path.parent.name}/{path.stem}": bool(re.search(r'data-md-type="toc"\s+hidden', path.read_text("utf-8")))
        for path in site
    }
    assert hidden["skips/index"] and hidden["lecture/activation"] and hidden["reference/levels"]
    assert not hidden["tutorials/student"]


def test_a_broken_link_fails(tmp_path):
    """On a copy with two pages, since a whole build takes seconds."""
    for name in ("scripts", "src", "conf", "docs/reference", "docs/tutorials"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "docs/index.md").write_text("# Here\n\n[there](no/such/page.md)\n")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "ablate"\n')
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode == 1 and "page does not exist" in done.stdout
