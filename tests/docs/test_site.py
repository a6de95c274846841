"""The site of docs/ is built without a warning, and all of its links lead somewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]


class Links(HTMLParser):
    """What a page links to and loads, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        elif tag != "a":
            self.loads |= {found[name] for name in ("src", "href") if name in found}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of nothing but the repository's own files."""
    out = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(out), strict=True))  # raises for a warning
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    return {path: Links(path) for path in site.rglob("*.html")}


def test_every_internal_link_leads_to_a_file_and_an_anchor_of_it(
    site: Path, pages: dict[Path, Links]
) -> None:
    broken = []
    for page, content in pages.items():
        if page.name == "404.html":  # its links are absolute: it is shown at any address
            continue
        for link in content.links | content.loads:
            place, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", place):
                continue
            target = (page.parent / unquote(place)).resolve() if place else page
            target = target / "index.html" if target.is_dir() else target
            known = pages.get(target)
            if not target.is_file() or (anchor and known and unquote(anchor) not in known.anchors):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []
    assert len(pages) > 25


def test_pages_load_nothing_from_the_network(pages: dict[Path, Links]) -> None:
    assert [link for each in pages.values() for link in each.loads if re.match("(https?:)?//", link)] == []


def test_every_page_of_docs_is_in_the_navigation(site: Path) -> None:
    linked = Links(site / "index.html").links
    for page in (ROOT / "docs").glob("*.md"):
        assert page.with_suffix(".html").name in linked | {"index.html"}, (
            f"{page.name} needs a line in mkdocs.yml"
        )


def test_the_reference_has_the_text_of_the_docstrings(site: Path) -> None:
    text = (site / "api.html").read_text(encoding="utf-8")
    for name in ("SACModule", "ReplayDataModule", "EnvConfig", "TanhNormal", "Tes", "Simba", "QuantileValue"):
        assert re.search(rf'<h3[^>]* id="sac_lightning\.[\w.]*{name}"', text), name
    assert "gradient updates for each env step after" in text  # utd_ratio


def test_the_reference_has_every_class_that_a_config_can_choose() -> None:
    groups = "alpha encoder head normalization optimizer pessimism replay target_entropy target_network "
    groups += "torso value_head"
    files = (file for group in groups.split() for file in (ROOT / "conf" / group).rglob("*.yaml"))
    chosen = {
        name
        for file in files
        for name in re.findall(r"^_target_: (sac_lightning[\w.]+)", file.read_text(), re.M)
    }
    listed = set((ROOT / "docs" / "api.md").read_text(encoding="utf-8").replace("::: ", "").splitlines())
    assert sorted({name.removesuffix(".for_action") for name in chosen} - listed) == []
