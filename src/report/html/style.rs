//! How the page looks, in light, dark, on a phone and on paper, and the one script, which copies queries.

pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#59636e;--line:#d1d9e0;--good:#1a7f37;--bad:#c5221f;--open:#8a5a00;--baseline:#59636e;--canary:#0b57b0;--band:#59636e22;--soft:#f3f5f7}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--dim:#9da7b1;--line:#3d444d;--good:#4ac26b;--bad:#ff7b72;--open:#e3b341;--baseline:#b1bac4;--canary:#6cb6ff;--band:#b1bac422;--soft:#161b22}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1.5rem}
header{border-left:.5rem solid;padding:.2rem 0 .2rem 1rem}
h1{margin:0;font-size:1.8rem;line-height:1.2;overflow-wrap:anywhere}
h1 .what{color:var(--fg)}
.verdict{text-transform:uppercase}
.score,.by,.dim,.reason,.query,dt,figcaption{color:var(--dim)}
.score{font-weight:400;font-size:1.1rem}.by{margin:.2rem 0 0;overflow-wrap:anywhere}
.summary,.reasons{overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:1.6rem 0 .4rem}
h3{font-size:1rem;margin:1rem 0 .3rem}
.summary{font-size:1.1rem}
.do{background:var(--soft);border-radius:.5rem;padding:.6rem 1rem;margin:.8rem 0}
.do h2{margin:0}
.do p{margin:.2rem 0}
.banner{border:1px solid var(--open);color:var(--open);border-radius:.4rem;padding:.4rem .8rem;font-weight:600}
.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
.status{font-weight:600;white-space:nowrap}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:middle}
th{color:var(--dim);font-weight:600;white-space:nowrap}
.number{text-align:right;white-space:nowrap}
.name{overflow-wrap:anywhere}
a{color:inherit}
:focus-visible{outline:2px solid var(--canary);outline-offset:2px}
.flag,.tag{border:1px solid var(--line);border-radius:1em;padding:0 .5em;font-size:.85em;color:var(--dim)}
.tag{display:inline-block;margin:.3rem .3rem 0 0;overflow-wrap:anywhere}
details{border-top:1px solid var(--line);padding:.5rem 0}
summary{cursor:pointer;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem}
figure{margin:.5rem 0}
figcaption{font-size:.9em}
pre{background:var(--soft);padding:.5rem;margin:0 0 .6rem;white-space:pre-wrap;overflow-wrap:anywhere}
p.query{margin:.6rem 0 .2rem}
button{font:inherit;font-size:.85em;color:var(--fg);background:var(--bg);border:1px solid var(--dim);border-radius:.3rem;padding:.1rem .6rem;cursor:pointer}
li{overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
dt,dd{overflow-wrap:anywhere}
dd{margin:0}
svg{display:block;max-width:100%;height:auto}
svg.chart{width:100%}
svg.forest{width:220px}
svg text{fill:var(--dim);font:12px system-ui,sans-serif}
svg.forest text{font-size:11px}
path{fill:none;stroke-linecap:round;stroke-linejoin:round}
path.grid{stroke:var(--line)}path.axis{stroke:var(--dim)}
path.baseline{stroke:var(--baseline);stroke-width:1.6;stroke-dasharray:5 3}path.canary{stroke:var(--canary);stroke-width:1.8}
path.limit{stroke:var(--bad);stroke-dasharray:2 4;stroke-width:1.5}text.limit{fill:var(--bad)}
path.release{stroke:var(--open);stroke-width:1.5}text.release{fill:var(--open)}
path.tolerated{stroke:var(--bad);stroke-dasharray:3 2}path.proved{stroke:var(--bad);stroke-dasharray:1 3}
path.interval{stroke:var(--fg);stroke-width:2}circle.shift{fill:var(--canary)}
rect.band{fill:var(--band)}
.key{font-weight:600}.key.baseline{color:var(--baseline)}.key.canary{color:var(--canary)}.key.bound{color:var(--bad)}
.key.baseline::before{content:'╌ '}.key.canary::before{content:'━ '}
.term{position:relative;text-decoration:underline dotted;text-underline-offset:.2em;cursor:help}
.meaning{position:absolute;left:0;top:1.6em;z-index:1;width:max-content;max-width:min(22rem,70vw);padding:.4rem .6rem;background:var(--fg);color:var(--bg);border-radius:.3rem;font:14px/1.4 system-ui,sans-serif;white-space:normal;text-align:left;text-transform:none;visibility:hidden}
.term:hover .meaning,.term:focus .meaning{visibility:visible}
.number .meaning,th:nth-last-child(-n+3) .meaning{left:auto;right:0}
@media(max-width:48rem){
main{padding:1rem}
.metrics table,.metrics tbody,.metrics tr,.metrics td{display:block}
.metrics thead{display:none}
.metrics tr{border-bottom:1px solid var(--line);padding:.6rem 0}
.metrics td{border:0;padding:.1rem 0;text-align:left;overflow-wrap:anywhere;white-space:normal}
.metrics td[data-label]::before{content:attr(data-label) ': ';color:var(--dim)}
dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}
.statistics th,.statistics td{padding:.3rem .25rem}
.meaning{position:fixed;left:1rem;right:1rem;top:auto;bottom:1rem;width:auto;max-width:none}
}
@media print{main{max-width:none;padding:0}details,tr,header,figure{break-inside:avoid}button{display:none}details:not([open])::details-content{content-visibility:visible;display:block}}
";

/// Copies what a button names. Everything can be read, selected and copied without it.
pub(super) const SCRIPT: &str = "for(const b of document.querySelectorAll('button[data-copies]')){b.hidden=false;b.addEventListener('click',async()=>{const t=document.getElementById(b.dataset.copies).textContent;try{await navigator.clipboard.writeText(t);b.textContent='Copied'}catch{const r=document.createRange();r.selectNodeContents(document.getElementById(b.dataset.copies));getSelection().removeAllRanges();getSelection().addRange(r);b.textContent='Selected'}})}";
