//! The command line as people meet it. Also what makes the binary be built beside the tests.

use std::process::{Command, Output};

fn proxyd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proxyd")).args(args).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_bad_configuration_ends_with_78_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxyd.toml");
    std::fs::write(&file, "[http]\nlisen = [\"127.0.0.1:0\"]\n").expect("a file");
    let name = file.display().to_string();
    for command in ["check", "run"] {
        let output = proxyd(&[command, "-c", &name]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let said = text(&output.stderr);
        let wanted = format!("error: {name}:2:1: unknown field `lisen`, did you mean `listen`?");
        assert!(said.starts_with(&wanted), "{said}");
    }
    let missing = proxyd(&["check", "-c", "/nowhere/proxyd.toml"]);
    assert_eq!(missing.status.code(), Some(78));
}

/// What would keep it from starting is said before, with the key and what to do.
#[test]
fn a_folder_that_is_not_there_is_told_by_check_and_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, store) = (folder.path().join("proxyd.toml"), folder.path().join("no/proxyd.db"));
    std::fs::write(&file, format!("[store]\npath = {store:?}\n")).expect("a file");
    let name = file.display().to_string();
    let missing = folder.path().join("no");
    for command in ["check", "run"] {
        let output = proxyd(&[command, "-c", &name]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command}: {said}");
        let wanted = format!(
            "error: {name}:2:8: store.path: the folder {} does not exist: make it",
            missing.display()
        );
        assert!(said.starts_with(&wanted), "{said}");
    }
}

#[test]
fn check_and_show_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxyd.toml");
    std::fs::write(&file, "workers = 3\n[http]\nlisten = [\"127.0.0.1:8080\"]\n").expect("a file");
    let name = file.display().to_string();
    let checked = proxyd(&["check", "-c", &name]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let shown = text(&proxyd(&["config", "show", "-c", &name]).stdout);
    assert!(shown.contains("workers = 3") && shown.contains("127.0.0.1:8080"), "{shown}");
    std::fs::write(&file, &shown).expect("a file");
    let again = text(&proxyd(&["config", "show", "-c", &name]).stdout);
    assert_eq!(again, shown, "what is shown is a configuration");
}

#[test]
fn wrong_words_are_usage_errors() {
    assert_eq!(proxyd(&["frobnicate"]).status.code(), Some(2));
    assert!(text(&proxyd(&["--version"]).stdout).starts_with("proxyd "));
}
