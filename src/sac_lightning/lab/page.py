"""docs/lab.html: one self-contained page, a section for each experiment."""

import base64
import html
from collections.abc import Sequence

from sac_lightning.lab.experiment import Experiment

HEADINGS = ("What was done", "What to see", "What follows")
STYLE = """
:root { --ink: #1f2933; --soft: #52606d; --line: #e4e7eb; --ground: #fff;
  --card: #f7f9fa; --link: #2563a8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaee; --soft: #9fb0c0; --line: #2b3640; --ground: #12181d;
    --card: #1a2229; --link: #7fb2ea }
}
* { box-sizing: border-box }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 17px/1.62 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif }
header, section, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 3rem }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .6rem; letter-spacing: -.01em }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 1rem }
h2 span { color: var(--soft); font-weight: 400; margin-right: .5rem }
p { margin: 0 0 .8rem; max-width: 44rem }
.lead, footer { color: var(--soft) }
a { color: var(--link) }
nav { display: flex; flex-wrap: wrap; gap: .45rem; margin: 1.2rem 0 0 }
nav a { border: 1px solid var(--line); border-radius: 99rem; padding: .22rem .8rem; text-decoration: none;
  font-size: .88rem }
nav a:hover { background: var(--card) }
section { padding-top: 3rem }
figure { margin: 0 0 1.2rem; background: #fff; border: 1px solid var(--line); border-radius: 12px;
  padding: .8rem; overflow-x: auto }
figure img { display: block; width: 100%; height: auto; margin: 0 auto }
dl { margin: 0; max-width: 48rem }
dt { font-weight: 650; margin: .2rem 0 .1rem }
dd { margin: 0 0 .9rem }
footer { padding-top: 3rem; padding-bottom: 3rem; font-size: .9rem }
code { background: var(--card); border-radius: 5px; padding: .08rem .35rem; font-size: .9em }
@media (max-width: 38rem) {
  body { font-size: 16px } header { padding-top: 1.8rem } h1 { font-size: 1.6rem }
  figure { padding: .3rem } figure img { width: 46rem; max-width: none }
}
"""
Section = tuple[Experiment, Sequence[str], bytes]


def page(sections: Sequence[Section]) -> str:
    """The whole page; a section is an experiment, its three paragraphs and its PNG."""
    links = "".join(f'<a href="#{e.letter}">{e.letter} · {html.escape(e.title)}</a>' for e, *_ in sections)
    body = "".join(_section(*section) for section in sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>The entropy lab</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>The entropy lab</h1>
<p class="lead">What entropy does in Soft Actor-Critic, shown on small agents that were really trained.
Every figure and every number here is read from a CSV of <code>docs/lab/</code>; <code>python lab.py</code>
makes them all again, in minutes, the same from the same seed.</p>
<nav>{links}</nav>
</header>
{body}<footer>The questions behind the figures, with formulas and lines of code:
<a href="questions.md">questions.md</a>,
<a href="questions.zh-TW.md" hreflang="zh-Hant-TW">questions.zh-TW.md</a>.
Entropies are in nats, measured in the unit action box.</footer>
</body>
</html>
"""


def _section(experiment: Experiment, paragraphs: Sequence[str], png: bytes) -> str:
    title = html.escape(experiment.title)
    inlined = base64.b64encode(png).decode()
    parts = "".join(
        f"<dt>{heading}</dt><dd>{html.escape(text)}</dd>\n"
        for heading, text in zip(HEADINGS, paragraphs, strict=True)
    )
    return f"""<section id="{experiment.letter}">
<h2><span>{experiment.letter}</span>{title}</h2>
<figure><img alt="{title}" src="data:image/png;base64,{inlined}"></figure>
<dl>
{parts}</dl>
</section>
"""
