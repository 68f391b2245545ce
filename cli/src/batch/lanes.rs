//! The screen of a batch: a line for each port, one for the whole, and what has happened above them.
//!
//! Without a terminal there are no live lines, only what has happened. A lane also knows which step may be stopped: an
//! image or settings that are being written are finished first, so that Ctrl-C leaves no device half written.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use espbroker_flasher::cancel::Cancel;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    narrator,
    screen::{Loudness, Screen},
};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// Steps that are not stopped in the middle: what they write would be lost, or they are nearly over.
const UNSTOPPABLE: [&str; 4] = ["flash", "configure", "test", "bridges"];
/// Of those, the ones that are begun although an end was asked for.
const LAST: [&str; 2] = ["test", "bridges"];

/// Whether the terminal's bell rings when a device can be unplugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bell {
    Rings,
    IsQuiet,
}

/// The whole screen.
#[derive(Clone)]
pub(super) struct Board {
    screen: Screen,
    bars: MultiProgress,
    head: ProgressBar,
    bell: Bell,
}

impl Board {
    /// A screen with the line for the whole.
    pub(super) fn new(screen: Screen, bell: Bell) -> Self {
        let is_live = screen.is_terminal() && screen.shows(Loudness::Normal);
        let target =
            if is_live { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let head = bars.add(ProgressBar::new_spinner());
        head.set_style(style("{wide_msg}"));
        Self { screen, bars, head, bell }
    }

    /// Says how far the whole is.
    pub(super) fn whole(&self, text: &str) {
        self.head.set_message(text.to_owned());
    }

    /// A line for a port.
    pub(super) fn lane(&self, port: &str) -> PortLane {
        let bar = self.bars.insert_before(&self.head, ProgressBar::new_spinner());
        bar.set_style(style(SPINNER));
        bar.set_prefix(format!("{:PORT_WIDTH$}", short(port)));
        let state =
            State { manner: Manner::Open, who: None, stopping: false, step: None, cancel: Cancel::default() };
        PortLane { board: self.clone(), port: port.to_owned(), bar, state: Arc::new(Mutex::new(state)) }
    }

    /// Prints above all lines.
    pub(super) fn above(&self, print: impl FnOnce(Screen)) {
        self.bars.suspend(|| print(self.screen));
    }

    /// A device is finished: it can be unplugged.
    pub(super) fn good(&self, text: &str) {
        self.above(|screen| screen.line(format!("{GOOD}✓{GOOD:#} {text}")));
        self.ring();
    }

    /// A device has failed.
    pub(super) fn bad(&self, text: &str, hint: Option<&str>) {
        self.above(|screen| {
            screen.line(format!("{BAD}✗{BAD:#} {text}"));
            if let Some(hint) = hint {
                screen.line(format!("  {DIM}hint: {hint}{DIM:#}"));
            }
        });
        self.ring();
    }

    fn ring(&self) {
        if self.bell == Bell::Rings && self.screen.is_terminal() && self.screen.shows(Loudness::Normal) {
            use std::io::Write as _;
            // A terminal that is gone hears nothing.
            let _ = std::io::stderr().write_all(b"\x07");
        }
    }

    /// Takes all live lines away.
    pub(super) fn clear(&self) {
        let _ = self.bars.clear();
    }
}

/// Columns of a port's name.
const PORT_WIDTH: usize = 16;
const PLAIN: &str = "{prefix}   {wide_msg}";
const SPINNER: &str = "{prefix} {spinner:.cyan} {wide_msg}";
const BAR: &str = "{prefix} {spinner:.cyan} {bar:20.cyan/dim} {percent:>3}%  {wide_msg}";

/// A constant that indicatif accepts; the plain style is what it would draw otherwise.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A port's name in as many columns as there are, without what all of them have in front.
fn short(port: &str) -> &str {
    let name = port.strip_prefix("rfc2217://").or_else(|| port.strip_prefix("/dev/")).unwrap_or(port);
    let surplus = name.chars().count().saturating_sub(PORT_WIDTH);
    name.char_indices().nth(surplus).map_or(name, |(start, _)| name.get(start..).unwrap_or(name))
}

/// How a device is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// There is one.
    Open,
    /// There may be none: nothing is said until one has answered.
    Quiet,
}

struct State {
    manner: Manner,
    /// What the device on the port is called.
    who: Option<String>,
    /// An end was asked for.
    stopping: bool,
    step: Option<&'static str>,
    cancel: Cancel,
}

/// One port's line.
#[derive(Clone)]
pub(super) struct PortLane {
    board: Board,
    port: String,
    bar: ProgressBar,
    state: Arc<Mutex<State>>,
}

impl PortLane {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with a device of which nothing is known yet; gives what stops the work on it.
    pub(super) fn device(&self, manner: Manner) -> Cancel {
        let mut state = self.state();
        state.manner = manner;
        state.who = None;
        state.step = None;
        state.cancel = Cancel::default();
        if state.stopping {
            state.cancel.cancel();
        }
        state.cancel.clone()
    }

