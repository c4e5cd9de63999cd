//! A scorecard as people read it: on a terminal, in a pull request, in a CI system's test list, in a browser.
//!
//! Every rendering is a pure function of the scorecard and shows the same [`View`], in which numbers are formatted and foreign
//! text is made safe once; a rendering adds only its own syntax's escaping and layout.

mod clock;
mod ending;
mod explain;
pub mod format;
mod html;
mod junit;
mod limit_bar;
mod look;
mod markdown;
mod onset;
mod page;
mod past;
mod series;
pub(crate) mod sparkline;
mod terminal;
mod tolerance;
mod verbose;
mod view;

pub use explain::explain;
pub use html::html;
pub use junit::{UnwritableReport, junit};
pub use look::look;
pub use markdown::markdown;
pub(crate) use page::Page;
pub use page::Terminal;
pub use terminal::terminal;
pub use verbose::verbose;
pub use view::{MetricRow, View};
