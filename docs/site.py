"""Hooks of the documentation's site (mkdocs.yml)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent


def on_files(files: Any, config: Any) -> None:
    """The navigation: of the pages named, those that exist, and then every other one."""
    pages = {file.src_uri for file in files.documentation_pages()}
    config.nav, named = _existing(config.nav, pages)
    others = sorted(pages - named)
    if others:
        config.nav.append({"More": others})


def _existing(nav: list[Any], pages: set[str]) -> tuple[list[Any], set[str]]:
    kept: list[Any] = []
    named: set[str] = set()
    for entry in nav:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            target, inside = _existing(target, pages)
            named |= inside
        elif target in pages:
            named.add(target)
        else:
            target = None
        if target:
            kept.append({title: target})
    return kept, named


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Links to files of the repository that are no pages lead to the repository."""
    here = DOCS / page.file.src_uri

    def link(found: re.Match[str]) -> str:
        target = (here.parent / found[1]).resolve()
        if target.is_relative_to(DOCS) or not target.is_relative_to(ROOT) or not target.exists():
            return found[0]
        return f"]({config.repo_url}/blob/main/{target.relative_to(ROOT).as_posix()}"

    return re.sub(r"\]\(((?:\.\./)+[\w./-]+)", link, markdown)
