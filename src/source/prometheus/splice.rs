//! Puts values into PromQL, each where it lands: in a string, outside of strings, in a comment.
//!
//! Text is followed as Prometheus' lexer reads it (`promql/parser/lex.go`). What may land where, and how it is escaped there, is a
//! [`Landing`]'s to say: a native template and one of Kayenta's have different rules for it.

/// Where in PromQL a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lexis {
    /// Outside of strings and comments.
    Code,
    /// In a string that this opens; whether the last character begins an escape sequence.
    String(char, bool),
    /// In a comment.
    Comment,
}

/// What a string is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextRole {
    /// Right side of `=` or `!=`.
    Text,
    /// Right side of `=~` or `!~`.
    Regex,
    /// Argument of a function, such as `label_replace`.
    Argument,
    /// Anything else, such as a quoted metric name.
    Other,
}

/// Follows PromQL, to know where the next character lands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanner {
    lexis: Lexis,
    in_braces: bool,
    /// The last character of the code that is not white space, and the one right before it.
    last: Option<char>,
    before_last: Option<char>,
    /// Whether white space or a comment came after `last`.
    apart: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { lexis: Lexis::Code, in_braces: false, last: None, before_last: None, apart: false }
    }
}

impl Scanner {
    /// Reads on.
    pub(crate) fn read(&mut self, text: &str) {
        text.chars().for_each(|c| self.read_char(c));
    }

    fn read_char(&mut self, c: char) {
        let after = match (self.lexis, c) {
            (Lexis::Code, '"' | '\'' | '`') => Lexis::String(c, false),
            (Lexis::Code, '#') => Lexis::Comment,
            (Lexis::String(quote, true), _) => Lexis::String(quote, false),
            (Lexis::String(quote, false), '\\') if quote != '`' => Lexis::String(quote, true),
            (Lexis::String(quote, false), c) if c == quote => Lexis::Code,
            (Lexis::Comment, '\n' | '\r') => Lexis::Code,
            (lexis, _) => lexis,
        };
        match (self.lexis, after) {
            // What a string is there for is told by what comes before it.
            (Lexis::Code, Lexis::Code) | (Lexis::String(..), Lexis::Code) => self.read_code(c),
            (Lexis::Comment, _) | (_, Lexis::Comment) => self.apart = true,
            _ => {}
        }
        self.lexis = after;
    }

    fn read_code(&mut self, c: char) {
        if c.is_whitespace() {
            self.apart = true;
            return;
        }
        match c {
            '{' => self.in_braces = true,
            '}' => self.in_braces = false,
            _ => {}
        }
        self.before_last = if self.apart { None } else { self.last };
        self.last = Some(c);
        self.apart = false;
    }

    /// Where the next character lands.
    pub(crate) fn lexis(&self) -> Lexis {
        self.lexis
    }

    /// Whether the code lies within the braces of a selector.
    pub(crate) fn in_braces(&self) -> bool {
        self.in_braces
    }

    /// The last character of the code, white space left out.
    pub(crate) fn last(&self) -> Option<char> {
        self.last
    }

    /// What a string that opens here, or opened last, is there for.
    pub(crate) fn role(&self) -> TextRole {
        match (self.in_braces, self.before_last, self.last) {
            (true, Some('=' | '!'), Some('~')) => TextRole::Regex,
            (true, Some('='), Some('=')) => TextRole::Other,
            (true, _, Some('=')) => TextRole::Text,
            (false, _, Some('(' | ',')) => TextRole::Argument,
            _ => TextRole::Other,
        }
    }
}

/// A caller's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Insert<'a> {
    /// The variable that it is the value of.
    pub(crate) name: &'a str,
    /// The value, not escaped.
    pub(crate) value: &'a str,
}

/// A part of what stands between the quotes of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StringPart<'a> {
    /// As the template has it, escapes and all.
    Fixed(String),
    /// A caller's value.
    Value(Insert<'a>),
}

