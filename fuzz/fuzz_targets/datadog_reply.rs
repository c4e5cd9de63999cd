//! Any bytes read as a reply of Datadog's are laid on a window or refused, and any text is a query or none.
#![no_main]

use haldane::source::Window;
use haldane::source::datadog::read_any;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| read_any(bytes, Window { start: 1_772_359_200, end: 1_772_362_800, step_seconds: 60 }));
