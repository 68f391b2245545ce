//! Turns what the flasher reports into steps on the screen, and keeps the time that each step took.

use std::{cell::RefCell, time::Duration};

use espbroker_flasher::event::{Event, Stage, Warning};

use crate::{
    report::StepReport,
    screen::{Loudness, Screen, Step},
};

/// The step that is going on, and those that have ended.
pub(crate) struct Narrator {
    screen: Screen,
    step: RefCell<Option<Step>>,
    ended: RefCell<Vec<StepReport>>,
}

impl Narrator {
    /// A narrator without a step.
    pub(crate) fn new(screen: Screen) -> Self {
        Self { screen, step: RefCell::new(None), ended: RefCell::new(Vec::new()) }
    }

    /// Begins a step; one that still goes on has failed.
    pub(crate) fn begin(&self, name: &'static str, doing: &str) {
        let before = self.step.replace(None);
        drop(before);
        self.step.replace(Some(self.screen.step(name, doing)));
    }

    /// Ends the step well.
    pub(crate) fn end(&self, result: &str) {
        if let Some(step) = self.step.replace(None) {
            let name = step.name();
            let took = step.done(result);
            self.ended.borrow_mut().push(StepReport::new(name, took));
        }
    }

    /// Ends the step with its failure mark, before an error is printed.
    pub(crate) fn fail(&self) {
        drop(self.step.replace(None));
    }

    /// Runs `work` as one step.
    ///
    /// # Errors
    ///
    /// Those of `work`; the step is then marked as failed.
    pub(crate) fn step<T, E>(
        &self,
        name: &'static str,
        doing: &str,
        work: impl FnOnce() -> Result<(T, String), E>,
    ) -> Result<T, E> {
        self.begin(name, doing);
        match work() {
            Ok((value, result)) => {
                self.end(&result);
                Ok(value)
            }
            Err(error) => {
                self.fail();
                Err(error)
            }
        }
    }

    /// Says what is being done now within the step.
    pub(crate) fn doing(&self, text: &str) {
        if let Some(step) = self.step.borrow().as_ref() {
            step.doing(text);
        }
    }

    /// Shows how far the step is.
    pub(crate) fn progress(&self, done: u64, total: u64) {
        if let Some(step) = self.step.borrow().as_ref() {
            step.progress(done, total);
        }
    }

    /// Prints a warning about the device.
    pub(crate) fn warning(&self, text: &str) {
        self.above(|screen| screen.warning(text));
    }

    /// Prints a line about the device that shows with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        self.above(|screen| screen.detail(text));
    }

    /// Prints something above the step.
    pub(crate) fn above(&self, print: impl FnOnce(Screen)) {
        match self.step.borrow().as_ref() {
            Some(step) => step.above(print),
            None => print(self.screen),
        }
    }

    /// The steps that ended well, in order.
    pub(crate) fn ended(&self) -> Vec<StepReport> {
        self.ended.borrow().clone()
    }

    /// Time of all steps that ended well.
    pub(crate) fn total(&self) -> Duration {
        self.ended.borrow().iter().map(|step| Duration::from_secs_f64(step.seconds)).sum()
    }

    /// Takes one event of the flasher.
    pub(crate) fn event(&self, event: Event) {
        match event {
            Event::Stage(stage) => self.doing(stage_words(stage)),
            Event::Progress(progress) => self.progress(u64::from(progress.done), u64::from(progress.total)),
            Event::Retry { attempt, attempts, reason, .. } => {
                self.detail(&format!("attempt {attempt} of {attempts}: {reason}"));
            }
            Event::Warning(warning) => self.warning(&warning_words(&warning)),
            Event::Diagnosed(diagnosis) => self.warning(&diagnosis.to_string()),
            Event::WaitingForDownloadMode { waited } => self.doing(&format!(
                "waiting for the loader ({} s): hold GPIO0 to GND and power-cycle the device",
                waited.as_secs()
            )),
            Event::Trace(trace) if self.screen.shows(Loudness::Trace) => {
                self.above(|screen| screen.trace(trace.to_string()));
            }
            Event::Trace(_) => {}
        }
    }
}

fn stage_words(stage: Stage) -> &'static str {
    match stage {
        Stage::Reset => "resetting into the loader",
        Stage::Sync => "looking for the loader",
        Stage::Diagnose => "no reply; listening to the boot log",
        Stage::Identify => "reading chip, MAC address and flash id",
        Stage::StartStub => "starting the stub",
        Stage::ChangeBaud => "going to a faster rate",
        Stage::Compare => "comparing with what is there",
        Stage::Erase => "erasing",
        Stage::Write => "writing",
        Stage::Verify => "verifying",
        Stage::Read => "reading",
        Stage::Boot => "starting the firmware",
    }
}

fn warning_words(warning: &Warning) -> String {
    match warning {
        Warning::NoControlLines => {
            "this port has no DTR and RTS lines: hold GPIO0 to GND and reset the device by hand".to_owned()
        }
        Warning::BaudFailed { baud } => {
            format!("{baud} baud does not work with this adapter and cable; going slower")
        }
        Warning::StubDidNotStart { reason } => {
            format!("the stub did not start ({reason}); going on with the boot ROM, which is slower")
        }
    }
}
