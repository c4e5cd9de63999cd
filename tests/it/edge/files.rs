//! Files that people name: without an end, without a writer, or with a secret in the wrong place.

use std::process::Output;

use crate::support::haldane::command;

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = command().args(arguments).output().expect("the program ends");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[cfg(unix)]
#[test]
fn a_file_without_end_is_refused_wherever_one_is_named() {
    for arguments in [
        &["lint", "/dev/zero"][..],
        &["convert", "/dev/zero"],
        &["serve", "--listen", "127.0.0.1:0", "--settings", "/dev/zero"],
        &["serve", "--listen", "127.0.0.1:0", "--id-key-file", "/dev/zero"],
        &["serve", "--listen", "127.0.0.1:0", "--tokens-file", "/dev/zero"],
        &["serve", "--listen", "127.0.0.1:0", "--tls-cert", "/dev/zero", "--tls-key", "/dev/zero"],
    ] {
        let (code, said) = run(arguments);
        assert!(code == Some(2) && said.contains("/dev/zero"), "{arguments:?}: {code:?} {said}");
    }
}

#[cfg(unix)]
#[test]
fn a_secret_is_not_waited_for_at_a_pipe_that_nobody_writes_to() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let settings = folder.path().join("settings.yaml");
    let pipe = pipe.display().to_string();
    let source = format!("{{kind: prometheus, url: 'http://127.0.0.1:9', bearer_token: {{file: '{pipe}'}}}}");
    std::fs::write(&settings, format!("sources: {{main: {source}}}\n")).unwrap();
    let settings = settings.display().to_string();
    for arguments in [&["serve", "--settings", &settings][..], &["serve", "--id-key-file", &pipe], &["serve", "--tokens-file", &pipe]] {
        let (code, said) = run(&[arguments, &["--listen", "127.0.0.1:0"]].concat());
        assert!(code == Some(2) && said.contains("no regular file"), "{arguments:?}: {code:?} {said}");
    }
}

#[test]
fn a_fault_of_the_settings_is_placed_and_no_line_of_them_shown() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.yaml");
    std::fs::write(&settings, "sources:\n  main:\n    kind: prometheus\n    bearer_token: hunter2\n   url: http://x\n").unwrap();
    let (code, said) = run(&["serve", "--settings", settings.to_str().unwrap()]);
    assert!(code == Some(2) && said.contains("settings.yaml") && said.contains("line") && !said.contains("hunter2"), "{code:?} {said}");
}
