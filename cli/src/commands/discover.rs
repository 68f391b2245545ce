//! `discover`: who is in the network.

use std::time::Duration;

use serde::Serialize;

use super::Context;
use crate::{
    arguments::DiscoverArguments,
    discover::{Found, Place, search},
    failure::Failure,
    hex::to_hex,
    registry::{Networks, Store, locate, note_found},
};

/// Version of the JSON report.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct DiscoverReport {
    version: u32,
    devices: Vec<Found>,
}

/// Asks, prints who has answered, and tells the registry where known devices are.
///
/// # Errors
///
/// When nobody can be asked, or the one device that was meant does not answer.
pub(crate) fn run(given: &DiscoverArguments, context: &Context) -> Result<(), Failure> {
    let patience = Duration::from_secs(given.seconds);
    let store = Store::open(context.screen)?;
    let found = match &given.name {
        None => search(&Place::networks(&given.interfaces), patience, &context.cancel, &|_| false)?,
        Some(name) => {
            let network = Networks { interfaces: &given.interfaces, patience, cancel: &context.cancel };
            vec![locate::<Failure>(name, &store.devices()?, &network)?]
        }
    };
    if let Err(error) = note_found(&store, &found) {
        context.screen.warning(Failure::from(error).sentence());
    }
    if given.json {
        return crate::print_json(&DiscoverReport { version: VERSION, devices: found });
    }
    if found.is_empty() {
        context.screen.line(format!("Nobody has answered within {} s.", given.seconds));
    }
    for found in found {
        let what = found.mac.map_or_else(|| "another broker".to_owned(), |mac| to_hex(&mac, ":"));
        crate::print(&format!(
            "{:16} {what:17}  {:21} {:8} {}\n",
            found.name,
            found.address(),
            found.firmware.as_deref().unwrap_or("-"),
            found.profile.as_deref().unwrap_or("-"),
        ))?;
    }
    Ok(())
}
