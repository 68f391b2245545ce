//! What the program says about itself.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use crate::common::Home;

/// Names under the heading `Commands:` of a help text.
fn commands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_once(' '))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.is_empty() && name != "help")
        .collect()
}

/// Help of a command and of all commands below it.
fn collect(home: &Home, path: &[String], text: &mut String) {
    let arguments = [path, &["--help".to_owned()]].concat();
    let help = home.run(&arguments).ok().to_owned();
    let title =
        ["espbroker"].into_iter().chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    text.push_str(&format!("==== {title} ====\n\n{help}\n"));
    for command in commands(&help) {
        collect(home, &[path, &[command]].concat(), text);
    }
}

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    let mut text = String::new();
    collect(&home, &[], &mut text);
    assert_eq!(
        text.matches("\n==== ").count(),
        37,
        "23 commands, and 14 below `config`, `devices`, `export` and `firmware`"
    );
    let _guard = home.settled().bind_to_scope();
    insta::assert_snapshot!("help", text);
}

#[test]
fn without_arguments_the_help_is_shown_as_an_error() {
    let run = Home::new().run::<&str>(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("Usage: espbroker"));
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(Home::new().run(&["--version"]).ok(), concat!("espbroker ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn bash_accepts_its_completions_and_every_other_shell_gets_some() {
    let home = Home::new();
    let script = home.run(&["completions", "bash"]).ok().to_owned();
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(home.run(&["completions", shell]).ok().contains("espbroker"), "{shell}");
    }
}

#[test]
fn no_option_takes_a_secret_as_its_value() {
    let home = Home::new();
    let mut text = String::new();
    collect(&home, &[], &mut text);
    for line in text.lines().map(str::trim).filter(|line| line.starts_with("--") && line.contains('<')) {
        let option = line.split_whitespace().next().unwrap_or_default();
        let secret = ["password", "passphrase", "key", "secret"].iter().any(|word| option.contains(word));
        assert!(!secret || option.ends_with("-file"), "{line}");
    }
}
