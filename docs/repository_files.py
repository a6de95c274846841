"""Gives the site every file of the repository that a page links to, so that links work there as on GitHub.

A text file becomes a page that shows it, a folder a page that lists it, a picture stays one. MkDocs calls
these functions (`hooks` of mkdocs.yml).
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\((?P<path>(?:\.\./)[^)#\s]+|[\w./-]+/)\)")
LANGUAGES = {".py": "python", ".md": "markdown", ".csv": "text", ".json": "json", ".yaml": "yaml", "": "text"}
FOLDER = "repository"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what the pages link to."""
    pages = [each for each in files.documentation_pages() if each.abs_src_path]
    linked = {match["path"] for page in pages for match in LINK.finditer(page.content_string)}
    for target in {(ROOT / "docs" / path).resolve() for path in linked}:
        name = _name(target)
        if name.endswith(".md"):
            files.append(File.generated(config, name, content=_shown(target)))
        else:
            files.append(File.generated(config, name, abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads the links to what was added."""
    if page.file.src_uri.startswith(FOLDER):
        return markdown
    return LINK.sub(lambda match: f"]({_name((ROOT / 'docs' / match['path']).resolve())})", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Leads the links of the entropy lab's own page to the pages of the site."""
    lab = Path(config.site_dir, "lab.html")
    lab.write_text(lab.read_text("utf-8").replace('.md"', '.html"'), "utf-8")


def _name(target: Path) -> str:
    """The place in the site."""
    name = f"{FOLDER}/{target.relative_to(ROOT).as_posix()}"
    return f"{name}.md" if target.is_dir() or target.suffix in LANGUAGES else name


def _shown(target: Path) -> str:
    """The page of a text file or a folder."""
    is_folder = target.is_dir()
    text = (
        "\n".join(sorted(each.name for each in target.iterdir())) if is_folder else target.read_text("utf-8")
    )
    fence, language = "`" * 5, LANGUAGES.get(target.suffix, "text")
    front = "---\nsearch:\n  exclude: true\n---\n"
    return f"{front}# {target.relative_to(ROOT).as_posix()}\n\n{fence}{language}\n{text}\n{fence}\n"
