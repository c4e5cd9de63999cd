//! Why something asked through Kayenta's API is not done.

use std::fmt;

/// What kind of trouble a refusal is, where an answer depends on more than its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// What was sent cannot be used.
    Invalid,
    /// The config names a judge that is not here. Kayenta starts such an execution, and its judge stage fails.
    UnknownJudge,
}

/// A request that is refused, with the words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of trouble it is.
    pub kind: RefusalKind,
    first: RefusalCause,
    others: Vec<RefusalCause>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RefusalCause {
    /// Where in what was sent, as a JSON pointer; the empty one is the whole document.
    pointer: Option<String>,
    /// What is wrong, with the value and the remedy.
    what: String,
}

impl fmt::Display for RefusalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_deref() {
            None => f.write_str(&self.what),
            Some("") => write!(f, "(document): {}", self.what),
            Some(pointer) => write!(f, "{pointer}: {}", self.what),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, what: impl Into<String>) -> Self {
        Self { kind, first: RefusalCause { pointer: None, what: what.into() }, others: Vec::new() }
    }

    /// What was sent cannot be used.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(RefusalKind::Invalid, what)
    }

    /// What was sent cannot be used, because of the value at a JSON pointer.
    pub fn at(pointer: impl Into<String>, what: impl Into<String>) -> Self {
        Self::invalid(what).or_at(pointer)
    }

    /// The same refusal of this kind.
    #[must_use]
    pub fn of_kind(self, kind: RefusalKind) -> Self {
        Self { kind, ..self }
    }

    /// The first thing that is wrong, with the JSON pointer, the value and the remedy.
    #[must_use]
    pub fn message(&self) -> String {
        self.first.to_string()
    }

    /// Every thing that is wrong, where there are several.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        if self.others.is_empty() { Vec::new() } else { self.causes().map(RefusalCause::to_string).collect() }
    }

    fn causes(&self) -> impl Iterator<Item = &RefusalCause> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The same refusal with every cause changed.
    fn with(mut self, mut change: impl FnMut(&mut RefusalCause)) -> Self {
        change(&mut self.first);
        self.others.iter_mut().for_each(change);
        self
    }

    /// The same refusal of a document that lies below `pointer`.
    #[must_use]
    pub fn below(self, pointer: &str) -> Self {
        self.placed(|inner| format!("{pointer}{inner}"))
    }

    /// The same refusal with its pointers into another document.
    #[must_use]
    pub(crate) fn placed(self, place: impl Fn(&str) -> String) -> Self {
        self.with(|cause| cause.pointer = cause.pointer.as_deref().map(&place))
    }

    /// The same refusal, about the value at `pointer` unless it points at a place already.
    #[must_use]
    pub(crate) fn or_at(self, pointer: impl Into<String>) -> Self {
        let pointer = pointer.into();
        self.with(|cause| {
            cause.pointer.get_or_insert_with(|| pointer.clone());
        })
    }

    /// The same refusal with the metric that it is about, unless it points at a place already.
    #[must_use]
    pub(crate) fn of_metric(self, name: &str) -> Self {
        self.with(|cause| {
            if cause.pointer.is_none() {
                cause.what = format!("metric `{}`: {}", shown(name), cause.what);
            }
        })
    }

    /// All of several refusals as one; `None` where there is none.
    #[must_use]
    pub fn of_all(refusals: impl IntoIterator<Item = Self>) -> Option<Self> {
        refusals.into_iter().reduce(|mut all, next| {
            all.others.push(next.first);
            all.others.extend(next.others);
            all
        })
    }
}

/// The start of a caller's text, for a message.
pub(crate) fn shown(text: &str) -> String {
    let start: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() { format!("{start}...") } else { start }
}
