//! Files of settings and configs, read within a bound.

use std::path::Path;

use crate::files::read_bounded_text;

/// Reads a text file of at most a config's length, and no further.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<String> {
    read_bounded_text(path, haldane_judges::config::MAX_CONFIG_BYTES)
}
