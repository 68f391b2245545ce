//! All that is drawn on stderr: steps, progress bars, notes and warnings.
//!
//! With a terminal, a step is a live line that turns into a tick; without one it is a plain line when it ends.
//! Nothing here knows what a step does.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Marks a step that ended well.
const DONE: Style = AnsiColor::Green.on_default().bold();
/// Marks a step that failed.
const FAILED: Style = AnsiColor::Red.on_default().bold();
/// Marks what a user should read twice.
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Less important text.
const DIM: Style = Style::new().dimmed();

/// Columns of a step's name.
const NAME_WIDTH: usize = 10;

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loudness {
    /// Errors only.
    Quiet,
    /// Steps, notes and warnings.
    Normal,
    /// Also what happens inside a step.
    Verbose,
    /// Also the serial protocol.
    Trace,
}

/// stderr as a place to report to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    loudness: Loudness,
    terminal: bool,
}

/// A step that has begun; dropping it without [`Step::done`] leaves a failure mark.
pub(crate) struct Step {
    screen: Screen,
    name: &'static str,
    begun: Instant,
    bar: ProgressBar,
    ended: bool,
}

impl Screen {
    /// A screen for this process's stderr.
    pub(crate) fn new(loudness: Loudness) -> Self {
        Self { loudness, terminal: std::io::stderr().is_terminal() }
    }

    /// Whether questions can be asked: both stdin and stderr are terminals.
    pub(crate) fn can_ask(self) -> bool {
        self.terminal && std::io::stdin().is_terminal()
    }

    /// Whether stderr is a terminal, and so not a log.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Width of the terminal; `None` where stderr is none.
    pub(crate) fn columns(self) -> Option<usize> {
        let (_, columns) = console::Term::stderr().size_checked().filter(|_| self.terminal)?;
        Some(usize::from(columns))
    }

    /// Whether anything of this loudness is shown.
    pub(crate) fn shows(self, loudness: Loudness) -> bool {
        loudness <= self.loudness
    }

    /// Prints one line.
    pub(crate) fn line(self, text: impl AsRef<str>) {
        self.print(Loudness::Normal, text.as_ref());
    }

    /// Prints one line of detail, shown with `-v`.
    pub(crate) fn detail(self, text: impl AsRef<str>) {
        self.print(Loudness::Verbose, &format!("{DIM}  {}{DIM:#}", text.as_ref()));
    }

    /// Prints one line of the protocol, shown with `-vv`.
    pub(crate) fn trace(self, text: impl AsRef<str>) {
        self.print(Loudness::Trace, &format!("{DIM}  {}{DIM:#}", text.as_ref()));
    }

    /// Prints a warning.
    pub(crate) fn warning(self, text: impl AsRef<str>) {
        self.print(Loudness::Normal, &format!("{WARNING}warning:{WARNING:#} {}", text.as_ref()));
    }

    /// Prints what has failed, however little is said.
    pub(crate) fn error(self, text: impl AsRef<str>) {
        self.print(Loudness::Quiet, text.as_ref().trim_end());
    }

    /// Begins a step of unknown length.
    pub(crate) fn step(self, name: &'static str, doing: &str) -> Step {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if self.terminal && self.shows(Loudness::Normal) {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(spinner());
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        bar.set_prefix(format!("{name:NAME_WIDTH$}"));
        bar.set_message(doing.to_owned());
        Step { screen: self, name, begun: Instant::now(), bar, ended: false }
    }

    fn print(self, loudness: Loudness, text: &str) {
        if self.shows(loudness) {
            // A closed stderr must not end the program half way through a flash.
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }
}

impl Step {
    /// The step's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Says what is being done now.
    pub(crate) fn doing(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// Shows `done` of `total` bytes.
    pub(crate) fn progress(&self, done: u64, total: u64) {
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
            self.bar.set_style(bar());
        }
        self.bar.set_position(done);
    }

    /// Prints a line above the live one.
    pub(crate) fn above(&self, print: impl FnOnce(Screen)) {
        self.bar.suspend(|| print(self.screen));
    }

    /// Ends the step well, and returns how long it took.
    pub(crate) fn done(mut self, result: &str) -> Duration {
        let took = self.begun.elapsed();
        self.end(&DONE, "✓", result);
        took
    }

    fn end(&mut self, style: &Style, mark: &str, result: &str) {
        self.ended = true;
        self.bar.finish_and_clear();
        let name = self.name;
        let seconds = self.begun.elapsed().as_secs_f64();
        self.screen.line(format!("{style}{mark}{style:#} {name:NAME_WIDTH$} {seconds:>5.1} s  {result}"));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.end(&FAILED, "✗", "");
        }
    }
}

/// Time left as people say it.
pub(crate) fn duration_words(duration: Duration) -> String {
    HumanDuration(duration).to_string()
}

// Both templates are constants that indicatif accepts; the plain style is what it would draw otherwise.
fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner:.cyan} {prefix} {elapsed:>7}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn bar() -> ProgressStyle {
    ProgressStyle::with_template(
        "{spinner:.cyan} {prefix} {elapsed:>7}  {bar:28.cyan/dim} {bytes}/{total_bytes}  {eta} left  {msg}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}
