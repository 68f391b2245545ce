//! `batch`: many devices on many ports at once.

use super::Context;
use crate::{arguments::BatchArguments, batch, failure::Failure};

/// Sets up the fleet.
///
/// # Errors
///
/// When it could not run, and when a device is not done.
pub(crate) fn run(given: &BatchArguments, context: &Context) -> Result<(), Failure> {
    batch::run(given, context.screen, &context.cancel)
}
