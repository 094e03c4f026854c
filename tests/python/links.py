"""Links of README, changelog and docs: where they lead, and whether that is there.

``python tests/python/links.py`` asks the network for the external ones.
"""

from __future__ import annotations

import re
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
THEMES = ("gh-light-mode-only", "gh-dark-mode-only")
"""Fragments of pictures that are shown in one theme only."""
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def targets(page):
    """What the links and pictures of a page name, outside its code."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "", text)
    inline = re.findall(r"\]\(\s*<?([^\s)>]+)", text)
    html = re.findall(r"(?:href|src)=[\"']([^\"']+)", text)
    return inline + html + re.findall(r"^\[[^\]]+\]: (\S+)", text, re.MULTILINE)


def anchors(page):
    """Anchors of the headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = set()
    for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        words = re.sub(r"[^\w\s-]", "", title).strip().lower()
        found.add(re.sub(r"\s", "-", words))
    return found


def external(page):
    return [target for target in targets(page) if urlsplit(target).scheme]


def broken(page):
    """Links to files or headings that are not there, and addresses without a form."""
    wrong = []
    for target in targets(page):
        parts = urlsplit(target)
        if parts.scheme:
            if parts.scheme != "https" or "." not in parts.netloc or "..." in target:
                wrong.append(target)
            continue
        path = (page.parent / parts.path).resolve() if parts.path else page
        inside = path.is_relative_to(ROOT) and path.exists()
        theme = path.suffix == ".svg" and parts.fragment in THEMES
        if not inside or (parts.fragment and not theme and parts.fragment not in anchors(path)):
            wrong.append(target)
    return wrong


def main():
    """Every external link, and what the network says."""
    failed = 0
    for target in sorted({target for page in PAGES for target in external(page)}):
        request = urllib.request.Request(target, method="HEAD", headers={"User-Agent": "links"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                said = str(answer.status)
        except OSError as error:
            said, failed = str(error), failed + 1
        print(f"{said:>6} {target}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
