"""Names that a browser, a spreadsheet, a Markdown viewer or a terminal would carry out are shown as text."""

import csv
import re
from html.parser import HTMLParser

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablate import report
from ablate.cli.ending import fail
from ablate.errors import UserError
from ablate.report.overview import collection_summary
from ablate.tables import aligned, comma_separated, markdown, printable

HTML = "<script>document.title='RUN'</script><img src=x onerror=\"document.title='RUN'\">\"><svg onload=alert(1)>"
LINK = "[click](javascript:alert(1)) ![pixel](http://example.org/pixel)"
TERMINAL = "\x1b]0;RUN\x07\x1b[2J\x9b31m\r\u202e$x_1$ | pipe"
HOSTILE = f"{HTML} {LINK} {TERMINAL}"
FORMULA = '=HYPERLINK("http://example.org";"x")'
ACTIVE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


class Elements(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def hostile(renamed_study, judgement_of, tmp_path):
    claim = {"text": HOSTILE, "note": HOSTILE, "source": FORMULA, "published": HOSTILE}
    results = renamed_study(tmp_path, HOSTILE, FORMULA, **claim)
    results.arms[0].refused["runs/a/seed-3"] = HOSTILE
    judgements = [judgement_of(results, claim, "supported", unread=[HOSTILE]) for claim in results.study.claims]
    return results, judgements


def test_the_report_carries_nothing_out(hostile):
    results, judgements = hostile
    page = report.write_report(results, judgements)
    text = page.read_text(encoding="utf-8")
    assert "document.title" in text and not ACTIVE.search(text)
    elements = Elements(text).found
    assert not {tag for tag, _ in elements} & {"script", "img", "iframe", "object", "embed"}
    for tag, attributes in elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert not (attributes.get("href") or "").lower().startswith(("javascript", "http:", "data:t")), attributes
    described = page.with_suffix(".md").read_text(encoding="utf-8")
    assert "<script" not in described and "<img" not in described and "<svg" not in described
    assert "](javascript:" not in described and "](http:" not in described
    assert not ACTIVE.search(described)
    for name in ("table.csv", "verdicts.csv"):
        content = (results.folder / name).read_text(encoding="utf-8")
        assert not ACTIVE.search(content)
        for cell in (cell for row in csv.reader(content.splitlines()) for cell in row):
            assert cell[:1] not in tuple("=@\t"), cell
            assert cell[:1] not in tuple("+-") or float(cell) is not None
    for text in (report.summary(results, judgements), collection_summary([(results, judgements)])):
        assert "document.title" in text and not ACTIVE.search(text)
    events = EventAccumulator(str(results.folder / "tensorboard-arms" / "study"))
    events.Reload()
    (verdicts,) = events.Tensors("verdicts")[0].tensor_proto.string_val
    assert b"document.title" in verdicts and b"<script" not in verdicts and b"](javascript:" not in verdicts


@pytest.mark.parametrize("rows", [[["arm"], [TERMINAL]], [["a", "b"], [TERMINAL, "1"]]])
def test_tables_show_control_characters_as_text(rows):
    for table in (aligned(rows), markdown(rows), comma_separated(rows)):
        assert "\\x1b[2J" in table and "\\u202e" in table and not ACTIVE.search(table)


def test_other_letters_and_line_ends_stay():
    text = "χ² ≤ 3\n日本語\tñ −1 é"
    assert printable(text) == text


def test_an_error_message_shows_control_characters_as_text(capsys):
    with pytest.raises(SystemExit):
        fail(UserError(f"`data.root` holds {TERMINAL}"))
    shown = capsys.readouterr().err
    assert "\\x1b[2J" in shown and not ACTIVE.search(shown)
