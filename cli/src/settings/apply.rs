//! Puts settings onto a config: a field that is left out keeps what the config has.
//!
//! Lists (users, permissions, bridges) replace the list they name, each entry whole; a masked secret inside them is
//! looked up by name in what the config had.

use espbroker_config::{
    defaults::{MQTT_PORT, MQTT_TLS_PORT},
    model,
    secret::Secret,
    wifi::PassphraseError,
};

use super::{
    SettingsError,
    address::{ipv4, ipv4_with_prefix, mac},
    file::{
        AccessPointSettings, BridgeSettings, BridgeTopicSettings, BrokerSettings, ClusterSettings,
        LimitSettings, PermissionSettings, Settings, UserSettings, WifiSettings,
    },
    secret_source::{Given, settle},
};
use crate::{credentials, hex, profiles};

/// Applies `settings` to `config` and checks the result against the limits of the config partition.
///
/// # Errors
///
/// The first field that cannot be used; `config` is then changed in part and must be dropped.
pub(crate) fn apply(settings: &Settings, config: &mut model::Config) -> Result<(), SettingsError> {
    if let Some(name) = &settings.name {
        config.name.clone_from(name);
    }
    if let Some(role) = settings.role {
        config.role = role.0;
    }
    if let Some(id) = &settings.profile {
        config.profile = Some(find_profile(id)?.resolve());
    }
    if let Some(wifi) = &settings.wifi {
        apply_wifi(settings, wifi, config)?;
    }
    if let Some(access_point) = &settings.access_point {
        apply_access_point(settings, access_point, &mut config.access_point)?;
    }
    if let Some(broker) = &settings.broker {
        apply_broker(settings, broker, &mut config.broker)?;
    }
    if let Some(bridges) = &settings.bridges {
        config.bridges = bridges
            .iter()
            .enumerate()
            .map(|(index, bridge)| bridge_model(settings, index, bridge, &config.bridges))
            .collect::<Result<_, _>>()?;
    }
    if let Some(plug) = &settings.plug {
        config.plug.power_on = plug.power_on.map_or(config.plug.power_on, |power_on| power_on.0);
        config.plug.led = plug.led.map_or(config.plug.led, |led| led.0);
    }
    if let Some(cluster) = &settings.cluster {
        config.cluster = Some(cluster_model(settings, cluster, config.cluster.as_ref())?);
    }
    config.validate()?;
    Ok(())
}

/// The profile with this id.
///
/// # Errors
///
/// When no shipped profile has it; the error lists those that there are.
pub(crate) fn find_profile(id: &str) -> Result<profiles::Profile, SettingsError> {
    let all = profiles::all().unwrap_or_default();
    all.into_iter().find(|profile| profile.id == id).ok_or_else(|| SettingsError::Form {
        field: "profile".to_owned(),
        problem: "must be one of those that `espbroker profiles` lists",
        value: id.to_owned(),
    })
}

