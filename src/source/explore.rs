//! Links that open a query where people look at series: Prometheus' own page, Grafana, a notebook of Datadog.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::query::Window;
use super::text::escaped;

/// All but the letters, digits and marks that no URL gives a meaning to.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a template may name, and what it stands for.
const PLACEHOLDERS: [(&str, &str); 6] = [
    ("{query}", "the query"),
    ("{start}", "the window's start in Unix seconds"),
    ("{end}", "its end"),
    ("{start_ms}", "its start in Unix milliseconds"),
    ("{end_ms}", "its end"),
    ("{range}", "its length in seconds"),
];

/// Longest template, in bytes.
const MAX_LENGTH: usize = 4_096;

/// Address of a page that shows a query, with places for the query and its times. Its host is the template's, whatever is put in.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct ExploreTemplate(String);

impl ExploreTemplate {
    /// Reads a template such as `https://prometheus.example/graph?g0.expr={query}&g0.range_input={range}s&g0.end_input={end}`.
    ///
    /// # Errors
    /// What is wrong with it and what to do.
    pub fn read(text: &str) -> Result<Self, String> {
        let example = "write it like `https://prometheus.example/graph?g0.expr={query}&g0.range_input={range}s`";
        if text.len() > MAX_LENGTH {
            return Err(format!("{} bytes are more than {MAX_LENGTH}", text.len()));
        }
        if !text.contains("{query}") {
            return Err(format!("`{}` has no place for the query; {example}", escaped(text, 200)));
        }
        let filled = PLACEHOLDERS.iter().fold(text.to_owned(), |text, (placeholder, _)| text.replace(placeholder, "1"));
        if let Some(start) = filled.find('{') {
            let unknown: String = filled[start..].chars().take_while(|c| *c != '}').take(40).collect();
            let known = PLACEHOLDERS.map(|(placeholder, of)| format!("{placeholder} ({of})")).join(", ");
            return Err(format!("`{}}}` is no place that is known; those are {known}", escaped(&unknown, 60)));
        }
        let url = Url::parse(&filled).map_err(|error| format!("cannot be read: {error}; {example}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!("`{}` is no http or https address; {example}", escaped(text, 200)));
        }
        let before_path = text.split(['?', '#']).next().unwrap_or_default();
        let authority = before_path.split('/').nth(2).unwrap_or_default();
        if authority.contains(['{', '@']) {
            return Err(format!("has a place or credentials in its host; {example}"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Prometheus' own page of the server at `url`; `None` where that is no address.
    #[must_use]
    pub fn of_prometheus(url: &str) -> Option<Self> {
        let base = url.trim_end_matches('/');
        Self::read(&format!("{base}/graph?g0.expr={{query}}&g0.tab=0&g0.range_input={{range}}s&g0.end_input={{end}}")).ok()
    }

    /// The link to one query over one window.
    #[must_use]
    pub fn link(&self, query: &str, window: Window) -> String {
        let values = [
            utf8_percent_encode(query, ESCAPED).to_string(),
            window.start.to_string(),
            window.end.to_string(),
            window.start.saturating_mul(1_000).to_string(),
            window.end.saturating_mul(1_000).to_string(),
            window.seconds().max(1).to_string(),
        ];
        // What is put in has no braces: it is escaped, or a number.
        PLACEHOLDERS.iter().zip(values).fold(self.0.clone(), |text, ((placeholder, _), value)| text.replace(placeholder, &value))
    }
}

impl fmt::Display for ExploreTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ExploreTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Window = Window { start: 1_700_000_000, end: 1_700_001_800, step_seconds: 60 };

    #[test]
    fn a_link_has_the_query_and_the_times_of_the_window() {
        let grafana = ExploreTemplate::read("https://g.example/explore?left={query}&from={start_ms}&to={end_ms}").unwrap();
        assert_eq!(
            grafana.link("sum(a{b=\"c\"})", WINDOW),
            "https://g.example/explore?left=sum%28a%7Bb%3D%22c%22%7D%29&from=1700000000000&to=1700001800000"
        );
        let own = ExploreTemplate::of_prometheus("http://127.0.0.1:9090/").unwrap();
        assert_eq!(own.link("up", WINDOW), "http://127.0.0.1:9090/graph?g0.expr=up&g0.tab=0&g0.range_input=1800s&g0.end_input=1700001800");
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_remedy() {
        for (template, said) in [
            ("https://g.example/explore", "no place for the query"),
            ("javascript:alert({query})", "no http or https address"),
            ("https://{query}.example/", "in its host"),
            ("https://user:secret@g.example/?q={query}", "credentials in its host"),
            ("https://g.example/?q={query}&x={until}", "`{until}` is no place"),
            ("explore?q={query}", "cannot be read"),
        ] {
            let message = ExploreTemplate::read(template).unwrap_err();
            assert!(message.contains(said), "{template}: {message}");
        }
    }

    proptest! {
        #[test]
        fn no_query_leads_to_another_host(query in "\\PC{0,80}") {
            let template = ExploreTemplate::read("https://g.example/explore?q={query}&from={start}").unwrap();
            let link = Url::parse(&template.link(&query, WINDOW)).unwrap();
            prop_assert_eq!(link.host_str(), Some("g.example"));
            let pairs: Vec<(String, String)> = link.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, vec![("q".to_owned(), query), ("from".to_owned(), WINDOW.start.to_string())]);
        }
    }
}
