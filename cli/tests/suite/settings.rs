//! A settings file with every field, and the config that a flash holds.

use espbroker_config::{
    flash_map::{CONFIG_A, CONFIG_B, Region},
    model::Config,
    slots::{self, Slot},
};

/// Every field, secrets included; `wifi.txt` beside it holds the passphrase `sesame-of-the-wifi`.
pub(crate) const FULL: &str = r#"
name = "hall"
role = "broker"
profile = "nodemcu"

[wifi]
ssid = "home"
passphrase_file = "wifi.txt"
hidden = true
bssid = "5c:cf:7f:01:02:03"
channel = 6

[wifi.ipv4]
address = "192.168.7.20/24"
gateway = "192.168.7.1"
dns = "192.168.7.2"

[access_point]
policy = "fallback"
ssid = "hall-rescue"
passphrase = "sesame-of-the-rescue"

[broker]
websocket_port = 0
anonymous = false
sys_interval = 30
anonymous_permissions = [{ pattern = "public/#", access = "read" }]

[[broker.users]]
name = "home"
password = "sesame-of-the-user"

[[broker.users]]
name = "meter"
password_hash = "$7$101$c2FsdHNhbHRzYWx0$W4Clyu8UOV6DqM3yFzxhhqvQ9Ro/ZImu0/gdQmeMsdb7IEVqj7TZ/iNIbZK33AEmS3CVut8EKU5zmL3iByxRdg=="
permissions = [
    { pattern = "house/%u/#", access = "readwrite" },
    { pattern = "commands/+/%c", access = "write" },
    { pattern = "house/meter/secret", access = "deny" },
]

[broker.limits]
clients = 7
subscriptions_per_client = 8
retained_messages = 9
retained_bytes = 5000
packet_size = 2048
queue_bytes = 4000
sessions = 3
queue_messages = 20

[[bridges]]
name = "cloud"
host = "mqtt.example.org"
tls = true
user = "hall"
password = "sesame-of-the-bridge"
client_id = "hall-1"
keep_alive = 30
clean_session = true
try_private = false
notifications = false
notification_topic = "bridges/hall"
notifications_local_only = true
outgoing_retain = false
restart_base = 2
restart_cap = 90

[[bridges.topics]]
pattern = "sensors/#"
direction = "out"
qos = 1

[[bridges.topics]]
pattern = "commands/#"
direction = "in"
local_prefix = "near/"
remote_prefix = "far/"

[cluster]
name = "house"
key = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
priority = 3
virtual_ipv4 = "192.168.7.99"
"#;

/// Each field within its bound, and all of them together too long.
pub(crate) fn more_than_the_flash_takes() -> String {
    let permission = format!("{{ pattern = \"{}\", access = \"read\" }}", "p".repeat(128));
    let permissions = vec![permission; 16].join(", ");
    let user = |name: &str| {
        format!("[[broker.users]]\nname = \"{name}\"\npassword = \"b\"\npermissions = [{permissions}]\n")
    };
    format!("[wifi]\nssid = \"home\"\n{}{}", user("ann"), user("bob"))
}

/// Bytes of a region of `flash`.
pub(crate) fn region<'a>(flash: &'a [u8], region: &Region) -> &'a [u8] {
    &flash[region.offset as usize..region.end() as usize]
}

/// The config that a device with this flash uses.
pub(crate) fn active(flash: &[u8]) -> (Slot, Config) {
    find(flash).expect("there is no valid config")
}

/// The config that a device with this flash uses, if there is one.
pub(crate) fn find(flash: &[u8]) -> Option<(Slot, Config)> {
    let a = slots::read_sector(region(flash, &CONFIG_A));
    let b = slots::read_sector(region(flash, &CONFIG_B));
    slots::select(&a, &b).map(|(slot, record)| (slot, record.config.clone()))
}
