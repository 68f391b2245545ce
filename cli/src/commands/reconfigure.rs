//! `reconfigure`: what is named changes, all else stays.

use espbroker_config::model::Config;

use super::Context;
use crate::{
    arguments::ReconfigureArguments,
    check::Login,
    failure::Failure,
    reconfigure::{Change, Job, Work},
};

impl Work for Change {
    fn change(&self, before: &Config) -> Result<Config, Failure> {
        Ok(self.of(before)?)
    }

    fn login(&self, after: &Config, known: Option<Login>) -> Option<Login> {
        Change::login(self, after, known)
    }
}

/// Changes one device, or all.
///
/// # Errors
///
/// The first thing that stands in the way; with `--all`, that something has.
pub(crate) fn run(given: &ReconfigureArguments, context: &Context) -> Result<(), Failure> {
    // What cannot be used is found with no device at all.
    let change = Change::read(&given.change, given.which.all, context.screen)?;
    Job { work: &change, how: &given.how, which: &given.which, context }.run()
}
