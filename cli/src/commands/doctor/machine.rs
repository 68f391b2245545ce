//! Looks at this computer: ports, USB adapters, processes, tools, keyring, folders.
//!
//! On Linux all of it is in files; elsewhere the drivers and services of Linux do not exist and are left out.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use espbroker_flasher::ports::{self, Likelihood, PortInfo};

use crate::{
    credentials,
    device::describe,
    supply::{Cache, Date, Keys, SupplyError},
};

/// What is needed to build firmware, and how to get it.
const TOOLS: [(&str, &str); 4] = [
    ("cargo", "see https://rustup.rs"),
    ("rustup", "see https://rustup.rs"),
    ("xtensa-lx106-elf-as", "`apt-get install gcc-xtensa-lx106`"),
    ("xtensa-lx106-elf-ld", "`apt-get install gcc-xtensa-lx106`"),
];

/// Processes that keep secrets for others on Linux.
const KEYRINGS: [&str; 6] =
    ["gnome-keyring-d", "kwalletd5", "kwalletd6", "ksecretd", "keepassxc", "oo7-daemon"];

/// Where to look.
pub(super) struct Surroundings {
    root: PathBuf,
    path: OsString,
    home_bus: Option<PathBuf>,
    bus: Option<OsString>,
}

/// What was found.
pub(super) struct Machine {
    /// `None` when they cannot be listed.
    pub(super) ports: Option<Vec<Port>>,
    /// USB adapters that boards carry, with a port or without.
    pub(super) adapters: Vec<Adapter>,
    pub(super) brltty: bool,
    pub(super) modem_manager: bool,
    pub(super) tools: Vec<Tool>,
    pub(super) keyring: Keyring,
    /// What is kept there, where, and why it cannot be.
    pub(super) folders: Vec<(&'static str, String, Option<String>)>,
    pub(super) keys: Vec<(String, Option<Date>)>,
    pub(super) today: Date,
}

/// A port.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) likelihood: Likelihood,
    pub(super) state: PortState,
}

/// Whether a port can be used.
#[derive(Clone, Debug)]
pub(super) enum PortState {
    Free,
    NoPermission,
    Held { by: String },
}

/// A USB adapter.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    pub(super) name: &'static str,
    pub(super) vendor: u16,
    pub(super) location: String,
    pub(super) driver: Option<String>,
    pub(super) has_port: bool,
}

/// A program that builds need.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    pub(super) path: Option<String>,
}

/// Where secrets can be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keyring {
    System(String),
    None,
}

impl Surroundings {
    /// This computer.
    pub(super) fn here() -> Self {
        Self {
            root: PathBuf::from("/"),
            path: env::var_os("PATH").unwrap_or_default(),
            home_bus: env::var_os("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("bus")),
            bus: env::var_os("DBUS_SESSION_BUS_ADDRESS").filter(|address| !address.is_empty()),
        }
    }

    fn names(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }

    /// Whether a process with one of these names runs.
    fn runs(&self, names: &[&str]) -> bool {
        self.names("proc").iter().any(|process| {
            let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
            names.contains(&command.trim())
        })
    }

    fn has_rules(&self, word: &str) -> bool {
        ["etc/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"].iter().any(|folder| {
            self.names(folder).iter().any(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                // A rule that is masked is a link to nothing, or empty.
                let says_something =
                    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
                name.contains(word) && name.ends_with(".rules") && says_something
            })
        })
    }

    /// Known adapters on the USB, with the driver of their first interface that has one.
    fn adapters(&self) -> Vec<Adapter> {
        let devices = self.names("sys/bus/usb/devices");
        let number = |device: &Path, file: &str| {
            let text = fs::read_to_string(device.join(file)).ok()?;
            u16::from_str_radix(text.trim(), 16).ok()
        };
        devices
            .iter()
            .filter_map(|device| {
                let (vendor, product) = (number(device, "idVendor")?, number(device, "idProduct")?);
                let name = ports::adapter(vendor, product)?;
                let location = device.file_name()?.to_str()?.to_owned();
                let prefix = format!("{location}:");
                let interfaces: Vec<&PathBuf> = devices
                    .iter()
                    .filter(|path| {
                        path.file_name()
                            .and_then(|name| name.to_str())
                            .is_some_and(|name| name.starts_with(&prefix))
                    })
                    .collect();
                let driver = interfaces.iter().find_map(|interface| {
                    let driver = fs::read_link(interface.join("driver")).ok()?;
                    Some(driver.file_name()?.to_str()?.to_owned())
                });
                let has_port =
                    interfaces.iter().any(|interface| {
                        fs::read_dir(interface).into_iter().flatten().flatten().any(|entry| {
                            entry.file_name().to_str().is_some_and(|name| name.starts_with("tty"))
                        })
                    });
                Some(Adapter { name, vendor, location, driver, has_port })
            })
            .collect()
    }

    fn tools(&self) -> Vec<Tool> {
        let find = |name: &str| {
            env::split_paths(&self.path)
                .map(|folder| folder.join(format!("{name}{}", env::consts::EXE_SUFFIX)))
                .find(|path| path.is_file())
                .map(|path| path.display().to_string())
        };
        TOOLS.iter().map(|&(name, package)| Tool { name, package, path: find(name) }).collect()
    }

    fn keyring(&self) -> Keyring {
        if cfg!(target_os = "macos") {
            return Keyring::System("Keychain".to_owned());
        }
        if cfg!(windows) {
            return Keyring::System("Credential Manager".to_owned());
        }
        let bus = self.bus.is_some() || self.home_bus.as_ref().is_some_and(|path| path.exists());
        let service = "usr/share/dbus-1/services/org.freedesktop.secrets.service";
        if bus && (self.root.join(service).is_file() || self.runs(&KEYRINGS)) {
            Keyring::System("Secret Service, on the session bus; it may ask for a passphrase".to_owned())
        } else {
            Keyring::None
        }
    }
}

