//! `rotate-keys`: another admin key.
//!
//! Both keys are kept here from before the write until the device has answered under the new one; whatever is cut, one
//! of the two fits.

use espbroker_config::{model::Config, secret::Secret};

use super::Context;
use crate::{
    arguments::RotateKeysArguments,
    credentials,
    failure::Failure,
    reconfigure::{Job, ReconfigureError, Work},
    registry::keep_next_key,
};

struct NewKey;

impl Work for NewKey {
    fn change(&self, before: &Config) -> Result<Config, Failure> {
        let mut after = before.clone();
        after.admin_key = Some(Secret::new(credentials::random()?));
        Ok(after)
    }

    fn keep(
        &self,
        mac: Option<[u8; 6]>,
        before: &Config,
        after: &Config,
        context: &Context,
    ) -> Result<(), Failure> {
        let mac = mac.ok_or_else(|| ReconfigureError::NoMac { name: before.name.clone() })?;
        Ok(keep_next_key(mac, before, after, context.screen)?)
    }
}

/// Gives one device a new key, or each of all.
///
/// # Errors
///
/// The first thing that stands in the way; with `--all`, that something has.
pub(crate) fn run(given: &RotateKeysArguments, context: &Context) -> Result<(), Failure> {
    Job { work: &NewKey, how: &given.how, which: &given.which, context }.run()
}
