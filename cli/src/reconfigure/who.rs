//! Whose settings are changed, what is known of them, and where they may be.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use espbroker_config::{defaults::MQTT_PORT, secret::Secret};
use espbroker_flasher::cancel::Cancel;

use super::{ReconfigureError, remote::AdminKey};
use crate::{
    arguments::{Via, WhichArguments},
    check::Login,
    commands::Context,
    device::Device,
    discover::Found,
    failure::Failure,
    hex,
    registry::{self, Entry, Networks, Secrets, Store, locate, system_keyring},
    settings::{SettingsError, read_secret_file},
    wizard,
};

/// How long the network is asked for a device.
const SEARCH: Duration = Duration::from_secs(3);

/// One device as far as it is known before anybody has answered.
pub(crate) struct Who {
    /// What the user calls it.
    pub(crate) label: String,
    pub(crate) mac: Option<[u8; 6]>,
    /// Keys that it may have, the likeliest first.
    pub(crate) keys: Vec<AdminKey>,
    /// A user whose password is kept here.
    pub(crate) login: Option<Login>,
    /// Where its broker may be, the likeliest first.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The serial port that it is on.
    pub(crate) serial: Option<Device>,
}

impl Who {
    fn of(entry: &Entry, context: &Context) -> Self {
        let mut who = Self {
            label: entry.label().to_owned(),
            mac: entry.mac(),
            keys: Vec::new(),
            login: None,
            addresses: Vec::new(),
            serial: Device::connected(entry),
        };
        let port = entry.mqtt_port.unwrap_or(MQTT_PORT);
        who.addresses.extend(entry.address.map(|address| SocketAddr::new(address, port)));
        match entry.secrets(system_keyring().as_deref()) {
            Ok(secrets) => who.take(&secrets),
            Err(error) => context.screen.warning(Failure::from(error).sentence()),
        }
        who
    }

    fn unknown(label: &str) -> Self {
        let label = label.to_owned();
        Self { label, mac: None, keys: Vec::new(), login: None, addresses: Vec::new(), serial: None }
    }

    fn take(&mut self, secrets: &Secrets) {
        let keys = [&secrets.admin_key, &secrets.next_admin_key].into_iter().flatten();
        self.keys.extend(keys.filter_map(|key| hex::array::<32>(&key.0)).map(Secret::new));
        if let (Some(user), Some(password)) = (&secrets.user, &secrets.password) {
            self.login = Some(Login { user: user.clone(), password: Secret::new(password.0.clone()) });
        }
    }

    /// Takes what the registry knows of the device that has turned out to have this MAC address.
    pub(super) fn recognise(&mut self, mac: [u8; 6], context: &Context) {
        if self.mac.is_some() {
            return;
        }
        self.mac = Some(mac);
        let Ok(devices) = Store::open(context.screen).and_then(|store| store.devices()) else { return };
        if let Some(entry) = devices.iter().find(|entry| entry.mac() == Some(mac)) {
            let known = Self::of(entry, context);
            self.keys.extend(known.keys);
            self.login = known.login;
            self.label = known.label;
        }
    }

    /// Takes what the network says of it.
    fn found(&mut self, found: &Found, context: &Context) {
        let port = found.mqtt_port.unwrap_or(MQTT_PORT);
        self.addresses.insert(0, SocketAddr::new(found.host, port));
        if let Some(mac) = found.mac {
            if self.mac.is_none() {
                self.label.clone_from(&found.name);
            }
            self.recognise(mac, context);
        }
    }

    /// Looks for it in the network.
    pub(super) fn search(mac: [u8; 6], cancel: &Cancel) -> Option<SocketAddr> {
        let networks = Networks { interfaces: &[], patience: SEARCH, cancel };
        let text = hex::to_hex(&mac, ":");
        let found = locate::<Failure>(&text, &[], &networks).ok()?;
        Some(SocketAddr::new(found.host, found.mqtt_port.unwrap_or(MQTT_PORT)))
    }
}

/// Everybody who is meant.
///
/// # Errors
///
/// When that is nobody, or nobody can say who of several.
pub(crate) fn everybody(given: &WhichArguments, context: &Context) -> Result<Vec<Who>, Failure> {
    let key = given.admin_key_file.as_deref().map(read_key).transpose()?;
    let devices = Store::open(context.screen)?.devices()?;
    if given.all {
        let all: Vec<Who> = devices.iter().map(|entry| Who::of(entry, context)).collect();
        return if all.is_empty() { Err(ReconfigureError::NobodyKnown.into()) } else { Ok(all) };
    }
    let mut who = match (&given.host, &given.device.port) {
        (Some(host), _) => named(host, &devices, context)?,
        (None, Some(port)) => on_port(port, &devices, given, context)?,
        (None, None) => guessed(&devices, given, context)?,
    };
    if given.host.is_some() && given.device.port.is_some() {
        who.serial = Some(Device::find(&given.device, context.screen)?);
    }
    if let Some(key) = key {
        who.keys.insert(0, key);
    }
    Ok(vec![who])
}

