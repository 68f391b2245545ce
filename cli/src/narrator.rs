//! Turns what the flasher reports into steps on the screen, and keeps the time that each step took.
//!
//! A narrator has the screen to itself, or one [`Lane`] of it among others.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use espbroker_flasher::event::{Event, Stage, Warning};

use crate::{
    report::StepReport,
    screen::{Loudness, Screen, Step},
};

/// One line among several, for work on several devices at once.
pub(crate) trait Lane {
    /// A step begins.
    fn begin(&self, step: &'static str, doing: &str);
    /// What is done now within the step.
    fn doing(&self, text: &str);
    /// How far the step is.
    fn progress(&self, done: u64, total: u64);
    /// A step has ended well.
    fn end(&self, step: &'static str, took: Duration, result: &str);
    /// Something to be read twice, about this lane's device.
    fn warning(&self, text: &str);
    /// A line of detail about this lane's device, that shows with this loudness.
    fn detail(&self, loudness: Loudness, text: &str);
    /// Prints above all lines.
    fn above(&self, print: &mut dyn FnMut(Screen));
}

/// Where steps are shown.
enum Place {
    /// On a line that this narrator draws.
    Screen(RefCell<Option<Step>>),
    /// On one that somebody else draws: name and beginning of the step, if there is one.
    Lane(Box<dyn Lane>, Cell<Option<(&'static str, Instant)>>),
}

/// The step that is going on, and those that have ended.
pub(crate) struct Narrator {
    screen: Screen,
    place: Place,
    ended: RefCell<Vec<StepReport>>,
}

impl Narrator {
    /// A narrator without a step.
    pub(crate) fn new(screen: Screen) -> Self {
        Self { screen, place: Place::Screen(RefCell::new(None)), ended: RefCell::new(Vec::new()) }
    }

    /// A narrator that shares the screen with others.
    pub(crate) fn in_lane(screen: Screen, lane: Box<dyn Lane>) -> Self {
        Self { screen, place: Place::Lane(lane, Cell::new(None)), ended: RefCell::new(Vec::new()) }
    }

    /// Begins a step; one that still goes on has failed.
    pub(crate) fn begin(&self, name: &'static str, doing: &str) {
        match &self.place {
            Place::Screen(step) => {
                let before = step.replace(None);
                drop(before);
                step.replace(Some(self.screen.step(name, doing)));
            }
            Place::Lane(lane, step) => {
                step.set(Some((name, Instant::now())));
                lane.begin(name, doing);
            }
        }
    }

    /// Ends the step well.
    pub(crate) fn end(&self, result: &str) {
        let ended = match &self.place {
            Place::Screen(step) => step.replace(None).map(|step| (step.name(), step.done(result))),
            Place::Lane(lane, step) => step.take().map(|(name, begun)| {
                let took = begun.elapsed();
                lane.end(name, took, result);
                (name, took)
            }),
        };
        self.ended.borrow_mut().extend(ended.map(|(name, took)| StepReport::new(name, took)));
    }

    /// Ends the step with its failure mark, before an error is printed.
    pub(crate) fn fail(&self) {
        match &self.place {
            Place::Screen(step) => drop(step.replace(None)),
            Place::Lane(_, step) => step.set(None),
        }
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
        match &self.place {
            Place::Screen(step) => step.borrow().iter().for_each(|step| step.doing(text)),
            Place::Lane(lane, _) => lane.doing(text),
        }
    }

    /// Shows how far the step is.
    pub(crate) fn progress(&self, done: u64, total: u64) {
        match &self.place {
            Place::Screen(step) => step.borrow().iter().for_each(|step| step.progress(done, total)),
            Place::Lane(lane, _) => lane.progress(done, total),
        }
    }

    /// Prints a warning about the device.
    pub(crate) fn warning(&self, text: &str) {
        match &self.place {
            Place::Screen(_) => self.above(|screen| screen.warning(text)),
            Place::Lane(lane, _) => lane.warning(text),
        }
    }

    /// Prints a line about the device that shows with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        match &self.place {
            Place::Screen(_) => self.above(|screen| screen.detail(text)),
            Place::Lane(lane, _) => lane.detail(Loudness::Verbose, text),
        }
    }

    /// Prints something above the step.
    pub(crate) fn above(&self, print: impl FnOnce(Screen)) {
        match &self.place {
            Place::Screen(step) => match step.borrow().as_ref() {
                Some(step) => step.above(print),
                None => print(self.screen),
            },
            Place::Lane(lane, _) => {
                let mut print = Some(print);
                lane.above(&mut |screen| {
                    if let Some(print) = print.take() {
                        print(screen);
                    }
                });
            }
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
                let text = trace.to_string();
                match &self.place {
                    Place::Screen(_) => self.above(|screen| screen.trace(text)),
                    Place::Lane(lane, _) => lane.detail(Loudness::Trace, &text),
                }
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
