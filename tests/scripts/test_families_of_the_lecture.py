"""The lecture's page and the simulated page state the lecture's families correctly."""

import re
from collections import Counter
from pathlib import Path

from ablate.config import catalog
from ablate.study.files import parts_of, read_study, with_claims, with_profile
from ablate.study.study import parse

ROOT = Path(__file__).resolve().parents[2]


def families() -> Counter[tuple[str, str]]:
    """How many claims are tested in each family of the lecture."""
    studies, files = (catalog.levels(catalog.folders(), group) for group in ("study", "claim"))
    found: Counter[tuple[str, str]] = Counter()
    for name in parts_of("lecture", studies):
        content = with_profile(name, read_study(studies[name]), "quick", studies)
        study = parse(name, with_claims(name, content, files))
        found.update((name, claim.family) for claim in study.claims if claim.is_tested)
    return found


def test_the_page_counts_the_families() -> None:
    text = " ".join((ROOT / "docs" / "running_the_lecture.md").read_text(encoding="utf-8").split())
    assert f"16 studies with {len(families())} families of claims" in text


def test_the_simulated_page_is_the_lectures() -> None:
    script = (ROOT / "scripts" / "calibrate.py").read_text(encoding="utf-8")
    sizes = re.search(r"^PAGE = \(([^)]*)\)", script, flags=re.MULTILINE)
    assert sizes is not None
    assert sorted(int(size) for size in sizes[1].split(",")) == sorted(families().values())
