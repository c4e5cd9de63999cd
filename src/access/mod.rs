//! Who may ask what: tokens and their roles, the names by which the service is asked, the pages that may ask, and links that need no token.
//!
//! Without tokens everybody may ask everything, as long as they ask for this service by one of its names. With tokens all is closed but the
//! words on whether the process lives and is ready.
//!
//! ```text
//! guard ──▶ state (Access) ──▶ table ──▶ token      guard ──▶ address, bounds ──▶ caller ──▶ table, denial      hosts, origins ──▶ denial
//! ```

mod address;
mod bounds;
mod caller;
mod counts;
mod denial;
mod guard;
mod hosts;
mod origins;
mod state;
mod table;
mod token;

pub(crate) use caller::Requester;
pub(crate) use denial::Denial;
pub(crate) use guard::{admit, permit};
pub use state::{Access, AccessSettings};
pub use table::AccessRole;
pub use token::{TokenDigest, new_token};