fn apply_wifi(
    settings: &Settings,
    given: &WifiSettings,
    config: &mut model::Config,
) -> Result<(), SettingsError> {
    let before = config.wifi.take();
    let named = match (&given.ssid, &given.ssid_hex) {
        (Some(_), Some(_)) => return Err(SettingsError::GivenTwice { field: "wifi.ssid".to_owned() }),
        (Some(text), None) => Some(text.clone().into_bytes()),
        (None, Some(digits)) => Some(hex::bytes(digits).ok_or_else(|| SettingsError::Form {
            field: "wifi.ssid_hex".to_owned(),
            problem: "must be pairs of hex digits",
            value: digits.clone(),
        })?),
        (None, None) => None,
    };
    // A new network name does not inherit the passphrase, access point or channel of the old one.
    let (ssid, inherited) = match (named, before) {
        (Some(ssid), Some(before)) if before.ssid == ssid => (ssid, Some(before)),
        (Some(ssid), _) => (ssid, None),
        (None, Some(before)) => (before.ssid.clone(), Some(before)),
        (None, None) => return Err(SettingsError::Missing { field: "wifi.ssid".to_owned() }),
    };
    let mut wifi = inherited.unwrap_or_else(|| model::Wifi::new(ssid));
    let field = "wifi.passphrase";
    match settle(field, given.passphrase.as_ref(), given.passphrase_file.as_ref(), &settings.folder)? {
        Given::Nothing => {}
        Given::Keep if wifi.passphrase.is_none() => {
            return Err(SettingsError::NothingToKeep { field: field.to_owned() });
        }
        Given::Keep => {}
        Given::Value(text) => {
            wifi.passphrase = Some(text.expose().parse().map_err(|error: PassphraseError| {
                SettingsError::Passphrase { field: field.to_owned(), source: error }
            })?);
        }
    }
    if given.open {
        wifi.passphrase = None;
    }
    if let Some(hidden) = given.hidden {
        wifi.hidden = hidden;
    }
    if let Some(bssid) = &given.bssid {
        wifi.bssid = Some(mac("wifi.bssid", bssid)?);
    }
    if given.channel.is_some() {
        wifi.channel = given.channel;
    }
    if let Some(fixed) = &given.ipv4 {
        let (address, prefix) = ipv4_with_prefix("wifi.ipv4.address", &fixed.address)?;
        wifi.ipv4 = Some(model::FixedIpv4 {
            address,
            prefix,
            gateway: ipv4("wifi.ipv4.gateway", &fixed.gateway)?,
            dns: fixed.dns.as_deref().map(|dns| ipv4("wifi.ipv4.dns", dns)).transpose()?,
            unknown: model::Unknown::default(),
        });
    }
    config.wifi = Some(wifi);
    Ok(())
}

fn apply_access_point(
    settings: &Settings,
    given: &AccessPointSettings,
    access_point: &mut model::AccessPoint,
) -> Result<(), SettingsError> {
    if let Some(policy) = given.policy {
        access_point.policy = policy.0;
    }
    if let Some(ssid) = &given.ssid {
        access_point.ssid = Some(ssid.clone().into_bytes());
    }
    let field = "access_point.passphrase";
    match settle(field, given.passphrase.as_ref(), given.passphrase_file.as_ref(), &settings.folder)? {
        Given::Nothing => {}
        Given::Keep if access_point.passphrase.is_none() => {
            return Err(SettingsError::NothingToKeep { field: field.to_owned() });
        }
        Given::Keep => {}
        Given::Value(text) => access_point.passphrase = Some(text),
    }
    Ok(())
}

fn apply_broker(
    settings: &Settings,
    given: &BrokerSettings,
    broker: &mut model::Broker,
) -> Result<(), SettingsError> {
    if let Some(port) = given.mqtt_port {
        broker.mqtt_port = port;
    }
    if let Some(port) = given.websocket_port {
        broker.websocket_port = port;
    }
    if let Some(anonymous) = given.anonymous {
        broker.anonymous = if anonymous { model::Anonymous::Allowed } else { model::Anonymous::Refused };
    }
    if let Some(seconds) = given.sys_interval {
        broker.sys_interval = seconds;
    }
    if let Some(permissions) = &given.anonymous_permissions {
        broker.anonymous_permissions = permissions.iter().map(permission_model).collect();
    }
    if let Some(users) = &given.users {
        broker.users = users
            .iter()
            .enumerate()
            .map(|(index, user)| user_model(settings, index, user, &broker.users))
            .collect::<Result<_, _>>()?;
    }
    if let Some(limits) = &given.limits {
        apply_limits(limits, &mut broker.limits);
    }
    Ok(())
}

fn apply_limits(given: &LimitSettings, limits: &mut model::Limits) {
    limits.clients = given.clients.unwrap_or(limits.clients);
    limits.subscriptions_per_client =
        given.subscriptions_per_client.unwrap_or(limits.subscriptions_per_client);
    limits.retained_messages = given.retained_messages.unwrap_or(limits.retained_messages);
    limits.retained_bytes = given.retained_bytes.unwrap_or(limits.retained_bytes);
    limits.packet_size = given.packet_size.unwrap_or(limits.packet_size);
    limits.queue_bytes = given.queue_bytes.unwrap_or(limits.queue_bytes);
    limits.sessions = given.sessions.unwrap_or(limits.sessions);
    limits.queue_messages = given.queue_messages.unwrap_or(limits.queue_messages);
}

