"""The page's style sheet: light and dark by the reader's own setting, one column on a phone."""

from sac_lightning.core.plots import GRID, INK
from sac_lightning.report.look import EDGE, SERIES, SERIES_ON_DARK


def _variables(ink: str, muted: str, grid: str, edge: str, series: tuple[str, ...]) -> str:
    named = {"ink": ink, "muted": muted, "grid": grid, "edge": edge}
    named |= {f"series-{place}": colour for place, colour in enumerate(series)}
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())


LIGHT = _variables(INK, "#5a6772", GRID, EDGE, SERIES) + " --page: #f5f7f9; --card: #ffffff; --code: #eef1f4;"
DARK = (
    _variables("#e6eaee", "#9fadba", "#2a343d", "#44515c", SERIES_ON_DARK)
    + " --page: #0f1419; --card: #182028; --code: #232d36;"
)
STYLE = (
    f""":root {{ color-scheme: light dark; {LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
"""
    + """* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0 0 8px; font-size: 34px; line-height: 1.15; letter-spacing: -0.02em; }
h2 { margin: 0 0 16px; font-size: 22px; letter-spacing: -0.01em; }
p { margin: 0 0 8px; }
.muted, figcaption, dd { color: var(--muted); }
.kicker {
  margin: 0 0 4px; font-size: 12.5px; font-weight: 600; letter-spacing: 0.08em; text-transform: uppercase;
  color: var(--muted);
}
.badges { display: flex; flex-wrap: wrap; gap: 8px; margin: 12px 0; }
.badge { padding: 2px 12px; border-radius: 999px; border: 1px solid var(--edge); font-size: 14px; }
.badge::before { content: "● "; color: var(--muted); }
.badge.done::before { content: "✓ "; color: var(--series-2); }
.badge.failed { font-weight: 600; }
.badge.failed::before { content: "✕ "; color: var(--series-1); }
section, details { margin-top: 40px; }
details details, section details { margin-top: 24px; }
summary { cursor: pointer; font-weight: 600; font-size: 17px; padding: 6px 0; }
code {
  padding: 1px 5px; border-radius: 5px; background: var(--code); font-size: 0.9em;
  overflow-wrap: anywhere;
}
.best, figure, .scroll { background: var(--card); border: 1px solid var(--grid); border-radius: 12px; }
.best { padding: 18px 20px; margin-bottom: 20px; }
.best p { margin: 0 0 4px; }
.score { font-size: 30px; letter-spacing: -0.01em; font-variant-numeric: tabular-nums; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 20px; }
.figures, .scroll { margin-top: 20px; }
figure { margin: 0; padding: 16px 16px 14px; display: flex; flex-direction: column; }
figure svg { display: block; width: 100%; height: auto; margin: auto 0; }
figure svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif !important; }
figcaption { padding-top: 10px; font-size: 14px; line-height: 1.45; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 14.5px; }
th, td { padding: 9px 14px; text-align: left; vertical-align: top; border-bottom: 1px solid var(--grid); }
tbody tr:last-child td { border-bottom: 0; }
th { font-size: 13px; font-weight: 600; color: var(--muted); white-space: nowrap; }
td { font-variant-numeric: tabular-nums; }
.n { text-align: right; white-space: nowrap; }
.groups tbody tr:first-child td { font-weight: 600; }
.groups td:first-child, .reasons td:last-child, .pairs th, .pairs td:first-child { min-width: 200px; }
.pairs th { white-space: normal; }
dl { display: grid; grid-template-columns: minmax(180px, 240px) 1fr; gap: 10px 24px; margin: 0; }
dt { font-weight: 600; }
dd { margin: 0; }
ul { margin: 0; padding-left: 20px; }
@media (max-width: 640px) {
  main { padding: 20px 14px 48px; }
  h1 { font-size: 28px; }
  figure { padding: 12px 6px; }
  figcaption { padding-left: 6px; padding-right: 6px; }
  th, td { padding: 8px 9px; }
  .groups td:first-child { min-width: 130px; }
  dl { grid-template-columns: 1fr; gap: 2px; }
  dd { margin-bottom: 12px; }
}
@media print { body { background: none; } figure { break-inside: avoid; } }
"""
)
