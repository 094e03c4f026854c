"""Look at the built site in a headless browser: phone and laptop, light and dark.

``make docs && python tests/site_check.py --browser /usr/bin/chromium`` fails where a page is wider
than its window, a picture is missing or not loaded, or a text has a contrast below 4.5 (3 for large
text; WCAG 2). ``--shots FOLDER`` keeps a picture of every page. Needs the extra ``site``.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SITE = Path(__file__).parents[1] / "site"
SIZES = {"phone": (390, 844), "laptop": (1280, 800)}
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BROKEN = """[...document.images].filter(i => i.offsetParent !== null)
    .filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.getAttribute('src'))"""
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = c => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255];
  };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = c => {
    const l = c.slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2];
  };
  const behind = e => {
    const stack = [];
    for (; e; e = e.parentElement) stack.push(rgba(getComputedStyle(e).backgroundColor));
    return stack.reverse().reduce((under, c) => over(c, under), [255, 255, 255, 1]);
  };
  const found = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim(), e = texts.currentNode.parentElement;
    if (!text || !e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (e.closest('svg, script, style, .headerlink, [hidden]')) continue;
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (!box.width || !box.height) continue;
    const back = behind(e), ink = over(rgba(style.color), back);
    const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    const least = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) {
      const key = `${e.tagName.toLowerCase()}.${e.className} ${style.color}`;
      found[key] = `${ratio.toFixed(2)} ${key}: ${text.slice(0, 30)}`;
    }
  }
  return Object.values(found);
}"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the folder; its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def wrong(page: Any) -> list[str]:
    """What is wrong with a page."""
    found = []
    if (pixels := page.evaluate(WIDER)) > 0:
        found.append(f"{pixels} pixels wider than the window")
    found += [f"picture not loaded: {source}" for source in page.evaluate(BROKEN)]
    return found + [f"contrast {text}" for text in page.evaluate(CONTRAST)]


def check(browser: Any, address: str, pages: list[str], shots: Path | None) -> int:
    """Look at all pages; the number of wrong ones."""
    failed = 0
    for size, (width, height) in SIZES.items():
        for theme in ("light", "dark"):
            view = {"width": width, "height": height}
            page = browser.new_page(viewport=view, color_scheme=theme)
            for name in pages:
                page.goto(f"{address}/{name}", wait_until="load")
                page.evaluate("document.images.forEach?.(i => i.loading = 'eager')")
                for text in (found := wrong(page)):
                    print(f"{size}, {theme}: {name or 'index'}: {text}")
                failed += bool(found)
                if shots is not None:
                    file = f"{name.strip('/').replace('/', '-') or 'index'}-{size}-{theme}.png"
                    page.screenshot(path=shots / file, full_page=True)
            page.close()
    return failed


def main() -> None:
    """Check the site."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="pages, such as plots/ (all)")
    parser.add_argument("--site", type=Path, default=SITE)
    parser.add_argument("--browser", help="the program of Chromium (that of Playwright)")
    parser.add_argument("--shots", type=Path, help="folder for pictures of the pages")
    given = parser.parse_args()
    if given.shots:
        given.shots.mkdir(parents=True, exist_ok=True)
    found = sorted(given.site.rglob("index.html"))
    pages = [path.parent.relative_to(given.site).as_posix() for path in found]
    names = given.only or ["" if page == "." else f"{page}/" for page in pages]
    with served(given.site) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=given.browser, args=["--no-sandbox"])
        failed = check(browser, address, names, given.shots)
        browser.close()
    print(f"{len(names)} pages, in two sizes and two themes: {failed} with a fault")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
