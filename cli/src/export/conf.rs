//! The settings file: mosquitto.conf(5), as mosquitto 2.0 reads it.

use std::{fmt::Write as _, path::Path};

use espbroker_config::model::{Bridge, BridgeTopic, Config};

use super::{ACCESS_LIST, DATA, PASSWORDS, SETTINGS, allows_anonymous, is_value};

/// Where Debian keeps the certificates of the authorities that it trusts.
const AUTHORITIES: &str = "/etc/ssl/certs";

pub(super) fn text(
    config: &Config,
    folder: &Path,
    has_access_list: bool,
    differences: &mut Vec<String>,
) -> String {
    let mut file = File::default();
    file.line(format!(
        "# From the settings of the espbroker device `{}`. Passwords of bridges are in here: keep it private.",
        config.name
    ));
    let path = |name: &str| folder.join(name).display().to_string();
    file.line(format!("# Start: mosquitto -c {}\n", path(SETTINGS)));

    file.set("allow_anonymous", allows_anonymous(config));
    // Also without users: else mosquitto would take any name.
    file.set("password_file", path(PASSWORDS));
    if has_access_list {
        file.set("acl_file", path(ACCESS_LIST));
    }
    file.set("sys_interval", config.broker.sys_interval);
    file.line("\n# Retained messages and sessions outlive a restart.");
    file.set("persistence", true);
    // The slash at the end is needed.
    file.set("persistence_location", format!("{}/", path(DATA)));
    file.set("autosave_interval", 60);

    if config.broker.mqtt_port != 0 {
        file.line("");
        file.set("listener", config.broker.mqtt_port);
    }
    if config.broker.websocket_port != 0 {
        file.line("");
        file.set("listener", config.broker.websocket_port);
        file.set("protocol", "websockets");
    }
    for bridge in &config.bridges {
        file.bridge(config, bridge, differences);
    }
    file.0
}

#[derive(Default)]
struct File(String);

impl File {
    fn line(&mut self, text: impl AsRef<str>) {
        self.0.push_str(text.as_ref());
        self.0.push('\n');
    }

    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn bridge(&mut self, config: &Config, bridge: &Bridge, differences: &mut Vec<String>) {
        let name = &bridge.name;
        let client_id = bridge.client_id.clone().unwrap_or_else(|| format!("{}.{name}", config.name));
        let texts = [
            ("client_id", Some(client_id.as_str())),
            ("user", bridge.user.as_deref()),
            ("password", bridge.password.as_ref().map(|password| password.expose().as_str())),
            ("notification_topic", bridge.notification_topic.as_deref()),
        ];
        if let Some((field, _)) = texts.iter().find(|(_, text)| text.is_some_and(|text| !is_value(text))) {
            differences.push(format!(
                "bridge `{name}` is left out: its {field} is empty, has a space at an end or a control character, which \
                 mosquitto cannot say"
            ));
            return;
        }
        self.line("");
        self.set("connection", name);
        self.set("address", format!("{}:{}", bridge.host, bridge.port));
        self.set("bridge_protocol_version", "mqttv311");
        self.set("remote_clientid", client_id);
        if let Some(user) = &bridge.user {
            self.set("remote_username", user);
        }
        if let Some(password) = &bridge.password {
            self.set("remote_password", password.expose());
        }
        self.set("keepalive_interval", bridge.keep_alive);
        self.set("cleansession", bridge.clean_session);
        self.set("try_private", bridge.try_private);
        self.set("notifications", bridge.notifications);
        if let Some(topic) = &bridge.notification_topic {
            self.set("notification_topic", topic);
        }
        self.set("notifications_local_only", bridge.notifications_local_only);
        self.set("bridge_outgoing_retain", bridge.outgoing_retain);
        self.set("restart_timeout", restart(bridge));
        if bridge.tls {
            self.set("bridge_capath", AUTHORITIES);
            differences.push(format!(
                "bridge `{name}` connects with TLS, which your device does not, and trusts {AUTHORITIES}"
            ));
        }
        for topic in &bridge.topics {
            match words(topic) {
                Some(words) => self.set("topic", words),
                None => differences.push(format!(
                    "bridge `{name}` leaves out topic `{}`: mosquitto takes no spaces there",
                    topic.pattern.escape_debug()
                )),
            }
        }
    }
}

/// A base alone is a constant wait.
fn restart(bridge: &Bridge) -> String {
    if bridge.restart_cap > bridge.restart_base {
        format!("{} {}", bridge.restart_base, bridge.restart_cap)
    } else {
        bridge.restart_base.to_string()
    }
}

fn words(topic: &BridgeTopic) -> Option<String> {
    let mut parts = [&topic.pattern, &topic.local_prefix, &topic.remote_prefix].map(String::as_str);
    for part in &mut parts {
        if part.is_empty() {
            *part = "\"\"";
        } else if part.contains(|character: char| character.is_whitespace() || character.is_control())
            || *part == "\"\""
        {
            return None;
        }
    }
    let [pattern, local, remote] = parts;
    Some(format!("{pattern} {} {} {local} {remote}", topic.direction, topic.qos))
}
