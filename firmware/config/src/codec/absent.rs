//! What the absence of a key stands for, where the field came after the first version: never changed.
//!
//! Most are also the defaults of new configs today. Those may change; what is on a device must go on meaning what it
//! meant when it was written.

use super::Unknown;
use crate::model::{LedUse, Plug, PowerOn};

pub(super) mod broker {
    pub(in crate::codec) const SYS_INTERVAL: u16 = 10;
}

pub(super) mod limits {
    pub(in crate::codec) const SESSIONS: u16 = 16;
    pub(in crate::codec) const QUEUE_MESSAGES: u16 = 100;
}

pub(super) mod bridge {
    pub(in crate::codec) const CLEAN_SESSION: bool = false;
    pub(in crate::codec) const TRY_PRIVATE: bool = true;
    pub(in crate::codec) const NOTIFICATIONS_LOCAL_ONLY: bool = false;
    pub(in crate::codec) const OUTGOING_RETAIN: bool = true;
    pub(in crate::codec) const RESTART_BASE: u16 = 5;
    pub(in crate::codec) const RESTART_CAP: u16 = 30;
}

pub(super) fn plug() -> Plug {
    Plug { power_on: PowerOn::Last, led: LedUse::Status, unknown: Unknown::default() }
}
