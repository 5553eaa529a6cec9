// The look of a report. The colours of the series are told apart by people with any of the common forms of colour
// blindness, on light and on dark.
#pragma once

namespace dream_cli::study_report {

inline constexpr const char* report_style = R"css(
:root { color-scheme: light dark; --page: #ffffff; --text: #1b1f24; --quiet: #586069; --rule: #d5d9de; --tint: #f4f6f8; --link: #0550ae;
  --c0: #f05216; --c1: #0e315e; --c2: #059b5e; --c3: #822b06; --c4: #d561a7; --c5: #432d22; --c6: #8a0fa9; --c7: #0549fa; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171c; --text: #e7eaee; --quiet: #a5adb8; --rule: #353c46; --tint: #1d222a; --link: #79b8ff;
    --c0: #dd6331; --c1: #6ea1fa; --c2: #35fa81; --c3: #faa305; --c4: #a76a9e; --c5: #facab9; --c6: #8d5cfa; --c7: #bfd9fa; }
}
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
header, nav, main { max-width: 76rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1.6rem 0 .8rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.8rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, li { max-width: 46rem; }
a { color: var(--link); }
code { font: .92em ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; background: var(--tint); padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere; }
pre { background: var(--tint); padding: .7rem .9rem; border-radius: 6px; overflow-x: auto; }
pre code { padding: 0; overflow-wrap: normal; }
nav ol { columns: 20rem; padding-left: 1.9rem; margin: .4rem 0; }
nav li { break-inside: avoid; }
nav a { display: inline-block; padding: .2rem 0; }
.lead { font-size: 1.08rem; }
.note { border-left: 4px solid var(--c0); background: var(--tint); padding: .6rem .9rem; border-radius: 0 6px 6px 0; max-width: 46rem; }
.scroll { overflow-x: auto; margin: 1rem 0 1.4rem; border: 1px solid var(--rule); border-radius: 6px; max-width: 100%; width: fit-content; }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .6rem 0; color: var(--quiet); font-size: .94rem; line-height: 1.45; }
caption div { position: sticky; left: 0; width: fit-content; max-width: min(46rem, calc(100vw - 2.2rem)); padding: 0 .55rem; }

.file { white-space: nowrap; font-size: .9em; opacity: .85; }
th, td { padding: .42rem .55rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--rule); }
thead th { background: var(--tint); vertical-align: bottom; white-space: normal; line-height: 1.3; }
th.words, td.words, tbody th { text-align: left; }
td.words { white-space: normal; min-width: 9rem; }
tbody th { font-weight: 500; position: sticky; left: 0; background: var(--page); min-width: 6rem; max-width: 46vw; white-space: normal; }
thead th:first-child { position: sticky; left: 0; }
figure { margin: 1.2rem 0 1.6rem; }
figcaption { margin-top: .6rem; line-height: 1.45; color: var(--quiet); font-size: .94rem; max-width: 46rem; }
.wide svg { max-width: 46rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem 2rem; }
.panels > div { max-width: 30rem; }
.panels h4 { margin: .4rem 0; font-size: 1rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--text); font-size: 14px; }
svg .tick, svg .value { fill: var(--quiet); font-variant-numeric: tabular-nums; }
svg .title { fill: var(--quiet); }
svg .label { paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; }
svg .label.strong { font-weight: 700; }
svg path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
svg .grid { stroke: var(--rule); stroke-width: 1px; }
svg .axis { stroke: var(--quiet); stroke-width: 1px; }
svg .run { stroke: var(--c); stroke-width: 1px; opacity: .4; }
svg .mean { stroke: var(--c); stroke-width: 2px; }
svg .mean.strong { stroke-width: 3.5px; }
svg .leader { stroke: var(--quiet); stroke-width: 1px; stroke-dasharray: 1 3; }
svg .marker { fill: var(--c); stroke: var(--page); stroke-width: 1px; }
svg .bar { fill: var(--c); stroke: var(--c); stroke-width: 1.5px; }
svg .hollow { fill: var(--page); }
svg .whisker { stroke: var(--text); stroke-width: 2px; }
svg .area { fill: var(--c); fill-opacity: .16; stroke: var(--c); stroke-width: 2px; }
svg .centre { stroke: var(--c); stroke-width: 1.5px; stroke-dasharray: 5 3; }
@media (min-width: 44rem) { .wide svg text { font-size: 10px; } tbody th { min-width: 7.5rem; } }
summary { cursor: pointer; padding: .3rem 0; font-weight: 600; }
footer { max-width: 76rem; margin: 3rem auto 2rem; padding: 1rem; border-top: 1px solid var(--rule); color: var(--quiet); font-size: .94rem; }
@media print { .scroll { overflow: visible; border: 0; } tbody th, thead th:first-child { position: static; } }
)css";

}  // namespace dream_cli::study_report
