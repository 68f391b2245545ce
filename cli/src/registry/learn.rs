//! What other commands tell the registry.

use std::{
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use espbroker_config::{model::Config, secret::Secret};

use super::{Entry, Keyring, RegistryError, Secrets, Store, system_keyring};
use crate::{
    check::Login, discover::Found, failure::Failure, hex::to_hex, screen::Screen, settings::HiddenText,
};

/// What was learnt of a device that was written to.
pub(crate) struct Learnt<'a> {
    pub(crate) mac: [u8; 6],
    pub(crate) config: &'a Config,
    /// Firmware version, where it is known.
    pub(crate) version: Option<&'a str>,
    /// Serial port, where it was named.
    pub(crate) port: Option<&'a str>,
    /// A user whose password was generated.
    pub(crate) login: Option<&'a Login>,
    /// Where it is, once it runs.
    pub(crate) seen: Option<Seen>,
}

/// Where a device that runs can be reached.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) address: Option<IpAddr>,
    pub(crate) mqtt_port: Option<u16>,
    pub(crate) websocket_port: Option<u16>,
}

/// Keeps what was learnt. That it cannot be kept is no reason to stop, and is said.
pub(crate) fn learn(learnt: &Learnt<'_>, screen: Screen) {
    let keyring = system_keyring();
    let kept = Store::open(screen).and_then(|store| keep(&store, learnt, keyring.as_deref(), now(), screen));
    if let Err(error) = kept {
        screen.warning(format!("this device is not in the registry: {}", Failure::from(error).sentence()));
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

pub(super) fn keep(
    store: &Store,
    learnt: &Learnt<'_>,
    keyring: Option<&dyn Keyring>,
    now: u64,
    screen: Screen,
) -> Result<(), RegistryError> {
    let mac = to_hex(&learnt.mac, "");
    store.update(|devices| {
        let index = devices.iter().position(|entry| entry.mac == mac).unwrap_or_else(|| {
            devices.push(Entry { mac, ..Entry::default() });
            devices.len() - 1
        });
        if let Some(entry) = devices.get_mut(index) {
            fill(entry, learnt, now);
            keep_secrets(entry, secrets(learnt), keyring, screen);
        }
        Ok(())
    })
}

fn fill(entry: &mut Entry, learnt: &Learnt<'_>, now: u64) {
    entry.name.clone_from(&learnt.config.name);
    entry.profile = learnt.config.profile.as_ref().map(|profile| profile.id.clone());
    entry.port = learnt.port.map(str::to_owned).or(entry.port.take());
    if let Some(version) = learnt.version {
        entry.version = Some(version.to_owned());
    }
    if let Some(seen) = learnt.seen {
        entry.address = seen.address.or(entry.address);
        entry.mqtt_port = seen.mqtt_port;
        entry.websocket_port = seen.websocket_port;
        entry.last_seen = now;
    }
}

fn secrets(learnt: &Learnt<'_>) -> Secrets {
    let key = learnt.config.admin_key.as_ref().map(|key| HiddenText(to_hex(key.expose(), "")));
    Secrets {
        admin_key: key,
        user: learnt.login.map(|login| login.user.clone()),
        password: learnt.login.map(|login| HiddenText(login.password.expose().clone())),
    }
}

/// Adds secrets to those that are known, in the keyring if it takes them, else in the file.
fn keep_secrets(entry: &mut Entry, new: Secrets, keyring: Option<&dyn Keyring>, screen: Screen) {
    let older = match entry.secrets(keyring) {
        Ok(older) => older,
        Err(error) => {
            if entry.in_keyring {
                screen.warning(format!("older secrets of `{}` are out of reach: {error}", entry.label()));
            }
            Secrets::default()
        }
    };
    let all = new.or(older.clone());
    if all.is_empty() || (entry.in_keyring && all == older) {
        return;
    }
    entry.in_keyring = false;
    if let Some(keyring) = keyring {
        let text = Secret::new(serde_json::to_string(&all).unwrap_or_default());
        match keyring.save(&entry.mac, &text) {
            Ok(()) => {
                entry.in_keyring = true;
                entry.secrets = Secrets::default();
                return;
            }
            Err(error) => {
                screen
                    .warning(format!("the keyring takes no secrets, so they go to a private file: {error}"));
            }
        }
    }
    entry.secrets = all;
}

/// Notes where known devices were found. What is found is not added: anybody can say anything in a network.
///
/// # Errors
///
/// When the registry cannot be used.
pub(crate) fn note_found(store: &Store, found: &[Found]) -> Result<(), RegistryError> {
    note(store, found, now())
}

pub(super) fn note(store: &Store, found: &[Found], now: u64) -> Result<(), RegistryError> {
    let is_of = |entry: &Entry, found: &Found| found.mac.is_some() && found.mac == entry.mac();
    let devices = store.devices()?;
    if !devices.iter().any(|entry| found.iter().any(|found| is_of(entry, found))) {
        return Ok(());
    }
    store.update(|devices| {
        for entry in devices {
            if let Some(found) = found.iter().find(|found| is_of(entry, found)) {
                entry.address = Some(found.host);
                entry.mqtt_port = found.mqtt_port;
                entry.websocket_port = found.websocket_port;
                entry.version = found.firmware.clone().or(entry.version.take());
                entry.last_seen = now;
            }
        }
        Ok(())
    })
}
