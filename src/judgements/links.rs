//! Where people read a judgement: its address at this service.

use url::Url;

/// Makes addresses of judgements, where the service knows its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Ends without a slash.
    base: Option<String>,
}

impl Links {
    /// Links to a service that people reach at `url`, such as `https://haldane.example` or, behind a proxy, `https://tools.example/haldane`.
    ///
    /// # Errors
    /// What is wrong with the address and what to do.
    pub fn to(url: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "write it like `https://haldane.example`";
        let shown: String = url.chars().filter(|c| !c.is_control()).take(100).collect();
        let parsed = Url::parse(url).map_err(|error| format!("`{shown}` cannot be read: {error}; {EXAMPLE}"))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(format!("`{shown}` is no http or https address; {EXAMPLE}"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(format!("holds a user name or a password, which every scorecard would show; {EXAMPLE}"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(format!("`{shown}` has a `?query` or a `#fragment`; {EXAMPLE}"));
        }
        Ok(Self { base: Some(parsed.as_str().trim_end_matches('/').to_owned()) })
    }

    /// Where the judgement with this id is read; `None` where the service does not know its own address.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<String> {
        self.base.as_ref().map(|base| format!("{base}/v1/judgements/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_the_address_and_the_whole_id() {
        let id = "a".repeat(5_000);
        assert_eq!(Links::to("https://h.example").unwrap().of("x_-1").unwrap(), "https://h.example/v1/judgements/x_-1");
        assert_eq!(
            Links::to("http://t.example:81/haldane/").unwrap().of(&id).unwrap(),
            format!("http://t.example:81/haldane/v1/judgements/{id}")
        );
        assert_eq!(Links::default().of("x"), None);
    }

    #[test]
    fn what_no_browser_could_follow_is_refused_with_the_remedy() {
        for wrong in ["haldane.example", "ftp://h.example", "https://user:pw@h.example", "https://h.example/?a=b", "javascript:alert(1)"] {
            let message = Links::to(wrong).unwrap_err();
            assert!(message.contains("write it like") && !message.contains("pw"), "{message}");
        }
    }
}
