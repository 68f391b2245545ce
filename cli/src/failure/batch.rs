//! Hints for many devices at once.

use super::{Exit, Explain, no, unable};
use crate::batch::{
    BatchError,
    fleet::{FleetError, RowError},
    journal::JournalError,
};

impl Explain for FleetError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Kind { .. } => {
                unable("name it fleet.toml or fleet.csv, so that it is clear how to read it")
            }
            Self::Empty { .. } => unable(
                "a fleet has a [[device]] for each device, or one with count = 20; in CSV, a line for each. \
                 `espbroker batch --help` has an example",
            ),
            Self::Parse { .. } | Self::Sheet { .. } => {
                unable("`espbroker batch --help` has an example; README lists every setting")
            }
            Self::Twice { .. } => {
                unable("give each device a row of its own, and a name of its own: \"plug-{mac:6}\" makes one")
            }
            Self::Row { source, .. } => source.explain(),
            Self::Settings(error) => error.explain(),
            Self::Read { .. } | Self::TooLong { .. } | Self::TooMany => (Exit::Unable, None),
        }
    }
}

impl Explain for RowError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Placeholder { .. } => unable(
                "the placeholders are {mac}, {mac:6} (its last six digits), {name}, {row} and {row:3}; {{ is a brace",
            ),
            Self::NoVariable { name } => {
                unable(format!("set it for this command: {name}=... espbroker batch ..."))
            }
            Self::NotInKeyring { name } => unable(format!(
                "put it there: secret-tool store --label='espbroker {name}' service espbroker name '{name}'"
            )),
            Self::Keyring { .. } => unable(
                "log in to the desktop session whose keyring has it, and unlock it; secret-tool (libsecret-tools) must \
                 be installed",
            ),
            Self::NotUnderstood(_) => {
                unable("README lists every setting; a row may have mac, location and count too")
            }
            Self::Settings(error) => error.explain(),
            Self::Answers(_) => {
                unable("give [template.wifi] an ssid and a passphrase_file, or name --settings FILE")
            }
            Self::TooLong(_) => unable("use fewer users, permissions, bridges or topics, or shorter ones"),
            Self::TooDeep | Self::Key { .. } | Self::Many { .. } => (Exit::Unable, None),
        }
    }
}

impl Explain for JournalError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::InUse { .. } => {
                unable("wait for it, or let it do these devices too: it takes ports that appear later")
            }
            Self::Damaged { .. } => unable(
                "name another file with --journal; nothing was changed, and this one was left as it is",
            ),
            Self::Newer { .. } => unable("use that newer version here too; nothing was changed"),
            Self::Write { .. } => unable(
                "make room on that disk, or name a place with room with --journal, and run the same command again: no \
                 device was begun without a line in it, and one that was finished without one is done again",
            ),
            Self::Open { .. } => unable("choose a place for it with --journal"),
        }
    }
}

impl Explain for BatchError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Row { source, .. } => source.explain(),
            Self::Journal(error) => error.explain(),
            Self::OnMains { .. } => unable(
                "MAINS VOLTAGE KILLS: unplug the devices, power them from 3.3 V only, then confirm with --off-mains",
            ),
            Self::ReportKind { .. } => unable("name it report.html or report.csv"),
            Self::Report { .. } => {
                unable("the devices are done; run the same command again to write the report alone")
            }
            Self::NoDevice => unable(
                "connect a device, and look with `espbroker ports` whether its adapter is seen; `espbroker doctor` says \
                 what stands in the way",
            ),
            Self::NotAll { .. } => {
                no("run the same command again: finished devices are left alone, and the others are done")
            }
            Self::Stopped { .. } => {
                (Exit::Stopped, Some("run the same command again: it goes on from the journal".to_owned()))
            }
        }
    }
}
