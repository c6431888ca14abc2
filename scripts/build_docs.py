"""Build the documents as a site: `.venv/bin/python scripts/build_docs.py [OUT]`, by default into build/.

OUT/docs holds the pages with the reference, OUT/src the text whose docstrings it shows, and OUT/site the site:
its index.html is opened from the disk. Needs the extra `docs`. The status is 1 if there is
a warning, such as a link to a page that does not exist.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ablate.config import catalog

ROOT = Path(__file__).resolve().parents[1]
# The modules whose names own code uses, by what it adds.
MODULES = {
    "ablate": "a kept net",
    "ablate.errors": "messages",
    "ablate.study.study": "a study file",
    "ablate.study.claim": "a claim",
    "ablate.study.control": "a control",
    "ablate.nets": "a net",
    "ablate.data.dataset": "data",
    "ablate.training.loop": "a callback",
    "ablate.diagnostics.probe": "a diagnostic",
    "ablate.statistics.effects": "statistics",
}
# Folders whose pages are wide tables: they get the width of the table of contents too.
WIDE = ("lecture", "published", "skips", "reference")
TROUBLE = re.compile(r"\b(?:WARNING|ERROR|Warning|Error)\b|griffe:")


def cell(text: str) -> str:
    """Return text for a cell of a table.

    >>> cell("a | b <c>")
    'a \\\\| b &lt;c>'
    """
    return text.replace("|", "\\|").replace("<", "&lt;")


def linked(text: str) -> str:
    """Return text with arXiv numbers as links.

    >>> linked("He 2015 (arXiv:1502.01852)")
    'He 2015 ([arXiv:1502.01852](https://arxiv.org/abs/1502.01852))'
    """
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def in_words(rule: str) -> str:
    """Return a rule of conf/schema with "integer" for `whole`.

    >>> in_words("list of (whole >= 1 or text)")
    'list of (integer >= 1 or text)'
    """
    return re.sub(r"\bwhole\b", "integer", rule)


def rows(where: list[Path], group: str, default: str = "") -> list[str]:
    """Return a table with a row for each level of a group."""
    lines = ["| name | what | source |", "|---|---|---|"]
    for level, path in catalog.levels(where, group).items():
        what, source = catalog.caption(path)
        mark = " (default)" if level == default else ""
        lines.append(f"| `{level}`{mark} | {cell(what)} | {linked(cell(source))} |")
    return [*lines, ""]


def levels() -> str:
    """Return a section for each group: its levels, and the rules of its keys, with "integer" for `whole`."""
    lines = []
    for group, default in catalog.default_levels().items():
        lines += [f"## {group}", "", *rows(catalog.folders(), group, default)]
        schema = catalog.conf_dir() / "schema" / f"{group}.yaml"
        rules: dict[str, Any] = yaml.safe_load(schema.read_text(encoding="utf-8")) if schema.exists() else {}
        for target, keys in rules.items():
            if keys:
                lines += [f"`{target}`", "", "| key | rule |", "|---|---|"]
                lines += [f"| `{key}` | {cell(in_words(str(rule)))} |" for key, rule in keys.items()]
                lines.append("")
    return "\n".join(lines)


def studies() -> str:
    """Return a section for each kind of file of the lecture: studies, claims, figures, recipes."""
    lines = []
    for group in ("study", "claim", "figure", "recipe"):
        lines += [f"## {group}", "", *rows(catalog.folders(), group)]
    return "\n".join(lines)


def python() -> str:
    """Return the directives that mkdocstrings replaces with the docstrings."""
    listed = [f"| `{module}` | {what} |" for module, what in MODULES.items()]
    table = ["| module | for |", "|---|---|", *listed]
    return "\n".join([*table, "", *(f"::: {module}\n" for module in MODULES)])


def readable(source: str) -> str:
    """Return a module's text with the examples of its docstrings as griffe recognizes them.

    >>> readable("    Example:\\n        >>> 1")
    '    Examples:\\n        >>> 1'
    """
    source = re.sub(r"(?m)^( +)Example:$", r"\1Examples:", source)
    return re.sub(r"\n\n( +)(>>> .*?)(?=\n *\n|\n *\"{3})", r"\n\n\1```pycon\n\1\2\n\1```", source, flags=re.DOTALL)


def prepare(out: Path) -> Path:
    """Write the pages and the configuration into `out`, and return the configuration."""
    for name in ("docs", "site", "src"):
        shutil.rmtree(out / name, ignore_errors=True)
    shutil.copytree(ROOT / "docs", out / "docs")
    for make in (levels, studies, python):
        page = out / "docs" / "reference" / f"{make.__name__}.md"
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(f"<!-- made: {make.__name__} -->", make()), encoding="utf-8")
    for path in (page for name in WIDE for page in (out / "docs" / name).glob("*.md")):
        path.write_text(f"---\nhide: [toc]\n---\n\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    shutil.copytree(ROOT / "src", out / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (out / "src").rglob("*.py"):
        path.write_text(readable(path.read_text(encoding="utf-8")), encoding="utf-8")
    return Path(shutil.copy(ROOT / "zensical.toml", out))


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(prepare(out))]
    done = subprocess.run(command, cwd=out, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout, end="")
    if done.returncode or TROUBLE.search(done.stdout):  # --strict does not count what mkdocstrings reports
        return 1
    print(f"open {out / 'site' / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
