//! What other commands tell the registry.

use std::{
    net::{IpAddr, SocketAddr},
    time::{SystemTime, UNIX_EPOCH},
};

use espbroker_config::{model::Config, secret::Secret};

use super::{Entry, Keyring, RegistryError, Secrets, Store, system_keyring};
use crate::{
    check::Login, device::Device, discover::Found, failure::Failure, hex::to_hex, screen::Screen,
    settings::HiddenText,
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

impl Seen {
    /// Address and port of its broker.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.mqtt_port?))
    }
}

/// Keeps what was learnt. That it cannot be kept is no reason to stop, and is said.
pub(crate) fn learn(learnt: &Learnt<'_>, screen: Screen) {
    let keyring = system_keyring();
    let kept = Store::open(screen).and_then(|store| keep(&store, learnt, keyring.as_deref(), now(), screen));
    if let Err(error) = kept {
        screen.warning(format!("this device is not in the registry: {}", Failure::from(error).sentence()));
    }
}

/// Keeps the key that a device has and the one that it is about to be given.
///
/// # Errors
///
/// When they cannot be kept: it must not be given the new one then.
pub(crate) fn keep_next_key(
    mac: [u8; 6],
    before: &Config,
    after: &Config,
    screen: Screen,
) -> Result<(), RegistryError> {
    keep_next(&Store::open(screen)?, mac, (before, after), system_keyring().as_deref(), screen)
}

pub(super) fn keep_next(
    store: &Store,
    mac: [u8; 6],
    (before, after): (&Config, &Config),
    keyring: Option<&dyn Keyring>,
    screen: Screen,
) -> Result<(), RegistryError> {
    change(store, mac, |entry| {
        if entry.name.is_empty() {
            entry.name.clone_from(&before.name);
        }
        // What cannot be read now would be lost.
        entry.secrets(keyring)?;
        let hidden =
            |config: &Config| config.admin_key.as_ref().map(|key| HiddenText(to_hex(key.expose(), "")));
        let keys = Secrets { admin_key: hidden(before), next_admin_key: hidden(after), ..Secrets::default() };
        keep_secrets(entry, keys, keyring, screen);
        Ok(())
    })
}

/// Changes what is known of one device, which may be new.
fn change(
    store: &Store,
    mac: [u8; 6],
    change: impl FnOnce(&mut Entry) -> Result<(), RegistryError>,
) -> Result<(), RegistryError> {
    let mac = to_hex(&mac, "");
    store.update(|devices| {
        if !devices.iter().any(|entry| entry.mac == mac) {
            devices.push(Entry { mac: mac.clone(), ..Entry::default() });
        }
        devices.iter_mut().find(|entry| entry.mac == mac).map_or(Ok(()), change)
    })
}

/// Forgets devices, and first what the keyring has of them.
///
/// # Errors
///
/// When the keyring does not let go, or the registry cannot be written.
pub(crate) fn forget(
    store: &Store,
    macs: &[String],
    keyring: Option<&dyn Keyring>,
) -> Result<(), RegistryError> {
    store.update(|devices| {
        for entry in devices.iter().filter(|entry| entry.in_keyring && macs.contains(&entry.mac)) {
            let keyring = keyring.ok_or(RegistryError::NoKeyring)?;
            keyring.remove(&entry.mac).map_err(RegistryError::Keyring)?;
        }
        devices.retain(|entry| !macs.contains(&entry.mac));
        Ok(())
    })
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
    change(store, learnt.mac, |entry| {
        fill(entry, learnt, now);
        keep_secrets(entry, secrets(learnt), keyring, screen);
        Ok(())
    })
}

fn fill(entry: &mut Entry, learnt: &Learnt<'_>, now: u64) {
    entry.name.clone_from(&learnt.config.name);
    entry.profile = learnt.config.profile.as_ref().map(|profile| profile.id.clone());
    if let Some(port) = learnt.port {
        entry.port = Some(port.to_owned());
        entry.adapter = Device::Port(port.to_owned()).adapter();
    }
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
        next_admin_key: None,
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
