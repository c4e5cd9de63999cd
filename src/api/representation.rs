//! Which form of a scorecard an HTTP client wants: by the end of the address, or by `Accept`.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::analysis::Scorecard;
use crate::report::{self, Terminal};

/// A form in which a scorecard is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Representation {
    /// For programs; what is answered to who says nothing.
    #[default]
    Json,
    /// For a browser.
    Html,
    /// For a pull request.
    Markdown,
    /// For a terminal.
    Text,
    /// For a CI system's list of tests.
    Junit,
}

/// The end of an address, and the media types, of each form.
const FORMS: [(Representation, &str, &[&str]); 5] = [
    (Representation::Json, ".json", &["application/json", "application/*"]),
    (Representation::Html, ".html", &["text/html", "application/xhtml+xml", "text/*"]),
    (Representation::Markdown, ".md", &["text/markdown"]),
    (Representation::Text, ".txt", &["text/plain"]),
    (Representation::Junit, ".xml", &["application/xml", "text/xml"]),
];

impl Representation {
    /// Takes the form off the end of an id; ids have no point.
    pub(super) fn split(id: &str) -> (&str, Option<Self>) {
        let form = FORMS.iter().find_map(|(form, end, _)| Some((id.strip_suffix(end)?, Some(*form))));
        form.unwrap_or((id, None))
    }

    /// The form that `Accept` likes best (RFC 9110, 12.5.1): of equally good ones the first, and JSON where nothing is said, anything is taken,
    /// or nothing that there is.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let mut best: Option<(f32, Self)> = None;
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = weight.map_or(1.0, |q| q.parse().unwrap_or(0.0_f32));
            let form = FORMS.iter().find(|(_, _, types)| types.contains(&media.as_str())).map(|(form, ..)| *form);
            let form = form.or_else(|| (media == "*/*").then_some(Self::Json));
            if let Some(form) = form.filter(|_| weight > 0.0 && best.is_none_or(|(than, _)| weight > than)) {
                best = Some((weight, form));
            }
        }
        best.map_or(Self::Json, |(_, form)| form)
    }

    /// The scorecard in this form, as a document; JSON has its own writer.
    pub(super) fn write(self, scorecard: Scorecard) -> Result<TextDocument, String> {
        let (content_type, text) = match self {
            Self::Json => ("application/json", serde_json::to_string(&scorecard).map_err(|error| error.to_string())?),
            Self::Html => ("text/html; charset=utf-8", report::html(&scorecard)),
            Self::Markdown => ("text/markdown; charset=utf-8", report::markdown(&scorecard)),
            Self::Text => ("text/plain; charset=utf-8", report::terminal(&scorecard, Terminal::default())),
            Self::Junit => ("application/xml", report::junit(&scorecard).map_err(|error| error.to_string())?),
        };
        Ok(TextDocument { content_type, text, is_page: self == Self::Html })
    }
}

/// A text with its media type.
pub(super) struct TextDocument {
    content_type: &'static str,
    text: String,
    is_page: bool,
}

impl TextDocument {
    /// A page for a browser.
    pub(super) fn page(text: String) -> Self {
        Self { content_type: "text/html; charset=utf-8", text, is_page: true }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = ([(header::CONTENT_TYPE, self.content_type)], self.text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        if self.is_page {
            // What a page may load it says itself; the id in its address is nobody else's business. Told nobody at all, a browser would
            // send the form of the start page from the origin `null`.
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'"));
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_chooses_what_it_weighs_most_and_json_otherwise() {
        let with = |accept: &'static str| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        for (accept, form) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Representation::Html),
            ("*/*", Representation::Json),
            ("application/json, text/html;q=0.9", Representation::Json),
            ("text/html;q=0.5, text/markdown", Representation::Markdown),
            ("text/plain", Representation::Text),
            ("text/xml", Representation::Junit),
            ("image/png", Representation::Json),
            ("text/html;q=0", Representation::Json),
            ("TEXT/HTML; q=high", Representation::Json),
            (",;,q", Representation::Json),
        ] {
            assert_eq!(Representation::accepted(&with(accept)), form, "{accept}");
        }
        assert_eq!(Representation::accepted(&HeaderMap::new()), Representation::Json);
    }

    #[test]
    fn the_end_of_an_address_names_a_form_and_is_no_part_of_the_id() {
        assert_eq!(Representation::split("AQ_x-.html"), ("AQ_x-", Some(Representation::Html)));
        assert_eq!(Representation::split("AQ.md"), ("AQ", Some(Representation::Markdown)));
        assert_eq!(Representation::split("AQ"), ("AQ", None));
        assert_eq!(Representation::split("AQ.png"), ("AQ.png", None));
    }
}
