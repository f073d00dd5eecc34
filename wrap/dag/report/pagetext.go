package report

// The fixed parts of the page. It may load nothing: its policy says so too.
const (
	pageHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>%s</title>
<link rel="icon" href="data:,">
<style>%s</style>
</head>
<main>
`

	pageStyle = `
:root{--bg:#fff;--fg:#18181b;--dim:#5b5b66;--line:#d4d4d8;--soft:#f4f4f5;--ok:#2f8f4e;--bad:#c62f2f;--warn:#b57a00;--path:#7c3aed;--focus:#2563eb;--light:72%}
@media(prefers-color-scheme:dark){:root{--bg:#18181b;--fg:#f4f4f5;--dim:#a1a1aa;--line:#3f3f46;--soft:#27272a;--ok:#4fb871;--bad:#f06a6a;--warn:#e0a83a;--path:#b794f6;--focus:#7aa7ff;--light:42%}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:14px/1.45 system-ui,sans-serif}
main{max-width:1600px;margin:0 auto;padding:16px 24px 48px}
h1{font-size:22px;margin:8px 0}h2{font-size:16px;margin:24px 0 8px}
code,.row,.path,.graph text{font-family:ui-monospace,monospace;font-size:12px}
.badge{font-size:13px;font-weight:600;padding:2px 8px;border-radius:9px;color:var(--bg);background:var(--warn);vertical-align:middle}
.badge.succeeded{background:var(--ok)}.badge.failed{background:var(--bad)}
.dim{color:var(--dim)}
table{border-collapse:collapse}th,td{text-align:left;padding:3px 14px 3px 0;border-bottom:1px solid var(--line)}.num{text-align:right;font-variant-numeric:tabular-nums}
.meter{width:320px}.meter div{height:10px;border-radius:2px;background:var(--dim)}
.swatch{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:7px;background:var(--dim)}
.failures{max-height:200px;overflow:auto}
.path{display:flex;flex-wrap:wrap;list-style:none;padding:0;gap:4px 0;max-height:160px;overflow:auto}
.path li{padding-right:6px}
.tools{display:flex;gap:12px;align-items:center;flex-wrap:wrap;margin:6px 0}
button,input,select{font:inherit;color:inherit;background:var(--soft);border:1px solid var(--line);border-radius:5px;padding:2px 9px}
:focus-visible{outline:2px solid var(--focus);outline-offset:1px}
.timeline{position:relative;height:min(70vh,640px);overflow:auto;border:1px solid var(--line);border-radius:5px}
.axis{position:sticky;top:0;z-index:2;height:22px;background:var(--soft);border-bottom:1px solid var(--line);font-size:11px;color:var(--dim)}
.axis span{position:absolute;top:3px;white-space:nowrap;border-left:1px solid var(--line);padding-left:3px}
.row{position:absolute;left:0;right:0;height:18px;display:flex;cursor:default}
.row.chosen{background:var(--soft)}
.label{flex:0 0 auto;width:260px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;padding:0 8px;line-height:18px}
.label.critical{color:var(--path);font-weight:600}
.bars{position:relative;flex:1 1 auto}
.bars i{position:absolute;top:3px;height:12px;min-width:1px}
.bars i.wait{top:6px;height:6px;opacity:.85}
.bars i.ok{background:var(--ok)}.bars i.failed{background:var(--bad)}.bars i.tolerated{background:var(--warn)}.bars i.open{background:var(--dim)}
.bars i.critical{box-shadow:0 2px 0 var(--path)}
.detail{min-height:4.4em;padding:8px 12px;background:var(--soft);border-radius:5px;margin-top:6px;white-space:pre-wrap;overflow-wrap:anywhere}
.graph{overflow:auto;max-height:75vh;border:1px solid var(--line);border-radius:5px}
.graph rect{fill:var(--soft);stroke:var(--dim)}.graph text{fill:var(--fg)}.graph path{fill:none;stroke:var(--line)}
.graph .succeeded rect{stroke:var(--ok)}.graph .failed rect{stroke:var(--bad);stroke-width:2}.graph .tolerated rect{stroke:var(--warn)}
.graph .skipped rect,.graph .not_run rect,.graph .unselected rect{stroke-dasharray:3 3}
.graph .onpath rect{stroke:var(--path);stroke-width:2.5}.graph path.critical{stroke:var(--path);stroke-width:2.5}
@media(max-width:800px){.label{width:140px}.meter{width:80px}}
@media print{.timeline,.graph{height:auto;max-height:none}}
`

	pageTimelineText = `<section aria-labelledby="time"><h2 id="time">Timeline</h2>
<div class="tools"><label>find <input id="find" type="search" placeholder="step, tag or pool"></label>
<label>order <select id="order"><option value="start">start</option><option value="wait">longest wait</option><option value="took">longest run</option><option value="id">name</option></select></label>
<label><input id="only" type="checkbox"> failed only</label>
<span class="dim"><span id="count">%d</span> attempts. Keys: / finds, ↑ ↓ choose, Home and End, + and − zoom. A thick bar runs, a thin one waits, in the limit's colour.</span></div>
<div class="timeline" id="timeline" tabindex="0" role="listbox" aria-label="timeline of attempts"><div class="axis" id="axis"></div><div id="rows" style="position:relative"></div></div>
<div class="detail" id="detail" aria-live="polite">Choose an attempt to see what it waited for.</div>
<noscript><p>The timeline needs scripts; what is above and below does not.</p></noscript></section>
`
)
