//! Any text read as a canary config is accepted or refused, and an accepted one survives being written and read.
#![no_main]

use haldane_judges::CheckedConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(config) = CheckedConfig::from_yaml(text) {
        let json = serde_json::to_value(&config).expect("a checked config is plain data");
        let again = CheckedConfig::from_value(json).expect("what was accepted is accepted again");
        assert_eq!(config.digest(), again.digest());
    }
});