fn user_model(
    settings: &Settings,
    index: usize,
    given: &UserSettings,
    before: &[model::User],
) -> Result<model::User, SettingsError> {
    let field = format!("broker.users[{index}].password");
    let known = before.iter().find(|user| user.name == given.name);
    let plain = settle(&field, given.password.as_ref(), given.password_file.as_ref(), &settings.folder)?;
    let password = match (plain, &given.password_hash) {
        (Given::Nothing, None) => return Err(SettingsError::Missing { field }),
        (Given::Keep | Given::Value(_), Some(_)) => return Err(SettingsError::GivenTwice { field }),
        (Given::Nothing, Some(hash)) if !hash.is_masked() => model::PasswordHash::from_text(&hash.0)
            .map_err(|source| SettingsError::PasswordHash {
                field: format!("broker.users[{index}].password_hash"),
                source,
            })?,
        (Given::Keep | Given::Nothing, _) => {
            known.ok_or(SettingsError::NothingToKeep { field })?.password.clone()
        }
        // The same password under another salt would look like a change.
        (Given::Value(password), None) => match known {
            Some(known) if known.password.verify(password.expose().as_bytes()) => known.password.clone(),
            _ => credentials::hash(&password)?,
        },
    };
    Ok(model::User {
        name: given.name.clone(),
        password,
        permissions: given.permissions.iter().map(permission_model).collect(),
        unknown: known.map(|user| user.unknown.clone()).unwrap_or_default(),
    })
}

fn permission_model(given: &PermissionSettings) -> model::Permission {
    model::Permission::new(&given.pattern, given.access.0)
}

fn bridge_model(
    settings: &Settings,
    index: usize,
    given: &BridgeSettings,
    before: &[model::Bridge],
) -> Result<model::Bridge, SettingsError> {
    let field = format!("bridges[{index}].password");
    let known = before.iter().find(|bridge| bridge.name == given.name);
    let password =
        match settle(&field, given.password.as_ref(), given.password_file.as_ref(), &settings.folder)? {
            Given::Nothing => None,
            Given::Keep => Some(
                known
                    .and_then(|bridge| bridge.password.clone())
                    .ok_or(SettingsError::NothingToKeep { field })?,
            ),
            Given::Value(password) => Some(password),
        };
    let plain = model::Bridge::new(&given.name, &given.host);
    Ok(model::Bridge {
        name: given.name.clone(),
        host: given.host.clone(),
        port: given.port.unwrap_or(if given.tls { MQTT_TLS_PORT } else { MQTT_PORT }),
        tls: given.tls,
        user: given.user.clone(),
        password,
        client_id: given.client_id.clone(),
        keep_alive: given.keep_alive.unwrap_or(plain.keep_alive),
        clean_session: given.clean_session.unwrap_or(plain.clean_session),
        try_private: given.try_private.unwrap_or(plain.try_private),
        notifications: given.notifications.unwrap_or(plain.notifications),
        notification_topic: given.notification_topic.clone(),
        notifications_local_only: given.notifications_local_only.unwrap_or(plain.notifications_local_only),
        outgoing_retain: given.outgoing_retain.unwrap_or(plain.outgoing_retain),
        restart_base: given.restart_base.unwrap_or(plain.restart_base),
        restart_cap: given.restart_cap.unwrap_or(plain.restart_cap),
        topics: given.topics.iter().map(topic_model).collect(),
        unknown: known.map(|bridge| bridge.unknown.clone()).unwrap_or_default(),
    })
}

fn topic_model(given: &BridgeTopicSettings) -> model::BridgeTopic {
    model::BridgeTopic {
        pattern: given.pattern.clone(),
        // mosquitto's default for a topic line without a direction.
        direction: given.direction.map_or(model::Direction::Out, |direction| direction.0),
        qos: given.qos,
        local_prefix: given.local_prefix.clone(),
        remote_prefix: given.remote_prefix.clone(),
        unknown: model::Unknown::default(),
    }
}

