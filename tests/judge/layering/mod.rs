//! The rules of ARCHITECTURE that the compiler does not keep: who may name whom, what the pure crate may not touch, no circle of files
//! inside a folder (`circles.rs`), and names (`names.rs`).
//!
//! Sources are read as Rust tokens, so that comments and texts may speak of anything, and every path that they name is resolved
//! to where it starts: `use std::{fs, net}` names `std::fs`, `super::dataset` in `source/prometheus` names `crate::source::dataset`.
//! Items under `#[cfg(test)]` are left out. Every rule comes with a snippet that breaks it and one that does not.

use std::fs;
use std::path::{Path, PathBuf};

mod circles;
mod names;
mod reading;

use reading::Source;

/// A rule: what it forbids, and a snippet each that breaks and keeps it.
struct Rule {
    says: &'static str,
    finds: fn(&Source) -> Vec<String>,
    broken_by: &'static [(&'static str, &'static str)],
    kept_by: &'static [(&'static str, &'static str)],
}

fn any_of(source: &Source, starts: &[&str]) -> Vec<String> {
    starts.iter().flat_map(|start| source.naming(start)).collect()
}

const EDGES: [&str; 3] = ["api", "kayenta", "webhooks"];

const RULES: &[Rule] = &[
    Rule {
        says: "judges reads no clock, environment, file or socket, prints nothing, and draws no chance of its own",
        finds: |source| {
            if !source.is_in(&["judges/src/"]) {
                return Vec::new();
            }
            let impure = [
                "std::fs",
                "std::io",
                "std::net",
                "std::os",
                "std::env",
                "std::process",
                "std::thread",
                "std::time::Instant",
                "std::time::SystemTime",
                "Instant::now",
                "SystemTime::now",
                "Timestamp::now",
                "jiff",
                "chrono",
                "tokio",
                "println",
                "print",
                "eprintln",
                "eprint",
                "dbg",
                "option_env",
                "thread_rng",
                "rand::rng",
                "rand::thread_rng",
                "rand::random",
                "getrandom",
                "OsRng",
            ];
            any_of(source, &impure)
        },
        broken_by: &[
            ("judges/src/haldane.rs", "use std::{collections::BTreeMap, fs};"),
            ("judges/src/haldane.rs", "fn f() { let t = std::time::Instant::now(); }"),
            ("judges/src/haldane.rs", "use std::time::SystemTime;"),
            ("judges/src/stats/rank.rs", "fn f() { println!(\"{}\", 1); }"),
            ("judges/src/stats/rank.rs", "fn f() -> u64 { rand::rng().random() }"),
        ],
        kept_by: &[
            ("judges/src/haldane.rs", "// std::fs\nuse std::time::Duration; const S: &str = \"std::fs\";"),
            ("judges/src/haldane.rs", "#[cfg(test)] mod tests { use std::fs; }"),
            ("src/source/http.rs", "use std::fs;"),
        ],
    },
    Rule {
        says: "judges keeps no state between two judgements, and iterates in no random order",
        finds: |source| {
            if !source.is_in(&["judges/src/"]) {
                return Vec::new();
            }
            let atomic = source.paths.iter().flatten().filter(|s| s.starts_with("Atomic")).cloned();
            let state = ["thread_local", "Mutex", "RwLock", "HashMap", "HashSet", "Cell", "RefCell"];
            let named = source.paths.iter().filter_map(|path| path.iter().find(|s| state.contains(&s.as_str()))).cloned();
            let statics =
                source.paths.windows(2).filter(|pair| pair[0] == ["static"] && pair[1] == ["mut"]).map(|_| "static mut".to_owned());
            atomic.chain(named).chain(statics).collect()
        },
        broken_by: &[
            ("judges/src/haldane.rs", "static mut SEEN: u64 = 0;"),
            ("judges/src/haldane.rs", "use std::collections::{BTreeMap, HashMap};"),
            ("judges/src/haldane.rs", "static SEEN: std::sync::atomic::AtomicU64 = AtomicU64::new(0);"),
        ],
        kept_by: &[("judges/src/haldane.rs", "static NAMES: &[&str] = &[]; fn f(x: &'static str, mut y: u8) {}")],
    },
    Rule {
        says: "stats knows samples, and nothing of configs, evidence or judges",
        finds: |source| {
            if !source.is_in(&["judges/src/stats/", "judges/src/stats.rs"]) {
                return Vec::new();
            }
            let outside = |path: &&Vec<String>| path[0] == "crate" && path.len() > 1 && path[1] != "stats";
            source.paths.iter().filter(outside).map(|path| path.join("::")).collect()
        },
        broken_by: &[
            ("judges/src/stats/rank.rs", "use crate::config::Metric;"),
            ("judges/src/stats/rank.rs", "use super::super::haldane;"),
            ("judges/src/stats/mod.rs", "fn f(limits: &crate::{config::Limits}) {}"),
        ],
        kept_by: &[
            ("judges/src/stats/rank.rs", "use crate::stats::sample::Sample; use super::ties;"),
            ("judges/src/haldane.rs", "use crate::config::Metric;"),
        ],
    },
    Rule {
        says: "source knows nothing of analyses, edges, reports or the command line",
        finds: |source| {
            let known = ["crate::analysis", "crate::api", "crate::kayenta", "crate::webhooks", "crate::report", "crate::cli"];
            if source.is_in(&["src/source/"]) { any_of(source, &known) } else { Vec::new() }
        },
        broken_by: &[
            ("src/source/cache.rs", "use crate::analysis::Request;"),
            ("src/source/prometheus/mod.rs", "use super::super::api::Problem;"),
        ],
        kept_by: &[("src/source/cache.rs", "use super::{Query, Reply};"), ("src/analysis/run.rs", "use crate::analysis::Request;")],
    },
    Rule {
        says: "one metric store never imports another",
        finds: |source| {
            let store = |path: &[String]| match path {
                [root, source, store, ..] if root == "crate" && source == "source" => Some(store.clone()),
                _ => None,
            };
            // What lies beside the stores (`http/`, `cache.rs`) is shared by them; a store is a folder with a wire format.
            let Some(own) = source.file.strip_prefix("src/source/").and_then(|rest| rest.split_once('/')).map(|(own, _)| own) else {
                return Vec::new();
            };
            let others = |path: &&Vec<String>| store(path).is_some_and(|other| other != own && is_store(&other));
            source.paths.iter().filter(others).map(|path| path.join("::")).collect()
        },
        broken_by: &[
            ("src/source/dataset/mod.rs", "use crate::source::prometheus::wire;"),
            ("src/source/prometheus/wire.rs", "use super::super::dataset;"),
        ],
        kept_by: &[
            ("src/source/prometheus/mod.rs", "use super::http::Client; use crate::source::prometheus::wire; use crate::source::Query;"),
            ("src/source/mod.rs", "use crate::source::prometheus::Prometheus;"),
        ],
    },
    Rule {
        says: "the edges api, kayenta and webhooks never import each other",
        finds: |source| {
            let Some(own) = EDGES.iter().find(|edge| source.is_in(&[&format!("src/{edge}/"), &format!("src/{edge}.rs")])) else {
                return Vec::new();
            };
            EDGES.iter().filter(|edge| *edge != own).flat_map(|edge| source.naming(&format!("crate::{edge}")).collect::<Vec<_>>()).collect()
        },
        broken_by: &[
            ("src/kayenta/mod.rs", "use crate::api::Problem;"),
            ("src/api/mod.rs", "use super::webhooks;"),
            ("src/webhooks/flagger.rs", "use crate::{analysis, kayenta::wire};"),
        ],
        kept_by: &[("src/api/judgements.rs", "use crate::api::Problem; use crate::analysis::Request;")],
    },
    Rule {
        says: "analysis, judgements, replay and reports know no edge; analysis and judgements know no report, and analysis no judgements",
        finds: |source| {
            let edges = ["crate::api", "crate::kayenta", "crate::webhooks", "crate::cli"];
            let mut found = Vec::new();
            if source.is_in(&["src/analysis/", "src/judgements/", "src/replay/", "src/report/"]) {
                found.extend(any_of(source, &edges));
            }
            if source.is_in(&["src/analysis/", "src/judgements/"]) {
                found.extend(any_of(source, &["crate::report"]));
            }
            if source.is_in(&["src/analysis/"]) {
                found.extend(any_of(source, &["crate::judgements"]));
            }
            found
        },
        broken_by: &[
            ("src/analysis/run.rs", "use crate::api;"),
            ("src/analysis/run.rs", "use crate::judgements::Judgements;"),
            ("src/judgements/mod.rs", "use crate::report::view::View;"),
            ("src/judgements/id.rs", "use super::super::cli;"),
            ("src/report/html.rs", "use crate::cli::Output;"),
        ],
        kept_by: &[
            ("src/report/html.rs", "use crate::analysis::Scorecard;"),
            ("src/judgements/mod.rs", "use crate::analysis::Scorecard; use crate::archive::Archive;"),
        ],
    },
    Rule {
        says: "axum, utoipa and tower-http are named by the edges, by what stands before them (`server`, `access`) and by `serve` alone",
        finds: |source| {
            let edges = ["judges/", "src/api/", "src/kayenta/", "src/webhooks/", "src/server/", "src/access/"];
            let allowed = source.is_in(&edges) || source.is_in(&["src/cli/serve", "src/cli/openapi"]);
            if allowed { Vec::new() } else { any_of(source, &["axum", "utoipa", "utoipa_axum", "tower_http"]) }
        },
        broken_by: &[("src/analysis/run.rs", "use axum::Json;"), ("src/source/mod.rs", "#[derive(utoipa::ToSchema)] struct S;")],
        kept_by: &[("src/api/mod.rs", "use axum::Router;"), ("src/cli/serve.rs", "use axum::serve;")],
    },
    Rule {
        says: "reqwest is named by the metric stores, the command line's client, token verification and the sending of spans alone",
        finds: |source| {
            let allowed = source.is_in(&["src/source/", "src/cli/client", "src/api/oidc", "src/traces"]);
            if allowed { Vec::new() } else { any_of(source, &["reqwest"]) }
        },
        broken_by: &[("src/api/mod.rs", "fn f(c: reqwest::Client) {}"), ("src/cli/judge.rs", "use reqwest::Client;")],
        kept_by: &[("src/source/http.rs", "use reqwest::Client;"), ("src/cli/client.rs", "use reqwest::Client;")],
    },
    Rule {
        says: "object_store is named by the archive alone, which knows nothing of analyses, judgements and edges",
        finds: |source| {
            if source.is_in(&["src/archive/"]) {
                let known = ["analysis", "judgements", "api", "kayenta", "webhooks", "source", "cli", "settings", "report", "replay"];
                known.iter().flat_map(|known| source.naming(&format!("crate::{known}")).collect::<Vec<_>>()).collect()
            } else {
                any_of(source, &["object_store"])
            }
        },
        broken_by: &[
            ("src/kayenta/archive.rs", "use object_store::ObjectStore;"),
            ("src/archive/mod.rs", "use crate::analysis::Scorecard;"),
            ("src/archive/key.rs", "use crate::judgements::Judgements;"),
        ],
        kept_by: &[("src/archive/mod.rs", "use object_store::path::Path;"), ("src/api/state.rs", "use crate::archive::Archive;")],
    },
    Rule {
        says: "polars is named by the dataset store and by replay alone",
        finds: |source| {
            let allowed = source.is_in(&["src/source/dataset/", "src/replay/"]);
            if allowed { Vec::new() } else { any_of(source, &["polars"]) }
        },
        broken_by: &[("src/source/mod.rs", "use polars::prelude::LazyFrame;"), ("src/cli/demo.rs", "use polars::df;")],
        kept_by: &[("src/source/dataset/mod.rs", "use polars::prelude::*;")],
    },
    Rule {
        says: "the arms are called baseline and canary; Kayenta's words stay in kayenta/ and judges/src/aca",
        finds: |source| {
            if source.is_in(&["src/kayenta", "judges/src/aca"]) {
                return Vec::new();
            }
            let words = ["control", "controls", "experiment", "experiments"];
            let kayentas = |name: &&String| {
                let starts = |word: &str| name.starts_with(word) && name[word.len()..].starts_with(|c: char| c == '_' || c.is_uppercase());
                words.contains(&name.to_lowercase().as_str())
                    || ["control", "experiment", "Control", "Experiment"].iter().any(|w| starts(w))
            };
            source.paths.iter().flatten().filter(kayentas).cloned().collect()
        },
        broken_by: &[
            ("src/api/wire.rs", "struct Body { control: Scope }"),
            ("judges/src/haldane.rs", "fn f(experiment_values: &[f64]) {}"),
            ("judges/src/haldane.rs", "struct ControlArm;"),
        ],
        kept_by: &[
            ("src/api/mod.rs", "// a control group\nfn f(c: char) -> bool { c.is_control() } const H: u8 = header::CACHE_CONTROL;"),
            ("src/kayenta/wire.rs", "struct Body { control: Scope, experiment: Scope }"),
        ],
    },
    Rule {
        says: "nothing is unsafe",
        finds: |source| any_of(source, &["unsafe"]),
        broken_by: &[("src/main.rs", "fn f() { unsafe { g() } }"), ("judges/src/lib.rs", "unsafe impl Send for S {}")],
        kept_by: &[("src/main.rs", "#![forbid(unsafe_code)] // unsafe\nfn f() {}")],
    },
];

