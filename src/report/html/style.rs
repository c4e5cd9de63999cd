//! The page's style sheet, and the one script that it may run.

/// Copies a query. Nothing on the page needs it: without it the buttons stay hidden.
pub(super) const SCRIPT: &str = "
for(const b of document.querySelectorAll('button.copy')){
b.hidden=false
b.addEventListener('click',async()=>{
const c=document.getElementById(b.dataset.copy),r=document.createRange()
r.selectNodeContents(c);getSelection().removeAllRanges();getSelection().addRange(r)
try{await navigator.clipboard.writeText(c.textContent);b.textContent='Copied'}catch{b.textContent='Selected'}
})}
";

pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--card:#f6f8fa;--dim:#57606a;--line:#d1d9e0;--good:#176f2e;--bad:#b3201b;--open:#7d5200;--baseline:#6b7480;--canary:#0b57b0;--band:#d7dde4;--link:#0b57b0}
@media screen and (prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--card:#161b22;--dim:#9ba3ac;--line:#3d444d;--good:#4ac26b;--bad:#ff8078;--open:#e3b341;--baseline:#9198a1;--canary:#6cb6ff;--band:#2b333d;--link:#6cb6ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:72rem;margin:0 auto;padding:1.5rem}
header{border-left:.5rem solid;padding:.2rem 0 .2rem 1rem}
h1{margin:0;font-size:1.9rem;line-height:1.2}
h1 .subject{color:var(--fg)}
h1 .verdict{text-transform:uppercase;white-space:nowrap}.whole{white-space:nowrap}
h2{font-size:1.15rem;margin:1.6rem 0 .4rem}h4{margin:1rem 0 .2rem;font-size:.95rem}
p{margin:.4rem 0}ul{margin:.3rem 0;padding-left:1.3rem}
.dim,.when,dt,caption{color:var(--dim)}.dim{font-weight:400}
.summary{font-size:1.15rem;margin:.8rem 0}
.todo{border:1px solid var(--line);border-radius:.5rem;background:var(--card);padding:.6rem 1rem}
.todo h2{margin:0}.worst li{margin:.2rem 0}
.advice{border:1px solid var(--open);color:var(--open);border-radius:.4rem;padding:.4rem .8rem;font-weight:600}
.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
.status{font-weight:600}
.tags{list-style:none;color:var(--fg);padding:0;display:flex;flex-wrap:wrap;gap:.3rem}
.tags li{border:1px solid var(--line);border-radius:.4rem;padding:0 .5em;font-size:.9em;max-width:100%}
a{color:var(--link)}
.flag{border:1px solid var(--line);border-radius:1em;padding:0 .5em;font-size:.85em;color:var(--dim)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:help}
.term{border-bottom:1px dotted;color:inherit;text-align:left}
.copy{border:1px solid var(--dim);border-radius:.3rem;padding:0 .6em;cursor:pointer;color:var(--fg)}
.meaning{max-width:min(32rem,90vw);border:1px solid var(--dim);border-radius:.5rem;background:var(--card);color:var(--fg);padding:.6rem 1rem}
dfn{font-style:normal;font-weight:600}
.metrics{list-style:none;margin:0;padding:0}
.metrics>li{border-top:1px solid var(--line)}
.line{display:grid;grid-template-columns:7rem minmax(0,1fr) minmax(0,15rem) 15rem;gap:.2rem 1rem;align-items:center}
.head{font-size:.9rem;color:var(--dim);font-weight:600;padding:.3rem 0 .3rem 1.2rem;align-items:end}
.ends{display:flex;justify-content:space-between;font-weight:400}
summary{display:block;cursor:pointer;padding:.5rem 0 .5rem 1.2rem;position:relative}
summary::-webkit-details-marker{display:none}
summary::before{content:'';position:absolute;left:.2rem;top:50%;width:.4rem;height:.4rem;border:solid var(--dim);border-width:0 2px 2px 0;transform:translateY(-60%) rotate(-45deg)}
details[open]>summary::before{transform:translateY(-60%) rotate(45deg)}
summary:hover{background:var(--card)}
.name{font-weight:600}
.change .dim{display:block;font-size:.9em}
.detail{padding:.2rem 0 1.2rem 1.2rem}.detail ul{list-style:disc}
.finding{font-size:1.05rem}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem 2rem;align-items:start}
figure{margin:.6rem 0;min-width:0}
figcaption{font-size:.9rem;color:var(--dim)}
.key{margin-right:.8em;white-space:nowrap}figcaption p{margin:.1rem 0}figcaption .term+.key{margin-left:.8em}
.key::before{content:'';display:inline-block;width:1.2em;height:0;border-top:3px solid;vertical-align:middle;margin-right:.3em}
.key.baseline::before{border-color:var(--baseline);border-top-width:2px}.key.canary::before{border-color:var(--canary)}
.key.limit::before{border-color:var(--bad);border-top:2px dashed var(--bad)}
.key.usual::before{border-color:var(--band);border-top-width:.8em}
svg{display:block;width:100%;height:auto;overflow:visible}
text{font:12px system-ui,sans-serif;fill:var(--dim);paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}
path{fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}
.grid path{stroke:var(--line);stroke-width:.7}.axis path{stroke:var(--dim);stroke-width:1}
path.baseline{stroke:var(--baseline);stroke-width:1.4}path.canary{stroke:var(--canary);stroke-width:2.2}
path.limit{stroke:var(--bad);stroke-width:1.4;stroke-dasharray:6 4}path.released{stroke:var(--open);stroke-dasharray:2 3}
rect.usual{fill:var(--band)}
circle.baseline{fill:var(--baseline)}circle.canary{fill:var(--canary)}circle.worst{fill:var(--bad);stroke:var(--fg)}
.forest .zero{stroke:var(--dim);stroke-width:1}.forest .tolerance{stroke:var(--bad);stroke-width:1.2;stroke-dasharray:3 3}
.forest .proved{stroke:var(--bad);stroke-width:2.5}.forest .interval{stroke:var(--fg);stroke-width:1.6}.forest .shift{fill:var(--fg)}
.numbers{border-collapse:collapse;width:100%;max-width:36rem;margin:.4rem 0;font-variant-numeric:tabular-nums}
.numbers caption{text-align:left;font-size:.9rem;padding:.2rem 0}
.numbers th,.numbers td{text-align:right;padding:.2rem .4rem;border-bottom:1px solid var(--line)}
.numbers th:first-child{text-align:left}
.numbers th{font-weight:400}thead th{color:var(--dim)}
pre{background:var(--card);border:1px solid var(--line);border-radius:.3rem;padding:.5rem;margin:.2rem 0 .8rem;white-space:pre-wrap}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1rem}
dd{margin:0}
@media screen and (max-width:48rem){
main{padding:1rem}h1{font-size:1.5rem}
.line{grid-template-columns:minmax(0,1fr) auto}
.line .name{grid-row:1;grid-column:1}.line .status{grid-row:1;grid-column:2}
.line .change,.line .scale{grid-column:1/-1}
.head>span:nth-child(2),.head>span:nth-child(3){display:none}
.head>span{grid-column:1/-1}
.change .dim{display:inline}
.detail{padding-left:0}
figure text{font-size:15px}
dl{grid-template-columns:minmax(0,1fr)}dd{margin-bottom:.4rem}
}
@media print{
html,body{font-size:11px}main{max-width:none;padding:0}
.columns{grid-template-columns:1fr 1fr}
figure,summary,header,.todo,.numbers{break-inside:avoid}
.copy{display:none}
rect.usual{print-color-adjust:exact}
.meaning{display:block;position:static;border:0;padding:0;margin:0;max-width:none;width:auto;height:auto}
}
";
