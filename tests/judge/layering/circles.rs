//! No circle of files inside any folder: a reader can begin with the file that imports none of its neighbours, and go on from there.
//!
//! The graph of a folder has a node for each file and each folder in it, and one for `mod.rs`. A file points to a neighbour whose
//! module, or whose item, it names; an item that `mod.rs` hands on by `use` is its owner's, and one that `mod.rs` defines is `mod.rs`'s.
//! `mod.rs` itself points to a child that its own code names, not to those that it merely declares and hands on.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::{Segments, Source};

/// What stands for `mod.rs` in a folder's graph.
const ROOT: &str = "mod";

/// Whom each file of a folder names, and by which path.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// A circle: the folder, and the paths by which each of its files names the next.
struct Circle {
    folder: String,
    edges: Vec<String>,
}

/// The folder that a crate's files lie in.
fn crate_root(source: &Source) -> &'static str {
    if source.is_in(&["judges/"]) { "judges/src" } else { "src" }
}

fn circles(all: &[Source]) -> Vec<Circle> {
    let is_apart = |source: &&Source| source.file == "src/main.rs" || source.file.ends_with("/tests.rs");
    let sources: Vec<&Source> = all.iter().filter(|source| !is_apart(source)).collect();
    // Every module that has a module in it.
    let folders: BTreeSet<(&str, &[String])> =
        sources.iter().flat_map(|s| (1..s.module.len()).map(|length| (crate_root(s), &s.module[..length]))).collect();
    let circles = folders.into_iter().filter_map(|(root, module)| {
        let of_crate: Vec<&Source> = sources.iter().copied().filter(|source| crate_root(source) == root).collect();
        let graph = graph(&of_crate, module);
        let in_circle = |from: &str, to: &str| reachable(&graph, to).contains(from);
        let edges: Vec<String> = graph
            .iter()
            .flat_map(|(from, targets)| targets.iter().map(move |(to, path)| (from, to, path)))
            .filter(|(from, to, _)| in_circle(from, to))
            .map(|(from, to, path)| format!("{from} -> {to} (`{path}`)"))
            .collect();
        let folder = std::iter::once(root).chain(module[1..].iter().map(String::as_str)).collect::<Vec<_>>().join("/");
        (!edges.is_empty()).then_some(Circle { folder, edges })
    });
    circles.collect()
}

/// Who names whom in the folder of `module`.
fn graph(sources: &[&Source], module: &[String]) -> Graph {
    let depth = module.len();
    let inside: Vec<&Source> = sources.iter().copied().filter(|source| source.module.starts_with(module)).collect();
    let children: BTreeSet<&String> = inside.iter().filter_map(|source| source.module.get(depth)).collect();
    let root = inside.iter().find(|source| source.module == module);
    let child_of = |path: &Segments| path.get(depth).filter(|name| path.starts_with(module) && children.contains(name)).cloned();
    // In `mod.rs` a path may start with a child's name; alone, it is the child's declaration, or a variable.
    let from_root = |path: &Segments| match path.first() {
        Some(first) if path.len() > 1 && children.contains(first) => module.iter().chain(path).cloned().collect(),
        _ => path.clone(),
    };
    // What `mod.rs` brings in by name, with the child that owns it, if it is a child's.
    let brought: BTreeMap<&String, Option<String>> =
        root.iter().flat_map(|root| root.names.iter().map(|(name, path)| (name, child_of(&from_root(path))))).collect();
    let mut graph = Graph::new();
    for source in inside {
        let own = source.module.get(depth);
        for path in &source.paths {
            let target = match own {
                Some(_) => match path.get(depth).filter(|_| path.starts_with(module)) {
                    Some(name) if children.contains(name) => Some(name.clone()),
                    Some(name) => brought.get(name).cloned().unwrap_or_else(|| Some(ROOT.to_owned())),
                    None => None,
                },
                None if source.handed_on.contains(path) => None,
                // A name that is brought in, privately or not, is its owner's; a path names its first segment's.
                None => child_of(&from_root(path)).or_else(|| path.first().and_then(|name| brought.get(name).cloned().flatten())),
            };
            let own = own.map_or(ROOT, String::as_str);
            if let Some(target) = target.filter(|target| target != own) {
                graph.entry(own.to_owned()).or_default().entry(target).or_insert_with(|| path.join("::"));
            }
        }
    }
    graph
}

/// Everything that can be reached from a node, itself included.
fn reachable<'a>(graph: &'a Graph, from: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for target in graph.get(node).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(target) {
                open.push(target);
            }
        }
    }
    found
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let found = circles(&Source::all());
    let told: Vec<String> = found.iter().map(|circle| format!("{}:\n  {}", circle.folder, circle.edges.join("\n  "))).collect();
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn circles_are_found_and_nothing_else() {
    type Files = &'static [(&'static str, &'static str)];
    let broken_by: &[Files] = &[
        &[("src/a/x.rs", "use super::y::Y;"), ("src/a/y.rs", "fn f() { crate::a::x::g() }")],
        // By way of what mod.rs hands on.
        &[
            ("src/a/mod.rs", "mod x; mod y; pub use x::X; pub use y::{Y as Other};"),
            ("src/a/x.rs", "use super::Other;"),
            ("src/a/y.rs", "use super::X;"),
        ],
        // By way of an item that mod.rs defines, while its code names the child.
        &[("src/a/mod.rs", "mod x; pub struct A; fn f() { x::g() }"), ("src/a/x.rs", "use super::A;")],
        &[("src/a/mod.rs", "mod x; pub use x::X; pub struct A { x: X }"), ("src/a/x.rs", "use super::A;")],
        &[("src/a/mod.rs", "mod x; use x::X; pub struct A { x: X }"), ("src/a/x.rs", "use super::A;")],
        &[("src/a.rs", "mod x; use x::X; pub struct A;"), ("src/a/x.rs", "use super::A;")],
        // A folder counts as one file of its parent.
        &[("src/a/x/mod.rs", "mod z;"), ("src/a/x/z.rs", "use crate::a::y::Y;"), ("src/a/y.rs", "use super::x::X;")],
        // Three of them, in the pure crate.
        &[
            ("judges/src/x.rs", "use crate::y::Y;"),
            ("judges/src/y.rs", "use crate::z::Z;"),
            ("judges/src/z.rs", "use crate::x::{self, X};"),
        ],
    ];
    let kept_by: &[Files] = &[
        &[("src/a/x.rs", "use super::y::Y; use std::fmt;"), ("src/a/y.rs", "use crate::b::x; // super::x")],
        &[("src/a/mod.rs", "mod x; pub(crate) use x::X; pub struct A;"), ("src/a/x.rs", "use super::A;")],
        &[("src/a/mod.rs", "mod x; pub use crate::b::B; fn f() { x::g() }"), ("src/a/x.rs", "use super::B;")],
        &[("src/a/x.rs", "use super::y;"), ("src/a/y.rs", "#[cfg(test)] mod tests { use super::super::x; }")],
        &[("src/x.rs", "use haldane_judges::y;"), ("src/y.rs", "use crate::x;"), ("judges/src/y.rs", "use crate::x;")],
    ];
    let read = |files: Files| files.iter().map(|(file, text)| Source::read(file, text)).collect::<Vec<_>>();
    for files in broken_by {
        assert!(!circles(&read(files)).is_empty(), "not found: {files:?}");
    }
    for files in kept_by {
        let found = circles(&read(files));
        assert!(found.is_empty(), "no circle: {:?} {files:?}", found.iter().map(|circle| &circle.edges).collect::<Vec<_>>());
    }
}