fn read_key(path: &std::path::Path) -> Result<AdminKey, SettingsError> {
    let text = read_secret_file("admin key", path)?;
    hex::array::<32>(text.expose().trim())
        .map(Secret::new)
        .ok_or(SettingsError::SecretForm { field: "admin key".to_owned(), problem: "must be 64 hex digits" })
}

/// `hall`, `5c:cf:7f:01:02:03`, `192.168.1.5`, each perhaps with `:PORT`.
fn split_port(text: &str) -> (&str, Option<u16>) {
    if registry::mac(text).is_some() || text.parse::<IpAddr>().is_ok() {
        return (text, None);
    }
    match text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
        Some((host, Ok(port))) => (host.trim_start_matches('[').trim_end_matches(']'), Some(port)),
        _ => (text, None),
    }
}

fn named(text: &str, devices: &[Entry], context: &Context) -> Result<Who, Failure> {
    let (name, port) = split_port(text);
    let network = Networks { interfaces: &[], patience: SEARCH, cancel: &context.cancel };
    let Ok(address) = name.parse::<IpAddr>() else {
        let known = devices.iter().any(|entry| registry::is_called(entry, name));
        let mut who = if known {
            Who::of(registry::only_called(devices, name)?, context)
        } else {
            let mut who = Who::unknown(name);
            who.found(&locate::<Failure>(name, devices, &network)?, context);
            who
        };
        if let Some(port) = port {
            who.addresses.iter_mut().for_each(|address| address.set_port(port));
        }
        return Ok(who);
    };
    let mut at = devices
        .iter()
        .filter(|entry| entry.address == Some(address) && (port.is_none() || entry.mqtt_port == port));
    if let (Some(entry), None) = (at.next(), at.next()) {
        let mut who = Who::of(entry, context);
        // What the user says counts, wherever this device was seen last; another one that is there has another key.
        who.addresses = vec![SocketAddr::new(address, port.or(entry.mqtt_port).unwrap_or(MQTT_PORT))];
        return Ok(who);
    }
    let mut who = Who::unknown(text);
    match locate::<Failure>(name, devices, &network) {
        Ok(found) if port.is_none() || found.mqtt_port == port => who.found(&found, context),
        // Its port is what counts, and several devices can share an address.
        _ => who.addresses = vec![SocketAddr::new(address, port.unwrap_or(MQTT_PORT))],
    }
    Ok(who)
}

fn on_port(port: &str, devices: &[Entry], given: &WhichArguments, context: &Context) -> Result<Who, Failure> {
    let device = Device::find(&given.device, context.screen)?;
    let mut who = match &device {
        Device::Known { mac, .. } => devices
            .iter()
            .find(|entry| entry.mac() == Some(*mac))
            .map_or_else(|| Who::unknown(port), |entry| Who::of(entry, context)),
        _ => Who::unknown(port),
    };
    // The port was named, so the network is not what is meant.
    who.addresses.clear();
    who.serial = Some(device);
    Ok(who)
}

/// Nobody was named: the only known device, or the one that the user chooses; without any, what is on the only port.
fn guessed(devices: &[Entry], given: &WhichArguments, context: &Context) -> Result<Who, Failure> {
    let by_port = matches!(given.via, Via::Loader | Via::Console);
    match devices {
        _ if by_port => on_port("the device", devices, given, context),
        [] => on_port("the device", devices, given, context),
        [only] => {
            context.screen.line(format!("Using the only known device: `{}`", only.label()));
            Ok(Who::of(only, context))
        }
        several if context.screen.can_ask() => {
            let names: Vec<String> =
                several.iter().map(|entry| format!("{} ({})", entry.label(), entry.mac_text())).collect();
            let chosen = wizard::choose("Which device", &names)?;
            let entry = several.get(chosen).ok_or(ReconfigureError::NobodyKnown)?;
            Ok(Who::of(entry, context))
        }
        several => {
            let names = several.iter().map(|entry| entry.label().to_owned()).collect();
            Err(ReconfigureError::SeveralKnown { names }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_behind_a_name_or_address_is_told_from_a_mac_address() {
        assert_eq!(split_port("hall"), ("hall", None));
        assert_eq!(split_port("hall.local:1884"), ("hall.local", Some(1884)));
        assert_eq!(split_port("192.168.1.5:1884"), ("192.168.1.5", Some(1884)));
        assert_eq!(split_port("5c:cf:7f:01:02:03"), ("5c:cf:7f:01:02:03", None));
        assert_eq!(split_port("::1"), ("::1", None));
        assert_eq!(split_port("[::1]:1884"), ("::1", Some(1884)));
    }
}
