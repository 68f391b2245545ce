//! How the program ends when it does not end well: one message, its causes, one next step, an exit code.
//!
//! The only place with hints and exit codes: an error type says what happened; here, in a file for each kind of work, it
//! is decided what a user should do about it. Hints never suggest `sudo`, and never show a secret.

mod batch;
mod command;
mod device;
mod loader;
mod reconfigure;
mod supply;

use std::{error::Error, fmt::Write as _, process::ExitCode};

use anstyle::{AnsiColor, Style};

pub(crate) use self::{device::bridge_hint, supply::trouble_hint};

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: the device's answer is no.
    No,
    /// 2: it could not be done.
    Unable,
    /// 130: stopped by the user, as shells count SIGINT.
    Stopped,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::No => 1,
            Exit::Unable => 2,
            Exit::Stopped => 130,
        })
    }
}

/// An error with what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    pub(crate) exit: Exit,
}

/// Decides about one error type.
trait Explain: Error {
    /// Exit code and next step.
    fn explain(&self) -> (Exit, Option<String>);
}

impl<E: Explain + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let (exit, hint) = error.explain();
        Self { error: Box::new(error), hint, exit }
    }
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// Columns of `hint: `, which the lines of a long hint stand behind.
const HINT_INDENT: usize = 6;

impl Failure {
    /// Message and causes in one line, for what goes on in spite of it.
    pub(crate) fn sentence(&self) -> String {
        self.chain().join(": ")
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether the user has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        self.exit == Exit::Stopped
    }

    /// What happened and its causes, each said once.
    fn chain(&self) -> Vec<String> {
        let mut said = vec![self.error.to_string()];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Some messages already end with their cause.
            if !said.last().is_some_and(|before| before.contains(&words)) {
                said.push(words);
            }
            cause = error.source();
        }
        said
    }

    /// The whole message, as it goes to stderr; the hint is broken into lines of at most `columns`.
    pub(crate) fn text(&self, columns: Option<usize>) -> String {
        let mut text = format!("{ERROR}error:{ERROR:#} {}\n", self.error);
        for cause in self.chain().iter().skip(1) {
            let _ = writeln!(text, "  caused by: {cause}");
        }
        if let Some(hint) = &self.hint {
            let hint = match columns {
                Some(columns) => textwrap::fill(hint, columns.saturating_sub(HINT_INDENT).max(HINT_INDENT))
                    .replace('\n', &format!("\n{:HINT_INDENT$}", "")),
                None => hint.clone(),
            };
            let _ = write!(text, "\n{HINT}hint:{HINT:#} {hint}\n");
        }
        text
    }
}

fn unable(hint: impl Into<String>) -> (Exit, Option<String>) {
    (Exit::Unable, Some(hint.into()))
}

fn no(hint: impl Into<String>) -> (Exit, Option<String>) {
    (Exit::No, Some(hint.into()))
}

const CABLE: &str = "try another cable, another USB port, and an adapter that can power the board (300 mA)";
const RERUN: &str = "run the same command again: it starts over from what is there";

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use espbroker_flasher::{
        CommandError as LoaderError, FlasherError, ProgramError, transport::TransportError,
    };

    use super::*;
    use crate::settings::SettingsError;

    #[test]
    fn a_cause_that_the_message_already_holds_is_not_said_twice() {
        let failure = Failure::from(SettingsError::Read {
            what: "settings",
            path: "x.toml".into(),
            source: std::io::Error::new(ErrorKind::NotFound, "no such file"),
        });
        assert_eq!(
            anstream::adapter::strip_str(&failure.text(None)).to_string(),
            "error: cannot read settings: `x.toml`\n  caused by: no such file\n"
        );
    }

    #[test]
    fn a_port_that_goes_away_is_explained_by_what_was_going_on() {
        let gone = |port: &str| TransportError::Gone { port: port.to_owned() };
        let hint = |error: FlasherError| {
            let (exit, hint) = error.explain();
            assert_eq!(exit, Exit::Unable);
            hint.unwrap()
        };
        assert!(hint(gone("p").into()).contains("plug it in again"));
        assert!(hint(gone("rfc2217://h:1").into()).contains("another program may use its port"));
        let writing = ProgramError::Write {
            region: "firmware".to_owned(),
            offset: 0,
            source: LoaderError::Transport(gone("rfc2217://h:1")),
        };
        assert!(hint(writing.into()).contains("while it was written"));
    }

    #[test]
    fn a_serial_server_that_is_not_there_is_asked_about() {
        let port = "rfc2217://h:1".to_owned();
        let refused = TransportError::Other { port, message: "connection refused".to_owned() };
        let (exit, hint) = FlasherError::from(refused).explain();
        assert_eq!(exit, Exit::Unable);
        assert!(hint.unwrap().contains("is the serial server running"));
    }
}
