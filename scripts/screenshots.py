"""Take the pictures of the documents with a Chromium: `.venv/bin/python scripts/screenshots.py --study FOLDER`.

They are the report (wide, on a phone, in the dark, a slide), the first page of a collection, and TensorBoard's tabs
for the study. The status is 1 if the report does not fit a phone, if TensorBoard does not open on accuracy, or if the
site's search finds nothing. `CHROMIUM=/path/to/it` names another browser than that of PATH; the package tornado is
needed, which the extra `dask` brings.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]
ACCURACY = "accuracy"  # the group of TensorBoard that must come first
LIMIT = 60.0  # seconds to wait for a page


class Page:
    """A tab of a browser, driven over its debugging protocol.

    Source: https://chromedevtools.github.io/devtools-protocol/
    """

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection, self.count = connection, 0

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self.count += 1
        await self.connection.write_message(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            answer = json.loads(await self.connection.read_message() or "{}")
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    async def value(self, expression: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        found = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            with contextlib.suppress(RuntimeError):  # the page is being replaced
                if found := await self.value(expression):
                    return found
            await asyncio.sleep(0.2)
        raise TimeoutError(f"not within {LIMIT:g} s: {expression}")

    async def open(self, url: str, width: int, height: int, *, dark: bool = False, scale: float = 1.0) -> None:
        """Show a page in a window of so many pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        await self.send("Page.navigate", url="about:blank")  # a further # alone would load nothing
        await self.send("Page.navigate", url=url)
        await self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    async def save(self, path: Path) -> None:
        """Write what is seen as PNG."""
        shot = await self.send("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))
        print(path)


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """Start a Chromium and return a tab of it, for a `with` block."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        raise SystemExit("screenshots.py needs a Chromium: install it, or name it with CHROMIUM=/path/to/it")
    with tempfile.TemporaryDirectory() as profile:
        command = [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, start_new_session=True, **quiet)
        try:
            port = Path(profile) / "DevToolsActivePort"
            while not port.exists() or not port.read_text():
                await asyncio.sleep(0.1)
            address = f"http://127.0.0.1:{port.read_text().split()[0]}/json/list"
            tabs: list[dict[str, str]] = []
            while not tabs:
                await asyncio.sleep(0.1)
                with contextlib.suppress(OSError), urllib.request.urlopen(address) as answer:
                    tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            connection = await websocket_connect(tabs[0]["webSocketDebuggerUrl"], max_message_size=2**28)
            yield Page(connection)
            connection.close()
        finally:
            process.terminate()
            process.wait()
            # Its other processes may outlive it, and write into the profile while that is removed.
            with contextlib.suppress(ProcessLookupError):
                for _ in range(100):  # at most five seconds: PID 1 of a container may leave zombies in the group
                    os.killpg(process.pid, signal.SIGKILL)
                    await asyncio.sleep(0.05)


@contextlib.contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """Serve the event files of a folder, and return the address, for a `with` block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


async def answering(address: str) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address).close()
            return
        except OSError:
            await asyncio.sleep(0.5)
    raise TimeoutError(f"no answer within {LIMIT:g} s from {address}")


async def report_pictures(page: Page, study: Path, out: Path) -> None:
    """Take the report: wide, on a phone, in the dark, and two slides."""
    report = (study / "report.html").resolve().as_uri()
    await page.open(report, 1180, 900)
    await page.save(out / "report.png")
    await page.open(report, 400, 800, scale=2)
    wide = await page.value("document.documentElement.scrollWidth")
    if wide > 400:
        raise SystemExit(f"{report} is {wide} pixels wide in a window of 400")
    await page.save(out / "report_phone.png")
    await page.open(report, 1180, 900, dark=True)
    await page.save(out / "report_dark.png")
    await page.open(f"{report}?slides#slide-2", 1280, 720)
    await page.save(out / "slide.png")


async def tensorboard_pictures(page: Page, study: Path, out: Path) -> list[str]:
    """Take the tabs of TensorBoard for a study; return the groups of scalars in the order in which they are shown."""
    with tensorboard(study / "tensorboard") as address:
        await answering(address)
        await page.open(f"{address}#timeseries", 1280, 800)
        titles = "[...document.querySelectorAll('metrics-card-group-toolbar')].map(e => e.innerText)"
        groups = await page.until(f"(x => x.length && x)({titles})")
        await page.value("document.querySelector('[aria-label=\"Toggle settings side pane\"]').click()")
        await asyncio.sleep(5)  # the charts are drawn after their titles
        await page.save(out / "tensorboard.png")
        await page.open(f"{address}#hparams", 1280, 800)
        await asyncio.sleep(6)
        await page.save(out / "tensorboard_hparams.png")
    return [re.split(r"[\d\n]", group)[0].strip() for group in groups]  # "accuracy3 cards"


async def hits(page: Page, site: Path, word: str) -> int:
    """Search a site of the documents as it lies on the disk; return how many pages are found.

    The results are in a shadow tree, so all of them are walked.
    """
    await page.open((site / "index.html").resolve().as_uri(), 1280, 800)
    await page.until("typeof __index === 'object'")
    await page.value("document.querySelector('.md-search__button').click()")
    await asyncio.sleep(2)  # the field takes the focus
    await page.send("Input.insertText", text=word)
    count = """(() => {
        let found = 0
        const walk = root => root.querySelectorAll("*").forEach(e => {
            if (e.shadowRoot) walk(e.shadowRoot)
            if (e.tagName === "A" && root !== document && e.href.includes(".html")) found += 1
        })
        walk(document)
        return found
    })()"""
    return int(await page.until(count))


async def take(asked: argparse.Namespace) -> None:
    """Take all pictures that are asked for."""
    out = asked.out
    out.mkdir(parents=True, exist_ok=True)
    async with browser() as page:
        if asked.site is not None:
            print(f"the site as it lies on the disk: {await hits(page, asked.site, 'registration')} pages found")
        if asked.collection is not None:
            await page.open((asked.collection / "report.html").resolve().as_uri(), 1180, 900)
            await page.save(out / "lecture.png")
        if asked.study is not None:
            await report_pictures(page, asked.study, out)
            groups = await tensorboard_pictures(page, asked.study, out)
            print("TensorBoard shows", ", ".join(groups))
            if groups[0] != ACCURACY:
                raise SystemExit(f"TensorBoard must open on the group {ACCURACY}, got {groups[0]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="folder of a finished study with two claims or more")
    parser.add_argument("--collection", type=Path, help="folder of a collection of studies, as the lecture")
    parser.add_argument("--site", type=Path, help="folder of the documents' site; its search is tried without a server")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where the pictures go")
    asyncio.run(take(parser.parse_args()))
