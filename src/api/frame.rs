//! The frame of every page: head, style, and the links between them.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A page. With `refresh` the browser loads it again after so many seconds.
pub(super) fn page(title: &str, refresh: Option<u32>, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'";
                @if let Some(seconds) = refresh { meta http-equiv="refresh" content=(seconds); }
                title { (title) " - Haldane" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                nav aria-label="Pages" { a href="/" { "Haldane" } a href="/docs" { "API" } a href="/metrics" { "Metrics" } }
                main { (body) }
            }
        }
    }
    .into_string()
}

const STYLE: &str = "
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#59636e;--line:#d1d9e0;--good:#1a7f37;--bad:#c5221f;--open:#8a5a00;--link:#0b57b0}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--dim:#9198a1;--line:#3d444d;--good:#4ac26b;--bad:#ff7b72;--open:#e3b341;--link:#6cb6ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
nav{display:flex;gap:1.5rem;padding:.6rem 1.5rem;border-bottom:1px solid var(--line)}
nav a:first-child{font-weight:700;color:var(--fg);text-decoration:none}
main{max-width:64rem;margin:0 auto;padding:1rem 1.5rem 3rem}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1.4rem 0 .3rem;overflow-wrap:anywhere}
a{color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.dim{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
.word{font-weight:600;white-space:nowrap}
.tag{display:inline-block;border:1px solid var(--line);border-radius:1em;padding:0 .5em;margin:0 .3em .2em 0;font-size:.85em;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{color:var(--dim);font-weight:600;white-space:nowrap}
td time{white-space:nowrap}
pre{background:color-mix(in srgb,var(--fg) 6%,transparent);padding:.6rem;white-space:pre-wrap;overflow-wrap:anywhere}
code{overflow-wrap:anywhere}p.dim>code,td summary{white-space:nowrap}
form{display:grid;gap:.8rem;grid-template-columns:1fr 1fr}
form .wide{grid-column:1/-1}
form .row{grid-column:1/-1;display:flex;flex-wrap:wrap;gap:1rem}
label{display:grid;gap:.2rem;font-weight:600}
label small{font-weight:400;color:var(--dim)}
textarea,input,select,button{font:inherit;font-weight:400;color:inherit;background:var(--bg);border:1px solid var(--dim);border-radius:.3rem;padding:.4rem;max-width:100%}
textarea{min-height:9rem;font-family:ui-monospace,monospace}
button{background:var(--link);color:var(--bg);border-color:var(--link);padding:.5rem 1.2rem;font-weight:600;cursor:pointer;justify-self:start}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1rem}dd{margin:0}
@media(max-width:40rem){
form{grid-template-columns:1fr}main{padding:1rem}dl{grid-template-columns:minmax(0,1fr)}
table,tbody,tr,td{display:block}thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
tr{border-bottom:1px solid var(--line);padding:.5rem 0}td{border:0;padding:.1rem 0}td[data-column]::before{content:attr(data-column) ': ';color:var(--dim)}
}
";
