//! The config that a broker on this computer runs with: the settings file, the flags, and no radio.

use espbroker_config::{
    model::{Anonymous, Config, Role, Wifi},
    slots,
};

use super::BrokerError;
use crate::{
    PrintError,
    answers::read_settings,
    arguments::BrokerArguments,
    commands::config::lines,
    failure::Failure,
    screen::Screen,
    settings::{Settings, apply, not_yet},
    setup::SetupError,
};

/// Name of a broker whose settings give none.
const NAME: &str = "espbroker";

/// What a changed config takes effect in at once; for the rest the broker must be started again.
const AT_ONCE: [&str; 3] = ["broker.users", "broker.anonymous", "bridges"];

/// Reads the settings file and applies the flags; says what has no effect here.
///
/// # Errors
///
/// When there are no settings, they cannot be used, or nobody could log in with them.
pub(super) fn resolve(given: &BrokerArguments, screen: Screen) -> Result<Config, Failure> {
    let mut settings = match &given.config {
        Some(path) => read_settings(path, screen)?,
        None if given.anonymous => Settings::default(),
        None => return Err(BrokerError::NoSettings.into()),
    };
    let ignored = take_what_is_for_a_board(&mut settings);
    if !ignored.is_empty() {
        screen.line(format!("Ignored, since this computer is no board: {}.", ignored.join(", ")));
    }
    let broker = settings.broker.get_or_insert_default();
    broker.mqtt_port = given.port.or(broker.mqtt_port);
    broker.websocket_port = given.websocket_port.or(broker.websocket_port);
    if given.anonymous {
        broker.anonymous = Some(true);
    }
    let mut config = Config::new(NAME);
    // A device without a network to join opens its own; a computer has joined its network already.
    config.wifi = Some(Wifi::new("this computer's network"));
    apply(&settings, &mut config)?;
    for sentence in not_yet(&config) {
        screen.warning(sentence);
    }
    slots::encode_sector(&config, 1).map_err(SetupError::ConfigTooLong)?;
    match (config.broker.anonymous, config.broker.users.is_empty()) {
        (Anonymous::Refused, true) => return Err(BrokerError::NobodyMayEnter.into()),
        (Anonymous::Allowed, _)
            if config.broker.anonymous_permissions.is_empty() && !given.bind.is_loopback() =>
        {
            screen.warning(
                "everybody in your network can read and write everything here: clients need no password",
            );
        }
        _ => {}
    }
    Ok(config)
}

/// Takes out what a radio or pins are needed for, so that the files that it names need not be there; returns its names.
pub(in crate::commands) fn take_what_is_for_a_board(settings: &mut Settings) -> Vec<&'static str> {
    let taken = [
        ("profile", settings.profile.take().is_some()),
        ("[wifi]", settings.wifi.take().is_some()),
        ("[access_point]", settings.access_point.take().is_some()),
        ("role", settings.role.take().is_some_and(|role| role.0 != Role::Broker)),
        ("[plug]", settings.plug.take().is_some()),
    ];
    taken.into_iter().filter_map(|(name, was_there)| was_there.then_some(name)).collect()
}

/// The changed fields that a running broker does not take over.
///
/// # Errors
///
/// When a config cannot be written as settings.
pub(super) fn with_next_start(before: &Config, after: &Config) -> Result<Vec<String>, PrintError> {
    let (before, after) = (lines(before)?, lines(after)?);
    let gone = before.iter().filter(|line| !after.contains(line));
    let new = after.iter().filter(|line| !before.contains(line));
    let mut fields: Vec<String> = gone
        .chain(new)
        .filter_map(|line| line.split_once(" = "))
        .map(|(field, _)| field.to_owned())
        .filter(|field| !AT_ONCE.iter().any(|path| field.starts_with(path)))
        .collect();
    fields.sort();
    fields.dedup();
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use espbroker_config::model::Bridge;

    use super::*;

    #[test]
    fn what_the_running_broker_cannot_change_is_named_once_each() {
        let before = Config::new("hall");
        let mut after = before.clone();
        after.broker.mqtt_port = 1884;
        after.broker.limits.clients = 7;
        after.bridges.push(Bridge::new("cloud", "example.org"));
        assert_eq!(with_next_start(&before, &after).unwrap(), ["broker.limits.clients", "broker.mqtt_port"]);
        assert!(with_next_start(&after, &after).unwrap().is_empty());
    }
}
