//! The pages of the service: the start page with its form, and the documentation of the API.
//!
//! No page needs a script or anything from elsewhere, and each says so in its content security policy.

mod docs;
mod form;
mod home;

pub(super) use docs::docs;
pub(super) use form::judge;
pub(super) use home::home;