/// The kernel's module for adapters of this USB vendor.
pub(super) const fn driver(vendor: u16) -> &'static str {
    match vendor {
        0x10C4 => "cp210x",
        0x1A86 => "ch341",
        0x0403 => "ftdi_sio",
        _ => "pl2303",
    }
}

/// Looks at everything.
///
/// # Errors
///
/// When this program's own keys cannot be read, which its tests rule out.
pub(super) fn look(surroundings: &Surroundings) -> Result<Machine, SupplyError> {
    let cache = Cache::of_user()?;
    let keys = Keys::compiled_in()?;
    Ok(Machine {
        ports: ports::list().ok().map(|ports| ports.iter().map(port).collect()),
        adapters: surroundings.adapters(),
        brltty: surroundings.runs(&["brltty"]) || surroundings.has_rules("brltty"),
        modem_manager: surroundings.runs(&["ModemManager"]),
        tools: surroundings.tools(),
        keyring: surroundings.keyring(),
        folders: [("cache", Some(cache.folder().to_owned())), ("data", credentials::folder())]
            .into_iter()
            .filter_map(|(name, folder)| folder.map(|folder| (name, folder)))
            .map(|(name, folder)| (name, folder.display().to_string(), write_failure(&folder)))
            .collect(),
        keys: keys.iter().map(|key| (key.name.clone(), key.expires)).collect(),
        today: Date::today(),
    })
}

fn port(port: &PortInfo) -> Port {
    let by: Vec<String> = ports::holders(&port.name)
        .iter()
        .map(|holder| format!("{} (process {})", holder.command, holder.pid))
        .collect();
    let state = match by.is_empty() {
        false => PortState::Held { by: by.join(", ") },
        true if !may_open(&port.name) => PortState::NoPermission,
        true => PortState::Free,
    };
    Port { name: port.name.clone(), text: describe(port), likelihood: port.likelihood, state }
}

#[cfg(unix)]
fn may_open(port: &str) -> bool {
    use rustix::fs::Access;
    rustix::fs::access(port, Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// Ports have no owners here.
#[cfg(not(unix))]
fn may_open(_port: &str) -> bool {
    true
}

/// Why nothing can be written in `folder`, or where it would be made.
fn write_failure(folder: &Path) -> Option<String> {
    let there = folder.ancestors().find(|path| path.exists())?;
    tempfile::tempfile_in(there).err().map(|error| error.to_string())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    struct Root(TempDir);

    impl Root {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn surroundings(&self) -> Surroundings {
            let root = self.0.path().to_owned();
            Surroundings { path: root.join("bin").into(), home_bus: Some(root.join("bus")), bus: None, root }
        }
    }

    #[test]
    fn services_are_found_by_process_and_by_rule_and_a_masked_rule_is_none() {
        let root = Root::new();
        root.file("proc/17/comm", "ModemManager\n");
        root.file("proc/self/comm", "espbroker\n");
        assert!(root.surroundings().runs(&["ModemManager"]) && !root.surroundings().runs(&["brltty"]));
        root.file("usr/lib/udev/rules.d/90-brltty.rules", "");
        assert!(!root.surroundings().has_rules("brltty"));
        root.file("usr/lib/udev/rules.d/91-brltty-device.rules", "SUBSYSTEM==\"usb\"");
        assert!(root.surroundings().has_rules("brltty"));
    }

    #[test]
    fn adapters_are_found_with_their_driver_and_port_or_without() {
        let root = Root::new();
        let devices = "sys/bus/usb/devices";
        for (location, vendor, product) in
            [("1-1", "1d6b", "0002"), ("1-2", "1a86", "7523"), ("1-2.3", "10c4", "ea60")]
        {
            root.file(&format!("{devices}/{location}/idVendor"), &format!("{vendor}\n"));
            root.file(&format!("{devices}/{location}/idProduct"), &format!("{product}\n"));
        }
        root.file(&format!("{devices}/1-2:1.0/ttyUSB0/dev"), "188:0");
        symlink("../../drivers/ch341", root.0.path().join(devices).join("1-2:1.0/driver")).unwrap();
        let adapters = root.surroundings().adapters();
        let [ch340, cp2102] = adapters.as_slice() else { panic!("{adapters:?}") };
        assert_eq!((ch340.name, ch340.driver.as_deref(), ch340.has_port), ("CH340", Some("ch341"), true));
        assert_eq!((cp2102.name, cp2102.driver.as_deref(), cp2102.has_port), ("CP2102", None, false));
        assert_eq!((driver(ch340.vendor), driver(cp2102.vendor)), ("ch341", "cp210x"));
    }

    #[test]
    fn tools_are_looked_for_along_the_path() {
        let root = Root::new();
        root.file("bin/cargo", "");
        let found: Vec<_> = root.surroundings().tools().into_iter().map(|tool| tool.path.is_some()).collect();
        assert_eq!(found, [true, false, false, false]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_keyring_needs_a_bus_and_somebody_behind_it() {
        let root = Root::new();
        root.file("proc/5/comm", "kwalletd6\n");
        assert_eq!(root.surroundings().keyring(), Keyring::None);
        root.file("bus", "");
        assert!(matches!(root.surroundings().keyring(), Keyring::System(_)));
        fs::remove_dir_all(root.0.path().join("proc")).unwrap();
        assert_eq!(root.surroundings().keyring(), Keyring::None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_above() {
        let root = Root::new();
        assert_eq!(write_failure(&root.0.path().join("a/b/c")), None);
        root.file("file", "");
        assert!(write_failure(&root.0.path().join("file")).is_some());
    }
}
