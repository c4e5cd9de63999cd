//! What the templates of other tools leave in a query that was copied from them: `{{args.version}}`, `$__rate_interval`, `[[env]]`, “typographic
//! quotes”. Here they are text, which a store refuses or, worse, takes for what a label is to be.

use super::text::escaped;

/// Longest placeholder that is looked for, in bytes.
const LONGEST: usize = 100;

/// Something that another tool would have replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// As it stands in the query.
    pub text: String,
    /// What it is.
    cause: &'static str,
    /// What to write.
    remedy: String,
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is {}; {}", self.text, self.cause, self.remedy)
    }
}

/// Everything of another tool's in a query's text before its variables are put in, each thing once.
#[must_use]
pub fn leftovers(text: &str) -> Vec<Leftover> {
    let mut found: Vec<Leftover> = Vec::new();
    let mut quote = None;
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &text[at..];
        let mut length = c.len_utf8();
        let leftover = match c {
            '{' => placeholder(rest),
            '[' => between(rest, "[[", "]]").filter(|(name, _)| is_name(name)).map(|(name, whole)| {
                (Leftover { text: whole.to_owned(), cause: "a variable of a dashboard", remedy: instead_of(name) }, whole.len())
            }),
            '$' if rest.starts_with("$${") || rest.starts_with("${") => {
                // This tool's own, or text.
                length = rest.find('{').map_or(length, |brace| brace + 1);
                None
            }
            '$' => dashboards(rest).filter(|(leftover, _)| !names_a_group(text, &leftover.text[1..])),
            '“' | '”' | '„' | '‟' | '‘' | '’' if quote.is_none() => {
                let straight = if matches!(c, '‘' | '’') { "'" } else { "\"" };
                let remedy = format!("write `{straight}`");
                Some((Leftover { text: c.to_string(), cause: "a typographic quote, which opens no string", remedy }, length))
            }
            '\\' if matches!(quote, Some('"' | '\'')) => {
                length += rest[length..].chars().next().map_or(0, char::len_utf8);
                None
            }
            '"' | '\'' | '`' => {
                match quote {
                    None => quote = Some(c),
                    Some(open) if open == c => quote = None,
                    Some(_) => {}
                }
                None
            }
            _ => None,
        };
        if let Some((leftover, taken)) = leftover {
            length = taken;
            let quotes = |one: &Leftover| one.cause.starts_with("a typographic");
            if !found.iter().any(|known| *known == leftover || (quotes(known) && quotes(&leftover))) {
                found.push(leftover);
            }
        }
        at += length;
    }
    found
}

/// What a variable of another tool's stands for here, where its name tells: `${step}` for `__rate_interval`.
#[must_use]
pub fn native_of(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    if lower.starts_with("__range") {
        Some("${window}")
    } else if lower.contains("interval") || lower == "step" || lower == "resolution" {
        Some("${step}")
    } else {
        None
    }
}

/// `{{ args.version }}`.
fn placeholder(rest: &str) -> Option<(Leftover, usize)> {
    let (inner, whole) = between(rest, "{{", "}}")?;
    let inner = inner.trim().trim_matches('-').trim();
    let cause = if inner.starts_with("args.") {
        "a placeholder of Argo Rollouts', which nothing replaces here"
    } else if inner.starts_with('.') || inner.contains(' ') {
        "a placeholder of Helm's or Go's templates, which nothing replaces here"
    } else {
        "a placeholder of another tool's templates (such as Flagger's), which nothing replaces here"
    };
    let name = inner.rsplit('.').next().unwrap_or_default();
    Some((Leftover { text: escaped(whole, LONGEST), cause, remedy: instead_of(name) }, whole.len()))
}