/// Packages that the pure crate may depend on: none of them reads a clock, a file or a socket on its own.
const PURE_PACKAGES: &[&str] = &[
    "humantime",
    "ndarray",
    "schemars",
    "serde",
    "serde-saphyr",
    "serde_json",
    "serde_path_to_error",
    "sha2",
    "statrs",
    "strsim",
    "thiserror",
];

/// What a manifest depends on, apart from its tests; a section such as `[target.'cfg(unix)'.dependencies]` counts too.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut section = String::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            // `[dependencies.serde]` is a dependency by itself.
            if let Some((_, name)) = section.split_once("dependencies.").filter(|_| !section.starts_with("dev-")) {
                found.push(name.to_owned());
            }
        } else if section.ends_with("dependencies")
            && !section.ends_with("dev-dependencies")
            && let Some(name) = line.split(['=', '.', ' ']).next().filter(|name| !name.is_empty())
        {
            found.push(name.trim_matches('"').to_owned());
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("judges lies in the workspace").to_owned()
}

/// Whether `src/source/<name>/` exists, or is one of the stores that rules are tried with.
fn is_store(name: &str) -> bool {
    root().join("src/source").join(name).join("wire.rs").is_file()
}

#[test]
fn the_sources_keep_every_rule() {
    let broken: Vec<String> = Source::all()
        .iter()
        .flat_map(|source| RULES.iter().map(move |rule| (source, rule)))
        .flat_map(|(source, rule)| (rule.finds)(source).into_iter().map(move |what| format!("{}: `{what}`; {}", source.file, rule.says)))
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_rule_is_broken_and_kept_by_its_snippets() {
    for rule in RULES {
        assert!(!rule.broken_by.is_empty() && !rule.kept_by.is_empty(), "{}", rule.says);
        for (file, text) in rule.broken_by {
            assert!(!(rule.finds)(&Source::read(file, text)).is_empty(), "not found: {} ({file}: {text})", rule.says);
        }
        for (file, text) in rule.kept_by {
            let found = (rule.finds)(&Source::read(file, text));
            assert!(found.is_empty(), "{found:?} is no breach of: {} ({file}: {text})", rule.says);
        }
    }
}

#[test]
fn the_pure_crate_depends_on_nothing_that_does_io() {
    let manifest = fs::read_to_string(root().join("judges/Cargo.toml")).expect("judges/Cargo.toml");
    let found = dependencies(&manifest);
    assert!(found.iter().any(|name| name == "statrs"), "the manifest was read: {found:?}");
    let foreign: Vec<&String> = found.iter().filter(|name| !PURE_PACKAGES.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}: show that it does no I/O and list it here, or keep it out of judges");
}

#[test]
fn every_way_to_write_a_dependency_is_seen() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# a = \"1\"\ntokio = \"1\"\nserde.workspace = true\n[dependencies.reqwest]\nversion = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n[build-dependencies]\ncc = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
    assert_eq!(dependencies(manifest), ["tokio", "serde", "reqwest", "libc", "cc"]);
}

#[test]
fn both_packages_take_the_workspaces_lints() {
    for manifest in ["Cargo.toml", "judges/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).expect(manifest);
        assert!(text.contains("[lints]\nworkspace = true"), "{manifest}");
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}