/// A string of PromQL with the values that are to stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StringLiteral<'a> {
    /// What opens and closes it.
    pub(crate) quote: char,
    /// What it is there for.
    pub(crate) role: TextRole,
    /// Its parts, in their order.
    pub(crate) parts: Vec<StringPart<'a>>,
}

/// What may land where, and as what.
pub(crate) trait Landing {
    /// Why a value may not land there.
    type Error;

    /// What is written of a value outside of strings and comments.
    fn in_code(&self, insert: Insert<'_>, before: &Scanner) -> Result<String, Self::Error>;

    /// What is written of a value in a comment.
    fn in_comment(&self, insert: Insert<'_>) -> Result<String, Self::Error>;

    /// What is written of a string that holds a value, quotes and all.
    fn in_string(&self, string: &StringLiteral<'_>) -> Result<String, Self::Error>;

    /// Why no value may follow a backslash, of which it would be the rest.
    fn after_backslash(&self, insert: Insert<'_>) -> Self::Error;
}

/// A query that is put together of text and values.
#[derive(Debug)]
pub(crate) struct Splice<'a, L> {
    landing: L,
    out: String,
    scanner: Scanner,
    /// The parts of the string that is open, its opening quote left out.
    parts: Vec<StringPart<'a>>,
    fixed: String,
}

impl<'a, L: Landing> Splice<'a, L> {
    /// Nothing yet.
    pub(crate) fn new(landing: L) -> Self {
        Self { landing, out: String::new(), scanner: Scanner::default(), parts: Vec::new(), fixed: String::new() }
    }

    /// Where what comes next lands.
    pub(crate) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Adds text as it is.
    ///
    /// # Errors
    /// The landing's, for a string that this closes.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), L::Error> {
        for c in text.chars() {
            let before = self.scanner;
            self.scanner.read_char(c);
            match (before.lexis, self.scanner.lexis) {
                (Lexis::String(quote, _), Lexis::Code) => self.close(quote, before.role())?,
                (Lexis::String(..), _) => self.fixed.push(c),
                (_, Lexis::String(..)) => {}
                _ => self.out.push(c),
            }
        }
        Ok(())
    }

    /// Adds a value.
    ///
    /// # Errors
    /// The landing's, where the value may not land there.
    pub(crate) fn value(&mut self, insert: Insert<'a>) -> Result<(), L::Error> {
        let written = match self.scanner.lexis {
            Lexis::String(_, true) => return Err(self.landing.after_backslash(insert)),
            Lexis::String(_, false) => {
                self.parts.push(StringPart::Fixed(std::mem::take(&mut self.fixed)));
                self.parts.push(StringPart::Value(insert));
                return Ok(());
            }
            Lexis::Comment => self.landing.in_comment(insert)?,
            Lexis::Code => self.landing.in_code(insert, &self.scanner)?,
        };
        self.scanner.read(&written);
        self.out.push_str(&written);
        Ok(())
    }

    fn close(&mut self, quote: char, role: TextRole) -> Result<(), L::Error> {
        let fixed = std::mem::take(&mut self.fixed);
        if self.parts.is_empty() {
            self.out.extend([quote]);
            self.out.push_str(&fixed);
            self.out.push(quote);
            return Ok(());
        }
        let mut parts = std::mem::take(&mut self.parts);
        parts.push(StringPart::Fixed(fixed));
        self.out.push_str(&self.landing.in_string(&StringLiteral { quote, role, parts })?);
        Ok(())
    }

    /// The whole query.
    ///
    /// # Errors
    /// The quote of a string that is not closed.
    pub(crate) fn finish(self) -> Result<String, char> {
        match self.scanner.lexis {
            Lexis::String(quote, _) => Err(quote),
            Lexis::Code | Lexis::Comment => Ok(self.out),
        }
    }
}

/// Writes a text so that it stands for itself in a PromQL string in `quote`, which is `"` or `'`.
pub(crate) fn push_escaped(out: &mut String, text: &str, quote: char) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => {
                if c == '\\' || c == quote {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
}
