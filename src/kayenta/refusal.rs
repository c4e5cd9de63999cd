//! Why something asked through Kayenta's API is not done.

/// What kind of trouble a refusal is, where an answer depends on more than its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// What was sent cannot be used.
    Invalid,
    /// The config names a judge that is not here. Kayenta starts such an execution, and its judge stage fails.
    UnknownJudge,
}

/// A request that is refused, with its status and the words for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of trouble it is.
    pub kind: RefusalKind,
    /// What is wrong, with the JSON pointer, the value and the remedy.
    pub message: String,
    /// Every problem, where there are several.
    pub errors: Vec<String>,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), errors: Vec::new() }
    }

    /// What was sent cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Invalid, message)
    }

    /// What was sent cannot be used, because of the value at a JSON pointer.
    pub fn at(pointer: impl AsRef<str>, message: impl AsRef<str>) -> Self {
        let pointer = if pointer.as_ref().is_empty() { "(document)" } else { pointer.as_ref() };
        Self::invalid(format!("{pointer}: {}", message.as_ref()))
    }

    /// The same refusal of a document that lies below `pointer`.
    #[must_use]
    pub fn below(mut self, pointer: &str) -> Self {
        let below = |message: &str| match message.strip_prefix("(document)") {
            Some(rest) => format!("{pointer}{rest}"),
            None if message.starts_with('/') => format!("{pointer}{message}"),
            None => message.to_owned(),
        };
        self.message = below(&self.message);
        self.errors = self.errors.iter().map(|error| below(error)).collect();
        self
    }

    /// All of several problems; the first one is the message. `None` where there is none.
    #[must_use]
    pub fn of_all(problems: Vec<String>) -> Option<Self> {
        let message = problems.first()?.clone();
        let errors = if problems.len() > 1 { problems } else { Vec::new() };
        Some(Self { kind: RefusalKind::Invalid, message, errors })
    }
}

/// The start of a caller's text, for a message.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() { format!("{start}...") } else { start }
}

/// A JSON pointer's segment.
pub(super) fn segment(name: &str) -> String {
    crate::json::pointer_segment(name)
}
