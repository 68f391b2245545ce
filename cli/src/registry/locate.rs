//! From a name to a device that answers: the registry first, then the network.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use espbroker_flasher::cancel::Cancel;

use super::{Entry, RegistryError};
use crate::{
    discover::{self, ALONE, DiscoverError, Found, Place},
    hex,
};

/// What can be asked; a test has one of its own.
pub(crate) trait Network {
    /// Asks one host.
    fn ask(&self, host: IpAddr) -> Result<Vec<Found>, DiscoverError>;
    /// Asks everybody, until one that is wanted answers.
    fn search(&self, wanted: &dyn Fn(&Found) -> bool) -> Result<Vec<Found>, DiscoverError>;
}

/// The networks of this computer.
pub(crate) struct Networks<'a> {
    pub(crate) interfaces: &'a [Ipv4Addr],
    pub(crate) patience: Duration,
    pub(crate) cancel: &'a Cancel,
}

impl Network for Networks<'_> {
    fn ask(&self, host: IpAddr) -> Result<Vec<Found>, DiscoverError> {
        discover::search(&Place::Host(host), ALONE.min(self.patience), self.cancel, &|_| true)
    }

    fn search(&self, wanted: &dyn Fn(&Found) -> bool) -> Result<Vec<Found>, DiscoverError> {
        discover::search(&Place::networks(self.interfaces), self.patience, self.cancel, wanted)
    }
}

/// Whether a device goes by this name: what the user calls it, what it is configured as, or its MAC address.
pub(crate) fn is_called(entry: &Entry, name: &str) -> bool {
    let is = |known: &str| known.eq_ignore_ascii_case(without_domain(name));
    entry.alias.as_deref().is_some_and(is)
        || is(&entry.name)
        || mac(name).is_some_and(|mac| entry.mac() == Some(mac))
}

/// `hall.local` is `hall`.
fn without_domain(name: &str) -> &str {
    name.strip_suffix(".local").unwrap_or(name)
}

/// A MAC address in any of its usual forms.
pub(crate) fn mac(text: &str) -> Option<[u8; 6]> {
    let digits: String = text.chars().filter(|character| !matches!(character, ':' | '-')).collect();
    hex::array(&digits)
}

/// The one device that goes by this name; one that the user calls so wins over one that is configured so.
///
/// # Errors
///
/// When several do.
pub(super) fn known<'a>(devices: &'a [Entry], name: &str) -> Result<Option<&'a Entry>, RegistryError> {
    let called = |entry: &&Entry| {
        entry.alias.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case(without_domain(name)))
    };
    if let Some(entry) = devices.iter().find(called) {
        return Ok(Some(entry));
    }
    let mut matching = devices.iter().filter(|entry| is_called(entry, name));
    match (matching.next(), matching.next()) {
        (Some(_), Some(_)) => {
            let macs = devices.iter().filter(|entry| is_called(entry, name)).map(Entry::mac_text).collect();
            Err(RegistryError::Several { name: name.to_owned(), macs })
        }
        (only, _) => Ok(only),
    }
}

/// The one known device that goes by this name.
///
/// # Errors
///
/// When none does, or several do.
pub(crate) fn only_called<'a>(devices: &'a [Entry], name: &str) -> Result<&'a Entry, RegistryError> {
    known(devices, name)?.ok_or_else(|| RegistryError::Unknown { name: name.to_owned() })
}

/// Finds the device with this name or address. A known one is asked where it was last seen; if another one answers there,
/// or nobody, everybody is asked.
///
/// # Errors
///
/// When nobody goes by that name and answers, or several do.
pub(crate) fn locate<E>(name: &str, devices: &[Entry], network: &dyn Network) -> Result<Found, E>
where
    E: From<RegistryError> + From<DiscoverError>,
{
    let not_found = || DiscoverError::NotFound { name: name.to_owned() };
    if let Ok(host) = name.parse() {
        return Ok(network.ask(host)?.into_iter().next().ok_or_else(not_found)?);
    }
    let Some(entry) = known(devices, name)? else {
        let wanted = |found: &Found| {
            let is_named = found.name.eq_ignore_ascii_case(without_domain(name));
            is_named || (found.mac.is_some() && found.mac == mac(name))
        };
        let mut found: Vec<Found> =
            network.search(&wanted)?.into_iter().filter(|found| wanted(found)).collect();
        if found.len() > 1 {
            let macs = found.iter().map(|found| match found.mac {
                Some(mac) => hex::to_hex(&mac, ":"),
                None => found.address(),
            });
            return Err(DiscoverError::Several { name: name.to_owned(), macs: macs.collect() }.into());
        }
        return Ok(found.pop().ok_or_else(not_found)?);
    };
    let wanted = |found: &Found| found.mac.is_some() && found.mac == entry.mac();
    if let Some(address) = entry.address
        && let Some(found) = network.ask(address)?.into_iter().find(wanted)
    {
        return Ok(found);
    }
    let found = network.search(&wanted)?.into_iter().find(wanted);
    Ok(found.ok_or_else(|| match entry.address {
        Some(_) => DiscoverError::Away { name: name.to_owned(), address: entry.address_text() },
        None => not_found(),
    })?)
}
