"""How the page looks, light and dark, wide and narrow, and how it changes its language."""

STYLE = """
:root { --ink: #1f2933; --soft: #52606d; --line: #dde2e7; --ground: #fff; --card: #f4f6f8; --link: #2563a8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaee; --soft: #9fb0c0; --line: #2b3640; --ground: #12181d; --card: #1c252d;
    --link: #7fb2ea }
}
* { box-sizing: border-box }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100% }
html[lang="en"] [lang="zh-Hant-TW"], html[lang="zh-Hant-TW"] [lang="en"] { display: none }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 17px/1.65 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang TC",
    "Microsoft JhengHei", "Noto Sans TC", "Noto Sans CJK TC", sans-serif }
header, section, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 1.5rem }
h1 { font-size: 2rem; line-height: 1.2; margin: 1.4rem 0 .6rem; letter-spacing: -.01em }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 1rem }
h2 b { color: var(--soft); font-weight: 400; margin-right: .6rem }
p { margin: 0 0 .8rem; max-width: 44rem }
.lead, footer { color: var(--soft) }
a { color: var(--link) }
.languages { text-align: right }
button { font: inherit; font-size: .88rem; color: var(--link); background: none; border: 0;
  padding: .3rem .5rem; cursor: pointer; border-radius: 6px }
button[aria-pressed="true"] { color: var(--ink); background: var(--card) }
nav { display: flex; flex-wrap: wrap; gap: .45rem; margin: 1.2rem 0 0 }
nav a { border: 1px solid var(--line); border-radius: 99rem; padding: .22rem .85rem; text-decoration: none;
  font-size: .88rem }
nav b { color: var(--soft); font-weight: 400; margin-right: .4rem }
nav a:hover { background: var(--card) }
section { padding-top: 3.2rem }
figure { margin: 0 0 1.2rem; background: #fff; border: 1px solid var(--line); border-radius: 12px;
  padding: .8rem; overflow-x: auto }
figure img { display: block; width: 100%; height: auto; margin: 0 auto }
#a img, #g img { max-width: 46rem }
dl { margin: 0; max-width: 46rem }
dt { font-weight: 650; margin: .2rem 0 .1rem }
dd { margin: 0 0 .9rem }
footer { padding-top: 3rem; padding-bottom: 3rem; font-size: .9rem }
code { background: var(--card); border-radius: 5px; padding: .08rem .35rem; font-size: .9em }
@media (max-width: 38rem) {
  body { font-size: 16px } h1 { font-size: 1.6rem }
  figure { padding: .3rem } figure img { width: 44rem; max-width: none } #a img, #g img { width: 100% }
}
"""
# The reader's own language first; a choice stays for the visit.
SCRIPT = """
const use = code => {
  document.documentElement.lang = code
  for (const b of document.querySelectorAll('[data-lang]'))
    b.setAttribute('aria-pressed', b.dataset.lang === code)
}
addEventListener('DOMContentLoaded', () => {
  for (const b of document.querySelectorAll('[data-lang]'))
    b.addEventListener('click', () => use(b.dataset.lang))
  use(/^zh/i.test(navigator.language) || location.hash === '#zh' ? 'zh-Hant-TW' : 'en')
})
"""
