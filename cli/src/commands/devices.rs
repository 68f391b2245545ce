//! `devices`: what the registry knows.

use std::net::IpAddr;

use serde::Serialize;

use super::Context;
use crate::{
    arguments::{
        DevicesArguments, DevicesCommand, DevicesForgetArguments, DevicesListArguments,
        DevicesRenameArguments, DevicesShowArguments,
    },
    failure::Failure,
    registry::{self, Entry, RegistryError, Store, is_called, only_called, system_keyring, time_text},
    wizard,
};

/// Version of the JSON report.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct DevicesReport<'a> {
    version: u32,
    devices: Vec<DeviceReport<'a>>,
}

/// One device without its secrets.
#[derive(Serialize)]
struct DeviceReport<'a> {
    name: &'a str,
    /// As configured, where the user calls it something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    configured_name: Option<&'a str>,
    mac: String,
    address: Option<IpAddr>,
    mqtt_port: Option<u16>,
    websocket_port: Option<u16>,
    firmware: Option<&'a str>,
    profile: Option<&'a str>,
    port: Option<&'a str>,
    /// Seconds since 1970; 0 for one that was never seen running.
    last_seen: u64,
}

/// Runs one of them.
///
/// # Errors
///
/// When the registry cannot be used, or no device goes by that name.
pub(crate) fn run(given: &DevicesArguments, context: &Context) -> Result<(), Failure> {
    let store = Store::open(context.screen)?;
    match &given.command {
        None => list(&given.list, &store, context),
        Some(DevicesCommand::List(given)) => list(given, &store, context),
        Some(DevicesCommand::Show(given)) => show(given, &store),
        Some(DevicesCommand::Rename(given)) => rename(given, &store, context),
        Some(DevicesCommand::Forget(given)) => forget(given, &store, context),
    }
}

fn report(entry: &Entry) -> DeviceReport<'_> {
    DeviceReport {
        name: entry.label(),
        configured_name: entry.alias.is_some().then_some(entry.name.as_str()),
        mac: entry.mac_text(),
        address: entry.address,
        mqtt_port: entry.mqtt_port,
        websocket_port: entry.websocket_port,
        firmware: entry.version.as_deref(),
        profile: entry.profile.as_deref(),
        port: entry.port.as_deref(),
        last_seen: entry.last_seen,
    }
}

fn list(given: &DevicesListArguments, store: &Store, context: &Context) -> Result<(), Failure> {
    let devices = store.devices()?;
    if given.json {
        let devices = devices.iter().map(report).collect();
        return crate::print_json(&DevicesReport { version: VERSION, devices });
    }
    if devices.is_empty() {
        context.screen.line(
            "No devices are known yet: `espbroker setup` adds them, and `espbroker discover` looks in the network.",
        );
    }
    for entry in &devices {
        crate::print(&format!(
            "{:16} {}  {:21} {:8} {:14} {}\n",
            entry.label(),
            entry.mac_text(),
            entry.address_text(),
            entry.version.as_deref().unwrap_or("-"),
            entry.profile.as_deref().unwrap_or("-"),
            last_seen(entry),
        ))?;
    }
    Ok(())
}

fn last_seen(entry: &Entry) -> String {
    match entry.last_seen {
        0 => "never seen".to_owned(),
        seconds => time_text(seconds),
    }
}

fn show(given: &DevicesShowArguments, store: &Store) -> Result<(), Failure> {
    let devices = store.devices()?;
    let entry = only_called(&devices, &given.name)?;
    let secrets = entry.secrets(system_keyring().as_deref());
    if given.password {
        let password =
            secrets?.password.ok_or_else(|| RegistryError::NoPassword { name: given.name.clone() })?;
        return crate::print(&format!("{}\n", password.0));
    }
    let kept = match secrets {
        Err(error) => format!("out of reach: {error}"),
        Ok(secrets) => {
            let mut kept: Vec<String> =
                secrets.admin_key.map(|_| "admin key".to_owned()).into_iter().collect();
            kept.extend(secrets.password.and(secrets.user).map(|user| format!("password of `{user}`")));
            let place = if entry.in_keyring { "in the keyring" } else { "in the registry's file" };
            if kept.is_empty() { "none".to_owned() } else { format!("{}, {place}", kept.join(" and ")) }
        }
    };
    let optional = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let websocket = entry.websocket_port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    for (name, value) in [
        ("name", entry.label().to_owned()),
        ("configured", entry.name.clone()),
        ("mac", entry.mac_text()),
        ("address", entry.address_text()),
        ("websocket", websocket),
        ("firmware", optional(&entry.version)),
        ("board", optional(&entry.profile)),
        ("port", optional(&entry.port)),
        ("last seen", last_seen(entry)),
        ("secrets", kept),
    ] {
        crate::print(&format!("{name:11} {value}\n"))?;
    }
    Ok(())
}

fn rename(given: &DevicesRenameArguments, store: &Store, context: &Context) -> Result<(), Failure> {
    let DevicesRenameArguments { name, new_name } = given;
    let is_address = new_name.parse::<IpAddr>().is_ok() || registry::mac(new_name).is_some();
    let is_text =
        new_name.trim() == new_name && !new_name.is_empty() && !new_name.chars().any(char::is_control);
    if is_address || !is_text || new_name.len() > 64 || new_name.contains('/') {
        return Err(RegistryError::NoName { name: new_name.clone() }.into());
    }
    let before = store.update(|devices| {
        let mac = only_called(devices, name)?.mac.clone();
        if devices.iter().any(|entry| entry.mac != mac && is_called(entry, new_name)) {
            return Err(RegistryError::Taken { name: new_name.clone() });
        }
        let mut before = String::new();
        for entry in devices.iter_mut().filter(|entry| entry.mac == mac) {
            before = entry.label().to_owned();
            entry.alias = Some(new_name.clone()).filter(|name| *name != entry.name);
        }
        Ok(before)
    })?;
    context.screen.line(format!(
        "`{before}` is `{new_name}` on this computer; `espbroker reconfigure` changes the name on the device."
    ));
    Ok(())
}

fn forget(given: &DevicesForgetArguments, store: &Store, context: &Context) -> Result<(), Failure> {
    let devices = store.devices()?;
    let chosen: Vec<&Entry> =
        given.names.iter().map(|name| only_called(&devices, name)).collect::<Result<_, _>>()?;
    let names: Vec<String> =
        chosen.iter().map(|entry| format!("`{}` ({})", entry.label(), entry.mac_text())).collect();
    if !given.yes {
        if !context.screen.can_ask() {
            return Err(RegistryError::WouldForget { names }.into());
        }
        context.screen.warning(format!("this forgets the keys of {}", names.join(", ")));
        if !wizard::confirm("Go on")? {
            return Err(wizard::WizardError::Declined.into());
        }
    }
    let macs: Vec<String> = chosen.iter().map(|entry| entry.mac.clone()).collect();
    registry::forget(store, &macs, system_keyring().as_deref())?;
    context.screen.line(format!("Forgotten: {}.", names.join(", ")));
    for entry in chosen {
        let saved = store.password_file(&entry.name);
        if saved.exists() {
            context.screen.line(format!("A password that was generated is still in `{}`.", saved.display()));
        }
    }
    Ok(())
}
