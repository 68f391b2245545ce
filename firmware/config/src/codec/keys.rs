//! The integer keys of every map: appended, never changed or used again. 1-23 take one byte.

pub(super) mod config {
    pub(in crate::codec) const NAME: u32 = 1;
    pub(in crate::codec) const ROLE: u32 = 2;
    pub(in crate::codec) const WIFI: u32 = 3;
    pub(in crate::codec) const ACCESS_POINT: u32 = 4;
    pub(in crate::codec) const BROKER: u32 = 5;
    pub(in crate::codec) const BRIDGES: u32 = 6;
    pub(in crate::codec) const PROFILE: u32 = 7;
    pub(in crate::codec) const ADMIN_KEY: u32 = 8;
    pub(in crate::codec) const CLUSTER: u32 = 9;
    pub(in crate::codec) const PLUG: u32 = 10;
}

pub(super) mod wifi {
    pub(in crate::codec) const SSID: u32 = 1;
    pub(in crate::codec) const PASSPHRASE: u32 = 2;
    pub(in crate::codec) const HIDDEN: u32 = 3;
    pub(in crate::codec) const BSSID: u32 = 4;
    pub(in crate::codec) const CHANNEL: u32 = 5;
    pub(in crate::codec) const IPV4: u32 = 6;
}

pub(super) mod fixed_ipv4 {
    pub(in crate::codec) const ADDRESS: u32 = 1;
    pub(in crate::codec) const PREFIX: u32 = 2;
    pub(in crate::codec) const GATEWAY: u32 = 3;
    pub(in crate::codec) const DNS: u32 = 4;
}

pub(super) mod access_point {
    pub(in crate::codec) const POLICY: u32 = 1;
    pub(in crate::codec) const SSID: u32 = 2;
    pub(in crate::codec) const PASSPHRASE: u32 = 3;
}

pub(super) mod broker {
    pub(in crate::codec) const MQTT_PORT: u32 = 1;
    pub(in crate::codec) const WEBSOCKET_PORT: u32 = 2;
    pub(in crate::codec) const ANONYMOUS: u32 = 3;
    pub(in crate::codec) const USERS: u32 = 4;
    pub(in crate::codec) const LIMITS: u32 = 5;
    pub(in crate::codec) const ANONYMOUS_PERMISSIONS: u32 = 6;
    pub(in crate::codec) const SYS_INTERVAL: u32 = 7;
}

pub(super) mod user {
    pub(in crate::codec) const NAME: u32 = 1;
    pub(in crate::codec) const ITERATIONS: u32 = 2;
    pub(in crate::codec) const SALT: u32 = 3;
    pub(in crate::codec) const HASH: u32 = 4;
    pub(in crate::codec) const PERMISSIONS: u32 = 5;
}

pub(super) mod permission {
    pub(in crate::codec) const PATTERN: u32 = 1;
    pub(in crate::codec) const ACCESS: u32 = 2;
}

pub(super) mod limits {
    pub(in crate::codec) const CLIENTS: u32 = 1;
    pub(in crate::codec) const SUBSCRIPTIONS_PER_CLIENT: u32 = 2;
    pub(in crate::codec) const RETAINED_MESSAGES: u32 = 3;
    pub(in crate::codec) const RETAINED_BYTES: u32 = 4;
    pub(in crate::codec) const PACKET_SIZE: u32 = 5;
    pub(in crate::codec) const QUEUE_BYTES: u32 = 6;
    pub(in crate::codec) const SESSIONS: u32 = 7;
    pub(in crate::codec) const QUEUE_MESSAGES: u32 = 8;
}

pub(super) mod bridge {
    pub(in crate::codec) const NAME: u32 = 1;
    pub(in crate::codec) const HOST: u32 = 2;
    pub(in crate::codec) const PORT: u32 = 3;
    pub(in crate::codec) const TLS: u32 = 4;
    pub(in crate::codec) const USER: u32 = 5;
    pub(in crate::codec) const PASSWORD: u32 = 6;
    pub(in crate::codec) const CLIENT_ID: u32 = 7;
    pub(in crate::codec) const KEEP_ALIVE: u32 = 8;
    pub(in crate::codec) const NOTIFICATIONS: u32 = 9;
    pub(in crate::codec) const TOPICS: u32 = 10;
    pub(in crate::codec) const CLEAN_SESSION: u32 = 11;
    pub(in crate::codec) const TRY_PRIVATE: u32 = 12;
    pub(in crate::codec) const NOTIFICATION_TOPIC: u32 = 13;
    pub(in crate::codec) const NOTIFICATIONS_LOCAL_ONLY: u32 = 14;
    pub(in crate::codec) const OUTGOING_RETAIN: u32 = 15;
    pub(in crate::codec) const RESTART_BASE: u32 = 16;
    pub(in crate::codec) const RESTART_CAP: u32 = 17;
}

pub(super) mod bridge_topic {
    pub(in crate::codec) const PATTERN: u32 = 1;
    pub(in crate::codec) const DIRECTION: u32 = 2;
    pub(in crate::codec) const QOS: u32 = 3;
    pub(in crate::codec) const LOCAL_PREFIX: u32 = 4;
    pub(in crate::codec) const REMOTE_PREFIX: u32 = 5;
}

pub(super) mod profile {
    pub(in crate::codec) const ID: u32 = 1;
    pub(in crate::codec) const PINS: u32 = 2;
}

pub(super) mod plug {
    pub(in crate::codec) const POWER_ON: u32 = 1;
    pub(in crate::codec) const LED: u32 = 2;
}

pub(super) mod cluster {
    pub(in crate::codec) const NAME: u32 = 1;
    pub(in crate::codec) const KEY: u32 = 2;
    pub(in crate::codec) const PRIORITY: u32 = 3;
    pub(in crate::codec) const VIRTUAL_IPV4: u32 = 4;
}
