"""The verdicts on committed pages are those of the records packed beside them, by the present rules."""

from pathlib import Path

import pytest

from ablate.cli.verify import verify_command
from ablate.config import catalog

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAMES = ["lecture", "lecture/again", "lecture/quick", "published", "skips"]  # folders with records


def test_every_archive_is_checked():
    assert sorted(path.parent.relative_to(DOCS).as_posix() for path in DOCS.rglob("records.tar.*")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_pages_records_and_verdicts_agree(name, capsys):
    agree = verify_command([str(DOCS / name)], catalog.folders())
    shown = capsys.readouterr().out
    assert agree, shown
    assert "pages beside records.tar.xz" in shown


@pytest.mark.parametrize("name", NAMES)
def test_archives_are_small(name):
    assert (DOCS / name / "records.tar.xz").stat().st_size < 5 * 2**20
