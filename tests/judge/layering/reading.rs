//! Reads a source file as far as the rules need: the paths it names, what it brings in by `use`, and the types it defines.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::root;

/// A path, one entry a segment.
pub(super) type Segments = Vec<String>;

/// What a source file names.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Path from the workspace's root, with `/`.
    pub(super) file: String,
    /// The module that it is, from `crate` on.
    pub(super) module: Segments,
    /// Every path in it, resolved; a single identifier is a path of one segment.
    pub(super) paths: Vec<Segments>,
    /// The paths among them that it hands on, by `pub use`.
    pub(super) handed_on: Vec<Segments>,
    /// What each name means that a `use` brings into the module, resolved.
    pub(super) names: BTreeMap<String, Segments>,
    /// The types and traits that it defines, tests included; associated types are none.
    pub(super) types: Vec<String>,
}

impl Source {
    pub(super) fn read(file: &str, text: &str) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{file} is not Rust: {e}"));
        let module = module_of(file);
        let mut source = Self { file: file.to_owned(), module: module.clone(), ..Self::default() };
        for item in uses(tokens.clone()) {
            let mut brought = Vec::new();
            use_tree(&item.tree, &[], &mut brought);
            for (name, path) in brought {
                let path = resolve(&module, path);
                if item.public {
                    source.handed_on.push(path.clone());
                }
                source.names.insert(name, path);
            }
        }
        define(tokens.clone(), false, &mut source.types);
        let mut paths = Vec::new();
        collect(tokens, &[], &mut paths);
        source.paths = paths.into_iter().map(|path| resolve(&module, path)).collect();
        source
    }

    /// Every source file of the workspace.
    pub(super) fn all() -> Vec<Self> {
        let mut found = Vec::new();
        for folder in ["src", "judges/src"] {
            below(&root().join(folder), &mut found);
        }
        assert!(found.len() > 20, "the sources were found: {}", found.len());
        found
    }

    /// The paths that start with the segments of `start`, such as `std::fs`.
    pub(super) fn naming<'a>(&'a self, start: &str) -> impl Iterator<Item = String> + 'a {
        let start: Segments = start.split("::").map(str::to_owned).collect();
        self.paths.iter().filter(move |path| path.starts_with(&start)).map(|path| path.join("::"))
    }

    pub(super) fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.file.starts_with(place))
    }
}

fn below(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let file = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
            found.push(Source::read(&file, &text));
        }
    }
}

/// Gathers the paths of `tokens`, each below `prefix`, which is what precedes a `use` group.
fn collect(tokens: TokenStream, prefix: &[String], paths: &mut Vec<Segments>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is = |i: usize, character: char| is_punct(tokens.get(i), character);
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i] {
            TokenTree::Punct(_) if is(i, '#') && matches!(tokens.get(i + 1), Some(TokenTree::Group(g)) if is_cfg_test(g)) => {
                i = end_of_item(&tokens, i + 2);
            }
            TokenTree::Ident(first) => {
                let mut path = prefix.to_vec();
                path.push(first.to_string());
                i += 1;
                while is(i, ':') && is(i + 1, ':') {
                    match tokens.get(i + 2) {
                        Some(TokenTree::Ident(segment)) => {
                            path.push(segment.to_string());
                            i += 3;
                        }
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            collect(group.stream(), &path, paths);
                            i += 3;
                        }
                        // A turbofish or a glob ends what is of interest.
                        _ => break,
                    }
                }
                paths.push(path);
            }
            TokenTree::Group(group) => {
                collect(group.stream(), &[], paths);
                i += 1;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => i += 1,
        }
    }
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

fn is_cfg_test(group: &Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// The index after the item that starts at `i`: past its body, or its semicolon.
fn end_of_item(tokens: &[TokenTree], i: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    };
    tokens[i..].iter().position(ends).map_or(tokens.len(), |length| i + length + 1)
}

/// A `use` of the module itself.
struct UseItem {
    public: bool,
    tree: Vec<TokenTree>,
}

/// The `use` items of a file's own module, tests left out.
fn uses(tokens: TokenStream) -> Vec<UseItem> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    let (mut i, mut public) = (0, false);
    while i < tokens.len() {
        if is_punct(tokens.get(i), '#') && matches!(tokens.get(i + 1), Some(TokenTree::Group(g)) if is_cfg_test(g)) {
            i = end_of_item(&tokens, i + 2);
        } else if is_ident(tokens.get(i), "use") {
            let length = tokens[i..].iter().position(|token| is_punct(Some(token), ';')).unwrap_or(tokens.len() - i);
            found.push(UseItem { public, tree: tokens[i + 1..i + length].to_vec() });
            (i, public) = (i + length + 1, false);
        } else {
            // `pub` and `pub(crate)`, and nothing between them and `use`.
            public = is_ident(tokens.get(i), "pub") || (public && matches!(&tokens[i], TokenTree::Group(_)));
            i += 1;
        }
    }
    found
}

/// What the tree of a `use` brings in: each name with its path.
fn use_tree(tree: &[TokenTree], prefix: &[String], brought: &mut Vec<(String, Segments)>) {
    for part in tree.split(|token| is_punct(Some(token), ',')) {
        let mut path = prefix.to_vec();
        let mut name = None;
        for (i, token) in part.iter().enumerate() {
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    name = part.get(i + 1).map(ToString::to_string);
                    break;
                }
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(group) => {
                    use_tree(&group.stream().into_iter().collect::<Vec<_>>(), &path, brought);
                    path.clear();
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        // `{self}` brings in the module before it.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            brought.push((name, path));
        }
    }
}

/// Gathers the names of the types and traits that are defined. In the body of a trait or an `impl`, `type` defines none.
fn define(tokens: TokenStream, in_impl: bool, types: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut opens_impl = false;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                opens_impl |= word == "impl" || word == "trait";
                let defines = ["struct", "enum", "union", "trait"].contains(&word.as_str()) || (word == "type" && !in_impl);
                if let Some(TokenTree::Ident(name)) = tokens.get(i + 1).filter(|_| defines) {
                    types.push(name.to_string());
                }
            }
            TokenTree::Group(group) => {
                let body = group.delimiter() == Delimiter::Brace;
                define(group.stream(), body && opens_impl, types);
                opens_impl &= !body;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The module that a file is: `src/source/prometheus/wire.rs` is `crate::source::prometheus::wire`.
fn module_of(file: &str) -> Segments {
    let inner = file.trim_start_matches("judges/").trim_start_matches("src/").trim_end_matches(".rs");
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    let names = inner.split('/').filter(|name| !["lib", "main", "mod"].contains(name));
    std::iter::once("crate").chain(names).map(str::to_owned).collect()
}

/// The path from the crate's root, where it starts with `super` or `self`.
fn resolve(module: &[String], path: Segments) -> Segments {
    let mut base = module.to_vec();
    let mut rest = path.as_slice();
    match rest.first().map(String::as_str) {
        // The service's binary names its own library by name.
        Some("haldane") => return std::iter::once("crate".to_owned()).chain(path[1..].iter().cloned()).collect(),
        Some("self") if rest.len() > 1 => rest = &rest[1..],
        Some("super") => {
            while rest.first().is_some_and(|segment| segment == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => return path,
    }
    base.extend_from_slice(rest);
    base
}
