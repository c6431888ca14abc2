"""A worker of a page on the disk, and a slide opened directly, in the Chromium that takes the documents' pictures."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("tornado", reason="the browser is driven with tornado: pip install tornado")
if not (shutil.which("chromium") or shutil.which("chromium-browser")):
    pytest.skip("there is no Chromium here", allow_module_level=True)

WORKER = "self.onmessage = ({data}) => self.postMessage(`${data} and back`)"
PAGE = """<!doctype html><body><script src="assets/iframe-worker.js"></script>
<script>
    const worker = new Worker("./assets/workers/echo.js")
    worker.onmessage = ({data}) => { document.title = data }
    worker.postMessage("there")
</script>"""
DECK = (ROOT / "src" / "ablate" / "report" / "templates" / "slides.css").read_text()


@pytest.fixture
def pages(tmp_path):
    """A page that uses a worker, and a page with slides."""
    (tmp_path / "assets" / "workers").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "assets" / "iframe-worker.js", tmp_path / "assets")
    (tmp_path / "assets" / "workers" / "echo.js").write_text(WORKER)
    (tmp_path / "worker.html").write_text(PAGE)
    slides = "".join(f'<section class="slide" id="slide-{i}"><h1>claim {i}</h1></section>' for i in range(4))
    deck = f'<!doctype html><style>{DECK}</style><body><p>the report</p><div class="deck">{slides}</div></body>'
    (tmp_path / "deck.html").write_text(deck)
    return tmp_path


def test_a_page_on_a_disk_has_a_worker_and_shows_its_slide(pages, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import screenshots

    async def look():
        async with screenshots.browser() as page:
            await page.open((pages / "worker.html").as_uri(), 800, 600)
            await page.until("document.title === 'there and back'")
            await page.open((pages / "deck.html").as_uri() + "#slide-2", 800, 600)
            return await page.value("document.elementFromPoint(400, 300).closest('section').id")

    assert asyncio.run(look()) == "slide-2"
    del sys.modules["screenshots"]
