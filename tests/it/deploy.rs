//! The example settings in `deploy/` are settings.

use std::path::Path;

use haldane::settings::{ServeArgs, Settings};

#[test]
fn the_example_settings_start_a_service() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/haldane.yaml");
    let settings = Settings::load(ServeArgs { settings: Some(file), ..ServeArgs::default() }).expect("settings that can be used");
    let sources = settings.open_sources().expect("metric stores that can be opened");
    let names: Vec<&str> = sources.iter().map(|source| source.name()).collect();
    assert_eq!(names, ["main"]);
}

/// What is commented out is there to be commented in.
#[test]
fn the_example_settings_hold_with_every_line_in_use() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = include_str!("../../deploy/haldane.yaml");
    let mut in_use = String::new();
    for line in text.lines() {
        // Fields are commented out as `# name: value` with a lower-case name of one word; prose is not like that.
        let field = line.trim_start().strip_prefix("# ").filter(|rest| {
            rest.split_once(": ").is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        });
        let indent = line.len() - line.trim_start().len();
        in_use.push_str(&field.map_or(line.to_owned(), |field| format!("{}{field}", " ".repeat(indent))));
        in_use.push('\n');
    }
    assert_ne!(in_use, text, "some fields are commented out");
    let elsewhere = in_use.replace("/etc/haldane", &folder.path().display().to_string());
    std::fs::create_dir(folder.path().join("configs")).expect("a folder");
    std::fs::write(folder.path().join("id-key"), [b'k'; 48]).expect("a key");
    std::fs::write(folder.path().join("prometheus-token"), "token").expect("a token");
    let file = folder.path().join("haldane.yaml");
    std::fs::write(&file, elsewhere).expect("the settings");
    let settings = Settings::load(ServeArgs { settings: Some(file), ..ServeArgs::default() }).expect("settings that can be used");
    assert!(!settings.id_key_is_random);
    settings.open_sources().expect("metric stores that can be opened");
}
