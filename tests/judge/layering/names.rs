//! A type's name is defined once in the workspace, and is a noun that one can search for.

use std::collections::BTreeMap;

use super::reading::Source;

/// Names that several types may have: the same idea, in different wire formats. Each with what the idea is.
const SAME_IDEA: &[(&str, &str)] = &[
    ("CanaryConfig", "a canary config, in our format and in Kayenta's"),
    ("WireError", "why a reply is not in its metric store's format"),
];

/// Participles that were names once. What they said, a noun says better: a reply, a judgement, an option.
const PARTICIPLES: &[&str] = &[
    "Accepted",
    "Answered",
    "Asked",
    "Asking",
    "Came",
    "Cleaned",
    "Converted",
    "Counted",
    "Decoded",
    "Done",
    "Drawn",
    "Ended",
    "Ending",
    "Excluded",
    "Fetched",
    "Found",
    "Given",
    "Got",
    "Held",
    "Injected",
    "Judged",
    "Kept",
    "Known",
    "Labelled",
    "Learnt",
    "Limited",
    "Made",
    "Measured",
    "Missing",
    "Named",
    "Needed",
    "Offered",
    "Paired",
    "Parsed",
    "Placed",
    "Pooled",
    "Prepared",
    "Read",
    "Recorded",
    "Refused",
    "Reported",
    "Resolved",
    "Running",
    "Said",
    "Scored",
    "Seen",
    "Shipped",
    "Shown",
    "Sorted",
    "Started",
    "Stored",
    "Taken",
    "Tied",
    "Told",
    "Tried",
    "Waiting",
    "Written",
];

/// What is wrong with the names of the types.
fn breaches(all: &[Source]) -> Vec<(String, String)> {
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in all {
        for name in &source.types {
            files.entry(name).or_default().push(&source.file);
        }
    }
    let may_repeat = |name: &str| SAME_IDEA.iter().any(|(known, _)| *known == name);
    let mut found = Vec::new();
    for (name, files) in files {
        if files.len() > 1 && !may_repeat(name) {
            found.push((name.to_owned(), format!("`{name}` is defined in {}", files.join(", "))));
        } else if PARTICIPLES.contains(&name) {
            found.push((name.to_owned(), format!("`{name}` ({}) is a participle", files.join(", "))));
        }
    }
    found
}

#[test]
fn a_type_has_a_name_of_its_own_which_is_a_noun() {
    let all = Source::all();
    let found = breaches(&all);
    let told: Vec<&str> = found.iter().map(|(_, what)| what.as_str()).collect();
    assert!(told.is_empty(), "\n{}", told.join("\n"));
    for (name, idea) in SAME_IDEA {
        let defined = all.iter().flat_map(|source| &source.types).filter(|known| known == name).count();
        assert!(defined > 1, "{name} ({idea}) is defined {defined} times: take it from the list");
    }
}

#[test]
fn names_that_repeat_and_participles_are_found_and_nothing_else() {
    type Files = &'static [(&'static str, &'static str)];
    let broken_by: &[Files] = &[
        &[("src/a.rs", "struct Format;"), ("judges/src/b.rs", "pub enum Format { A }")],
        &[("src/a.rs", "type Format = u8;"), ("src/b.rs", "fn f() { struct Format { x: u8 } }")],
        &[("src/a.rs", "#[cfg(test)] mod tests { trait Format {} }"), ("src/b.rs", "pub(crate) struct Format<T>(T);")],
        &[("src/a.rs", "struct Seen { x: u8 }")],
    ];
    let kept_by: &[Files] = &[
        &[("src/a.rs", "struct OutputFormat;"), ("src/b.rs", "use super::a::OutputFormat; // struct OutputFormat")],
        &[("src/a.rs", "impl A for B { type Error = u8; }"), ("src/b.rs", "trait C: D { type Error; } fn f() -> impl E { let x = 1; }")],
    ];
    let read = |files: Files| files.iter().map(|(file, text)| Source::read(file, text)).collect::<Vec<_>>();
    for files in broken_by {
        assert!(!breaches(&read(files)).is_empty(), "not found: {files:?}");
    }
    for files in kept_by {
        let found = breaches(&read(files));
        assert!(found.is_empty(), "{found:?} is no breach: {files:?}");
    }
}