fn cluster_model(
    settings: &Settings,
    given: &ClusterSettings,
    before: Option<&model::Cluster>,
) -> Result<model::Cluster, SettingsError> {
    let field = "cluster.key".to_owned();
    let known = before.filter(|cluster| cluster.name == given.name);
    let key = match settle(&field, given.key.as_ref(), given.key_file.as_ref(), &settings.folder)? {
        Given::Nothing => return Err(SettingsError::Missing { field }),
        Given::Keep => {
            known.map(|cluster| cluster.key.clone()).ok_or(SettingsError::NothingToKeep { field })?
        }
        Given::Value(text) => Secret::new(
            hex::array::<32>(text.expose())
                .ok_or(SettingsError::SecretForm { field, problem: "must be 64 hex digits" })?,
        ),
    };
    Ok(model::Cluster {
        name: given.name.clone(),
        key,
        priority: given.priority,
        virtual_ipv4: given
            .virtual_ipv4
            .as_deref()
            .map(|address| ipv4("cluster.virtual_ipv4", address))
            .transpose()?,
        unknown: known.map(|cluster| cluster.unknown.clone()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use model::{Access, Permission};

    use super::*;

    /// A device on which `ann` may do something and nobody else anything.
    fn device() -> model::Config {
        let mut config = model::Config::new("hall");
        let password = credentials::hash(&Secret::new("sesame".to_owned())).unwrap();
        let permissions = vec![Permission::new("house/%u/#", Access::ReadWrite)];
        config.broker.users = vec![model::User { permissions, ..model::User::new("ann", password) }];
        config.broker.anonymous_permissions = vec![Permission::new("#", Access::Deny)];
        config.broker.sys_interval = 60;
        config
    }

    fn applied(text: &str, device: &model::Config) -> Result<model::Config, String> {
        let mut config = device.clone();
        let settings = Settings::parse(text).unwrap();
        apply(&settings, &mut config).map(|()| config).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_that_are_not_named_stay_and_those_that_are_named_are_replaced() {
        let device = device();
        let config = applied("[broker]\nmqtt_port = 1884\n", &device).unwrap();
        assert_eq!(config.broker, model::Broker { mqtt_port: 1884, ..device.broker.clone() });

        let config = applied("[broker]\nanonymous_permissions = []\nsys_interval = 0\n", &device).unwrap();
        let expected = model::Broker { anonymous_permissions: vec![], sys_interval: 0, ..device.broker };
        assert_eq!(config.broker, expected);
    }

    #[test]
    fn a_user_that_is_named_again_keeps_the_password_behind_the_mask_and_nothing_else() {
        let ann = "[[broker.users]]\nname = \"ann\"\n";
        let read = "permissions = [{ pattern = \"#\", access = \"read\" }]\n";

        let device = device();
        let user =
            |text: &str| applied(text, &device).map(|config| config.broker.users.first().cloned().unwrap());
        let kept = user(&format!("{ann}password = \"****\"\n{read}")).unwrap();
        assert!(kept.password.verify(b"sesame"));
        assert_eq!(kept.permissions, [Permission::new("#", Access::Read)]);

        let freed = user(&format!("{ann}password = \"****\"\n")).unwrap();
        assert!(freed.password.verify(b"sesame") && freed.permissions.is_empty());

        let error = user(&format!("{ann}{read}")).unwrap_err();
        assert_eq!(error, "broker.users[0].password is missing");
    }

    #[test]
    fn a_plug_needs_a_profile_with_a_relay_and_keeps_what_is_not_named() {
        let plug = "role = \"plug\"\nprofile = \"sonoff-s31\"\n";
        let device = applied(&format!("{plug}[plug]\npower_on = \"off\"\n"), &device()).unwrap();
        assert_eq!(device.plug.power_on, model::PowerOn::Off);
        let config = applied("[plug]\nled = \"off\"\n", &device).unwrap();
        assert_eq!((config.plug.power_on, config.plug.led), (model::PowerOn::Off, model::LedUse::Off));
        let error = applied("profile = \"nodemcu\"\n", &device).unwrap_err();
        assert!(error.contains("role is plug"), "{error}");
    }

    #[test]
    fn a_bridge_of_which_little_is_said_is_the_models_own() {
        let config = applied("[[bridges]]\nname = \"cloud\"\nhost = \"example.org\"\n", &device()).unwrap();
        assert_eq!(config.bridges, [model::Bridge::new("cloud", "example.org")]);
    }
}
