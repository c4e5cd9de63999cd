//! How a text for a terminal ends: the verdict, what to do, and where the judgement is found again. They come last, since a terminal shows
//! the end.

use anstyle::{AnsiColor, Style};
use haldane_judges::Verdict;
use unicode_width::UnicodeWidthStr;

use super::format::{clean, truncate};
use super::page::Page;
use super::view::View;
use crate::analysis::Scorecard;

/// Lines of a link, at most, as a terminal wraps it. A longer one would leave the verdict no room.
const LINES_OF_A_LINK: usize = 3;

impl Page {
    /// `FAIL  score 25  http-golden-signals, judged by haldane-v1`.
    pub(super) fn verdict(&mut self, view: &View) {
        let colour = match view.verdict {
            Verdict::Pass => AnsiColor::Green,
            Verdict::Marginal => AnsiColor::Yellow,
            Verdict::Fail => AnsiColor::Red,
        };
        let verdict = self.paint(Style::new().bold().fg_color(Some(colour.into())), &view.verdict.to_string().to_uppercase());
        let subject = view.subject.as_ref().map(|subject| format!("{}  ", truncate(subject, self.width / 2))).unwrap_or_default();
        let by = format!("{subject}{}  {}, judged by {}", view.score, view.config, view.judge);
        let line = format!("{verdict}  {}", truncate(&by, self.width.saturating_sub(10)));
        self.line(&line);
        if let Some(banner) = &view.banner {
            let banner = self.paint(Style::new().bold().fg_color(Some(AnsiColor::Yellow.into())), banner);
            self.line(&banner);
        }
    }

    /// The verdict, what to do in at most so many lines, and the link.
    pub(super) fn ending(&mut self, view: &View, card: &Scorecard, most: usize) {
        self.verdict(view);
        let used = self.bounded("", &view.recommendation, most);
        for remedy in view.remedies.iter().take(most - used) {
            self.bounded("or: ", remedy, 1);
        }
        if let Some(link) = link(card, self.width) {
            self.line(&link);
        }
    }
}

/// Where the judgement is found again, uncut: a part of an address or an id opens nothing. `None` where it cannot be asked for again.
fn link(card: &Scorecard, width: usize) -> Option<String> {
    // One line, which a terminal wraps, so that it stays one address to whoever takes it up.
    if let Some(url) = card.url.as_deref().map(clean).filter(|url| url.width() <= LINES_OF_A_LINK * width) {
        return Some(url);
    }
    let id = format!("judgement {}", clean(card.id.as_ref()?));
    Some(if id.width() <= width { id } else { "judgement: its id is long, and `--output json` has it".to_owned() })
}
