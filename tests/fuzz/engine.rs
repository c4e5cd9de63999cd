//! Runs a target on every input that is kept, and on what becomes of them by changes that a fixed seed chooses.
//!
//! The engine is proptest's: it is in the tree, runs on the stable toolchain and shrinks what it finds to the fewest changes. A reader of JSON,
//! YAML or PromQL gets nowhere on bytes out of nothing, so an input begins as one that is kept (`corpus/`, and the recorded replies and
//! shipped configs that the other tests have) and has pieces turned, cut, doubled, moved and put in.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};

/// Changed inputs of a target unless `HALDANE_FUZZ_CASES` says otherwise.
const CASES: u32 = 300;
/// Longest input, in bytes.
const LONGEST: usize = 64 << 10;
/// What parsers trip over.
const TOKENS: [&str; 40] = [
    "null",
    "true",
    "\"\"",
    "0",
    "-0.0",
    "-1",
    "1e308",
    "1e309",
    "5e-324",
    "NaN",
    "\"NaN\"",
    "\"+Inf\"",
    "\"-Infinity\"",
    "9223372036854775807",
    "18446744073709551616",
    "4294967296",
    "[]",
    "{}",
    "[[",
    "]]",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "${",
    "$${scope}",
    "}}",
    "\n",
    "\u{feff}",
    "é",
    "\u{202e}",
    "\r\n",
    "- ",
    "&a *a",
    "!!binary ",
    "253402300800",
    "1772359200",
];

/// A change of an input. Places are shares of its length, in 65536ths.
#[derive(Debug, Clone)]
enum Change {
    Turn(u16, u8),
    Cut(u16, u16),
    Double(u16, u16),
    Move(u16, u16, u16),
    Insert(u16, usize),
    Borrow(u16, usize, u16, u16),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<u16>;
    // Short pieces more often than long ones.
    let length = || prop_oneof![4 => 0u16..400, 1 => any::<u16>()];
    prop_oneof![
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Turn(at, byte)),
        2 => (at(), length()).prop_map(|(at, length)| Change::Cut(at, length)),
        1 => (at(), length()).prop_map(|(at, length)| Change::Double(at, length)),
        1 => (at(), length(), at()).prop_map(|(at, length, to)| Change::Move(at, length, to)),
        4 => (at(), 0..TOKENS.len()).prop_map(|(at, token)| Change::Insert(at, token)),
        1 => (at(), any::<usize>(), at(), length()).prop_map(|(at, seed, from, length)| Change::Borrow(at, seed, from, length)),
    ]
}

fn place(share: u16, length: usize) -> usize {
    usize::from(share) * length / (usize::from(u16::MAX) + 1)
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let piece = |input: &[u8], at: u16, length: u16| {
            let start = place(at, input.len());
            start..(start + place(length, input.len()).max(1)).min(input.len())
        };
        match *self {
            Self::Turn(at, byte) => {
                let at = place(at, input.len());
                if let Some(turned) = input.get_mut(at) {
                    *turned ^= byte;
                }
            }
            Self::Cut(at, length) => drop(input.drain(piece(input, at, length))),
            Self::Double(at, length) => {
                let piece = piece(input, at, length);
                let again = input[piece.clone()].to_vec();
                input.splice(piece.start..piece.start, again);
            }
            Self::Move(at, length, to) => {
                let moved: Vec<u8> = input.drain(piece(input, at, length)).collect();
                let to = place(to, input.len());
                input.splice(to..to, moved);
            }
            Self::Insert(at, token) => {
                let at = place(at, input.len());
                input.splice(at..at, TOKENS[token].bytes());
            }
            Self::Borrow(at, seed, from, length) => {
                let other = &seeds[seed % seeds.len()];
                let at = place(at, input.len());
                input.splice(at..at, other[piece(other, from, length)].iter().copied());
            }
        }
        input.truncate(LONGEST);
    }
}

/// The inputs that are kept for a target: its folder of the corpus, and the files of other tests.
fn seeds(target: &str, others: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in std::iter::once(format!("tests/fuzz/corpus/{target}")).chain(others.iter().map(|&folder| folder.to_owned())) {
        let mut found: Vec<PathBuf> = match std::fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect(),
            Err(_) => Vec::new(),
        };
        found.sort();
        files.extend(found);
    }
    let mut seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("an input that is kept")).collect();
    seeds.iter_mut().for_each(|seed| seed.truncate(LONGEST));
    assert!(!seeds.is_empty(), "no input is kept for {target}");
    seeds
}

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs a target; a panic is a finding, which is written down beside the inputs that are kept.
pub(crate) fn run(target: &str, others: &[&str], read: impl Fn(&[u8])) {
    let seeds = seeds(target, others);
    for seed in &seeds {
        read(seed);
    }
    let until = from_environment("HALDANE_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut seed = from_environment("HALDANE_FUZZ_SEED").unwrap_or(1);
    loop {
        let config = Config {
            cases: from_environment("HALDANE_FUZZ_CASES").unwrap_or(CASES),
            failure_persistence: None,
            rng_algorithm: RngAlgorithm::ChaCha,
            rng_seed: RngSeed::Fixed(seed),
            ..Config::default()
        };
        let input = (any::<usize>(), prop::collection::vec(change(), 0..12));
        let made = |(seed, changes): &(usize, Vec<Change>)| {
            let mut input = seeds[seed % seeds.len()].clone();
            changes.iter().for_each(|change| change.apply(&mut input, &seeds));
            input
        };
        let outcome = TestRunner::new(config).run(&input, |case| {
            read(&made(&case));
            Ok::<(), TestCaseError>(())
        });
        if let Err(TestError::Fail(why, case)) = outcome {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fuzz/corpus/{target}/found-{seed}"));
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("the corpus");
            std::fs::write(&file, made(&case)).expect("the corpus");
            panic!("{target}: {why}; the input is in {}", file.display());
        }
        outcome.expect("nothing but a finding ends a run");
        seed += 1;
        if until.is_none_or(|until| Instant::now() >= until) {
            return;
        }
    }
}