/// `$name` of a dashboard.
fn dashboards(rest: &str) -> Option<(Leftover, usize)> {
    let name = rest.get(1..)?;
    let name = name.get(..name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len()))?;
    if !is_name(name) || name.len() > LONGEST {
        return None;
    }
    let cause = if name.starts_with("__") { "a variable of Grafana's" } else { "a variable of a dashboard" };
    Some((Leftover { text: format!("${name}"), cause, remedy: instead_of(name) }, name.len() + 1))
}

fn instead_of(name: &str) -> String {
    if let Some(native) = native_of(name) {
        return format!("write `{native}`");
    }
    let word: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(LONGEST).collect();
    if is_name(&word) && word != "scope" {
        format!("write `${{scope}}` for what tells the arms apart, or `${{{word}}}` and declare it in /variables")
    } else {
        "write `${scope}` for what tells the arms apart".to_owned()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What stands between two marks on one line, and with them.
fn between<'a>(rest: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let inner = rest.strip_prefix(open)?;
    let end = inner.find(close).filter(|end| *end <= LONGEST)?;
    let inner = inner.get(..end).filter(|inner| !inner.contains('\n'))?;
    Some((inner, rest.get(..open.len() + end + close.len())?))
}

/// Whether a regular expression names a group so, which `label_replace` then writes as `$name`.
fn names_a_group(text: &str, name: &str) -> bool {
    text.contains(&format!("?P<{name}>")) || text.contains(&format!("?<{name}>"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(text: &str) -> Vec<String> {
        leftovers(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_another_tool_would_have_replaced_is_named_with_its_remedy() {
        for (text, cause, remedy) in [
            ("avg:foo{version:{{args.version}}}", "`{{args.version}}` is a placeholder of Argo Rollouts'", "`${version}` and declare it"),
            (r#"x{a="{{args.service-name}}"}"#, "`{{args.service-name}}` is a placeholder of Argo", "`${service_name}`"),
            ("rate(x[{{ interval }}])", "`{{ interval }}` is a placeholder of another tool", "write `${step}`"),
            ("x{n=\"{{ .Release.Name }}\"}", "`{{ .Release.Name }}` is a placeholder of Helm's", "`${scope}`"),
            ("rate(x[$__rate_interval])", "`$__rate_interval` is a variable of Grafana's", "write `${step}`"),
            ("increase(x[$__range])", "`$__range` is a variable of Grafana's", "write `${window}`"),
            ("avg:m{$env}", "`$env` is a variable of a dashboard", "`${env}` and declare it"),
            ("x{job=\"$job\"}", "`$job` is a variable", "`${job}`"),
            ("x{job=~\"[[job]]\"}", "`[[job]]` is a variable of a dashboard", "`${job}`"),
            ("x{job=“web”}", "`“` is a typographic quote", "write `\"`"),
            ("x{job=’web’}", "`’` is a typographic quote", "write `'`"),
        ] {
            let said = said(text);
            assert!(said.len() == 1 && said[0].starts_with(cause) && said[0].contains(remedy), "{text}: {said:?}");
        }
        assert_eq!(said("x{a=\"$a\",b=\"$a\",c=\"{{b}}\"}").len(), 2, "each thing once");
    }

    #[test]
    fn what_belongs_to_the_query_is_left_alone() {
        for text in [
            r#"sum(rate(x{a="${scope}", b=~"^(a|b)$", c=~"[[:alpha:]]+$"}[${step}]))"#,
            r#"label_replace(up, "a", "$1", "b", "(.*)")"#,
            r#"label_replace(up, "a", "$host-$1", "b", "(?P<host>.*):(.*)")"#,
            r#"x{a="it’s", b='“', c="\"”"}"#,
            "x{a=\"$${b}\"}",
            "avg:m{a:${scope}} by {host}",
        ] {
            assert_eq!(said(text), [""; 0], "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(text in "([${}\\[\\]a_ “’\"'`\\\\.-]|\\{\\{|\\}\\}|é){0,40}") {
            for leftover in leftovers(&text) {
                prop_assert!(text.contains(&leftover.text), "{:?}", leftover);
            }
        }
    }
}