    /// The device is known now.
    pub(super) fn name(&self, name: &str) {
        let mut state = self.state();
        state.who = Some(name.to_owned());
        state.manner = Manner::Open;
    }

    /// Whether this is the same line.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Whether a device that is known is being worked on.
    pub(super) fn is_at_work(&self) -> bool {
        self.state().who.is_some()
    }

    /// Asks for an end: at once where that does no harm, else after the step.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        if !state.step.is_some_and(|step| UNSTOPPABLE.contains(&step)) {
            state.cancel.cancel();
        }
    }

    /// The work is over, and this is what the user is to do.
    pub(super) fn rest(&self, good: bool, text: &str) {
        self.forget();
        let style = if good { GOOD } else { BAD };
        self.plain(&format!("{style}{text}{style:#}"));
        self.bar.disable_steady_tick();
    }

    /// Nothing goes on.
    pub(super) fn idle(&self, text: &str) {
        self.forget();
        self.plain(&format!("{DIM}{text}{DIM:#}"));
        self.bar.disable_steady_tick();
    }

    fn forget(&self) {
        let mut state = self.state();
        state.step = None;
        state.who = None;
    }

    fn plain(&self, text: &str) {
        self.bar.set_style(style(PLAIN));
        self.bar.set_message(text.to_owned());
        self.bar.tick();
    }

    /// What goes on, with the device's name in front.
    fn show(&self, doing: &str) {
        let state = self.state();
        if state.manner == Manner::Quiet {
            return;
        }
        let who = state.who.clone().unwrap_or_default();
        let step = state.step.unwrap_or_default();
        drop(state);
        self.bar.set_message(format!("{who:20} {step:10} {doing}"));
    }

    /// The line goes away with its port.
    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
        self.board.bars.remove(&self.bar);
    }

    fn label(&self) -> String {
        let who = self.state().who.clone();
        who.map_or_else(|| self.port.clone(), |who| format!("{who} on {}", self.port))
    }
}

impl narrator::Lane for PortLane {
    fn begin(&self, step: &'static str, doing: &str) {
        let mut state = self.state();
        state.step = Some(step);
        if state.stopping && !LAST.contains(&step) {
            state.cancel.cancel();
        }
        let is_quiet = state.manner == Manner::Quiet;
        drop(state);
        if is_quiet {
            return;
        }
        self.bar.set_style(style(SPINNER));
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.show(doing);
    }

    fn doing(&self, text: &str) {
        self.show(text);
    }

    fn progress(&self, done: u64, total: u64) {
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
            self.bar.set_style(style(BAR));
        }
        self.bar.set_position(done);
    }

    fn end(&self, step: &'static str, took: Duration, result: &str) {
        self.detail(Loudness::Verbose, &format!("{step} {:.1} s: {result}", took.as_secs_f64()));
        self.bar.unset_length();
    }

    fn warning(&self, text: &str) {
        if self.state().manner == Manner::Quiet {
            return;
        }
        let label = self.label();
        self.board.above(|screen| screen.warning(format!("{label}: {text}")));
    }

    fn detail(&self, loudness: Loudness, text: &str) {
        if self.board.screen.shows(loudness) {
            let label = self.label();
            self.board.above(|screen| screen.detail(format!("{label}: {text}")));
        }
    }

    fn above(&self, print: &mut dyn FnMut(Screen)) {
        self.board.above(print);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::narrator::Lane as _;

    fn lane() -> PortLane {
        Board::new(Screen::new(Loudness::Quiet), Bell::IsQuiet).lane("/dev/ttyUSB0")
    }

    #[test]
    fn what_is_being_written_is_finished_before_the_end_and_nothing_else_is_begun() {
        let lane = lane();
        let cancel = lane.device(Manner::Open);
        lane.begin("flash", "");
        lane.stop();
        assert!(!cancel.is_cancelled());
        lane.begin("configure", "");
        assert!(cancel.is_cancelled());
        assert!(lane.device(Manner::Open).is_cancelled(), "the next device is not begun");
    }

    #[test]
    fn waiting_ends_at_once_and_a_device_that_only_has_to_be_tested_is_tested() {
        let waiting = lane();
        let cancel = waiting.device(Manner::Open);
        waiting.begin("join", "");
        waiting.stop();
        assert!(cancel.is_cancelled());

        let testing = lane();
        let cancel = testing.device(Manner::Open);
        testing.begin("test", "");
        testing.stop();
        testing.begin("bridges", "");
        assert!(!cancel.is_cancelled());
    }

    #[test]
    fn a_long_port_keeps_its_end() {
        assert_eq!(short("/dev/ttyUSB0"), "ttyUSB0");
        assert_eq!(short("rfc2217://127.0.0.1:35101"), "127.0.0.1:35101");
        assert_eq!(short("rfc2217://serial-server.example.org:35101"), "xample.org:35101");
    }
}
