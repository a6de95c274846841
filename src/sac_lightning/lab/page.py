"""docs/lab.html: one self-contained page in two languages, a section for each experiment."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sac_lightning.lab.page_style import SCRIPT, STYLE
from sac_lightning.lab.story import Story


@dataclass(frozen=True)
class Language:
    """The page's own words in one language."""

    code: str
    name: str
    title: str
    lead: str
    headings: tuple[str, str, str]
    footer: str


LANGUAGES = (
    Language(
        code="en",
        name="English",
        title="The entropy lab",
        lead="What entropy does in Soft Actor-Critic, shown on small agents that were really trained. "
        "Every figure and every number here is read from a CSV of <code>docs/lab/</code>; "
        "<code>python lab.py</code> makes them all again, in minutes, the same from the same seed.",
        headings=("What was done", "What to see", "What follows"),
        footer="The questions behind the figures, with formulas and lines of code: "
        '<a href="questions.md">questions.md</a>. Entropies are in nats, measured in the unit action box.',
    ),
    Language(
        code="zh-Hant-TW",
        name="繁體中文",
        title="熵的實驗室",
        lead="在 Soft Actor-Critic 裡，熵到底做了什麼？這裡用真正訓練出來的小型 agent 來看。"
        "每張圖、每個數字都取自 <code>docs/lab/</code> 的 CSV；<code>python lab.py</code> "
        "幾分鐘就能全部重做一遍，seed 相同，結果就相同。",
        headings=("做了什麼", "看到什麼", "由此可知"),
        footer='圖背後的問題、公式與程式碼：<a href="questions.zh-TW.md">questions.zh-TW.md</a>。'
        "熵的單位是 nat，在動作正規化到 [−1, 1] 之後計算。",
    ),
)


@dataclass(frozen=True)
class Section:
    """One experiment: its letter, its figure as PNG, its story in every language by code."""

    letter: str
    figure: bytes
    stories: Mapping[str, Story]


def page(sections: Sequence[Section]) -> str:
    """The whole page. Without scripts it is in English."""
    buttons = "".join(f'<button data-lang="{each.code}">{each.name}</button>' for each in LANGUAGES)
    heads = "".join(
        f"<h1{_in(each)}>{each.title}</h1>\n<p class=lead{_in(each)}>{each.lead}</p>\n" for each in LANGUAGES
    )
    links = "".join(f'<a href="#{each.letter}">{_title(each)}</a>' for each in sections)
    footers = "".join(f"<p{_in(each)}>{each.footer}</p>\n" for each in LANGUAGES)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>The entropy lab · 熵的實驗室</title>
<style>{STYLE}</style>
<script>{SCRIPT}</script>
</head>
<body>
<header>
<div class=languages>{buttons}</div>
{heads}<nav>{links}</nav>
</header>
{"".join(_section(each) for each in sections)}<footer>
{footers}</footer>
</body>
</html>
"""


def _in(language: Language) -> str:
    return f' lang="{language.code}"'


def _title(section: Section) -> str:
    titles = [(each, section.stories[each.code].title) for each in LANGUAGES]
    told = "".join(f"<span{_in(each)}>{html.escape(title)}</span>" for each, title in titles)
    return f"<b>{section.letter}</b>{told}"


def _section(section: Section) -> str:
    inlined = base64.b64encode(section.figure).decode()
    parts = "".join(_paragraphs(each, section.stories[each.code]) for each in LANGUAGES)
    alt = html.escape(section.stories[LANGUAGES[0].code].title)
    return f"""<section id="{section.letter}">
<h2>{_title(section)}</h2>
<figure><img alt="{alt}" src="data:image/png;base64,{inlined}"></figure>
{parts}</section>
"""


def _paragraphs(language: Language, story: Story) -> str:
    texts = (story.done, story.see, story.follows)
    told = "".join(
        f"<dt>{heading}</dt><dd>{html.escape(text)}</dd>\n"
        for heading, text in zip(language.headings, texts, strict=True)
    )
    return f"<dl{_in(language)}>\n{told}</dl>\n"
