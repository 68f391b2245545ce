//! The host's serial ports: which ones there are, which is likely an ESP8266, and why one cannot be opened.
//!
//! Gives data, no advice. Who may open a device file and who holds it are read from the file itself, `/etc/group`
//! and `/proc`, which exist on Linux; elsewhere those answers are empty.

use std::fs;
use std::path::{Path, PathBuf};

/// How likely an ESP8266 hangs on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likelihood {
    /// No USB adapter: a mainboard's port, Bluetooth, a modem.
    Unlikely,
    /// A USB adapter of a kind that boards do not carry.
    Possible,
    /// A USB adapter of a kind that boards and programming cables carry.
    Likely,
}

/// The USB side of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsbDevice {
    /// USB vendor.
    pub vendor: u16,
    /// USB product.
    pub product: u16,
    /// The adapter chip, where it is a known one.
    pub adapter: Option<&'static str>,
    /// Its serial number.
    pub serial: Option<String>,
    /// What it calls itself.
    pub description: Option<String>,
    /// Where it is plugged in, as the kernel names it (`1-2.3`): the same for the same socket, on Linux.
    pub location: Option<String>,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// What [`crate::transport::open`] takes.
    pub name: String,
    /// How likely it is the one.
    pub likelihood: Likelihood,
    /// Its adapter.
    pub usb: Option<UsbDevice>,
}

/// USB adapters that boards and cables carry, by vendor and product.
const ADAPTERS: [(u16, u16, &str); 13] = [
    (0x10C4, 0xEA60, "CP2102"),
    (0x10C4, 0xEA64, "CP2102C"),
    (0x10C4, 0xEA70, "CP2105"),
    (0x1A86, 0x7523, "CH340"),
    (0x1A86, 0x7522, "CH340K"),
    (0x1A86, 0x5523, "CH341"),
    (0x1A86, 0x55D3, "CH343"),
    (0x1A86, 0x55D4, "CH9102"),
    (0x0403, 0x6001, "FT232R"),
    (0x0403, 0x6010, "FT2232"),
    (0x0403, 0x6014, "FT232H"),
    (0x0403, 0x6015, "FT231X"),
    (0x067B, 0x2303, "PL2303"),
];

/// Why the ports cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot list serial ports: {0}")]
pub struct ListError(String);

/// Every port, the likely ones first, then by name.
///
/// # Errors
/// [`ListError`] in the operating system's words.
pub fn list() -> Result<Vec<PortInfo>, ListError> {
    // Without this directory, as in a container, serialport would panic.
    if cfg!(target_os = "linux") && !Path::new("/sys/class/tty").exists() {
        return Ok(Vec::new());
    }
    let ports = serialport::available_ports().map_err(|error| ListError(error.description))?;
    let ports = ports.into_iter().map(|port| {
        let usb = match port.port_type {
            serialport::SerialPortType::UsbPort(usb) => Some(UsbDevice {
                vendor: usb.vid,
                product: usb.pid,
                adapter: adapter(usb.vid, usb.pid),
                serial: usb.serial_number,
                description: usb.product,
                location: location(Path::new("/sys/class/tty"), &port.port_name),
            }),
            _ => None,
        };
        PortInfo { name: port.port_name, likelihood: likelihood(usb.as_ref()), usb }
    });
    let mut ports: Vec<_> = ports.filter(|port| !is_callin_twin(&port.name)).collect();
    ports.sort_by(|a, b| b.likelihood.cmp(&a.likelihood).then_with(|| a.name.cmp(&b.name)));
    Ok(ports)
}

/// The port to take when the user names none: the only likely one, or the only possible one where none is likely.
pub fn best_guess(ports: &[PortInfo]) -> Option<&PortInfo> {
    [Likelihood::Likely, Likelihood::Possible].into_iter().find_map(|likelihood| {
        let mut candidates = ports.iter().filter(|port| port.likelihood == likelihood);
        match (candidates.next(), candidates.next()) {
            (None, _) => None,
            (Some(only), None) => Some(Some(only)),
            (Some(_), Some(_)) => Some(None),
        }
    })?
}

/// The adapter chip with this USB vendor and product, where it is one that boards and cables carry.
pub fn adapter(vendor: u16, product: u16) -> Option<&'static str> {
    ADAPTERS.iter().find(|(v, p, _)| (*v, *p) == (vendor, product)).map(|(_, _, name)| *name)
}

fn likelihood(usb: Option<&UsbDevice>) -> Likelihood {
    match usb {
        None => Likelihood::Unlikely,
        Some(UsbDevice { adapter: Some(_), .. }) => Likelihood::Likely,
        Some(_) => Likelihood::Possible,
    }
}

/// macOS lists each port twice; `/dev/tty.…` waits for a carrier that an adapter never gives.
fn is_callin_twin(name: &str) -> bool {
    name.starts_with("/dev/tty.")
}

/// The last path component of the form `1-2.3` above a terminal's device.
fn location(sysfs: &Path, port: &str) -> Option<String> {
    let name = Path::new(port).file_name()?;
    let device = fs::canonicalize(sysfs.join(name).join("device")).ok()?;
    let is_location = |part: &&str| {
        part.split_once('-').is_some_and(|(bus, chain)| {
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number(bus) && chain.split('.').all(is_number)
        })
    };
    device.iter().rev().filter_map(|part| part.to_str()).find(is_location).map(str::to_owned)
}

/// Who may open a device file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The file's group by number.
    pub group_id: u32,
    /// And by name, where `/etc/group` knows it.
    pub group: Option<String>,
    /// Whether the group may read and write.
    pub group_may_open: bool,
    /// Whether this process is in the group; `None` where that cannot be found out.
    pub in_group: Option<bool>,
    /// The permission bits.
    pub mode: u32,
}

/// Who may open the device file `port`; `None` where it is no file.
#[cfg(unix)]
pub fn access(port: &str) -> Option<Access> {
    access_from(Path::new(port), Path::new("/etc/group"), Path::new("/proc/self/status"))
}

/// Device files have no groups here.
#[cfg(not(unix))]
pub fn access(_port: &str) -> Option<Access> {
    None
}

#[cfg(unix)]
fn access_from(port: &Path, groups: &Path, status: &Path) -> Option<Access> {
    use std::os::unix::fs::MetadataExt as _;

    let metadata = fs::metadata(port).ok()?;
    let group_id = metadata.gid();
    let group = fs::read_to_string(groups).ok().and_then(|groups| {
        // name:password:number:members
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(group_id)).then(|| name.to_owned())
        })
    });
    let in_group = fs::read_to_string(status).ok().map(|status| {
        // "Gid:" lists the real and effective groups, "Groups:" the supplementary ones.
        let lines =
            status.lines().filter_map(|line| line.strip_prefix("Gid:").or(line.strip_prefix("Groups:")));
        lines.flat_map(str::split_whitespace).any(|number| number.parse() == Ok(group_id))
    });
    let mode = metadata.mode() & 0o7777;
    Some(Access { group_id, group, group_may_open: mode & 0o060 == 0o060, in_group, mode })
}

/// A process that has a port open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command name.
    pub command: String,
}

/// Who has `port` open, apart from this process; processes of other users stay hidden unless this one is privileged.
pub fn holders(port: &str) -> Vec<Holder> {
    holders_from(Path::new(port), Path::new("/proc"), std::process::id())
}

fn holders_from(port: &Path, proc: &Path, own: u32) -> Vec<Holder> {
    let Ok(port) = fs::canonicalize(port) else { return Vec::new() };
    let mut holders: Vec<_> = processes(proc)
        .filter(|(pid, _)| *pid != own)
        .filter(|(_, directory)| {
            let files = fs::read_dir(directory.join("fd")).into_iter().flatten().flatten();
            files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target == port)
        })
        .map(|(pid, directory)| Holder { pid, command: command_name(&directory) })
        .collect();
    holders.sort_by_key(|holder| holder.pid);
    holders
}

/// Whether brltty may have taken an adapter: it claims several USB ids of serial adapters for braille displays, and
/// the port disappears a second after it was plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brltty {
    /// Its process, where it runs.
    pub process: Option<u32>,
    /// The udev rules that start it, where they are installed.
    pub rules: Option<PathBuf>,
}

/// Looks for brltty; `None` when there is no trace of it.
pub fn brltty() -> Option<Brltty> {
    let rules = ["/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
    brltty_from(Path::new("/proc"), &rules.map(PathBuf::from))
}

fn brltty_from(proc: &Path, rule_directories: &[PathBuf]) -> Option<Brltty> {
    let process =
        processes(proc).find(|(_, directory)| command_name(directory) == "brltty").map(|(pid, _)| pid);
    let rules = rule_directories.iter().find_map(|directory| {
        let mut files = fs::read_dir(directory).into_iter().flatten().flatten().map(|file| file.path());
        files.find(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.contains("brltty") && name.ends_with(".rules"))
        })
    });
    (process.is_some() || rules.is_some()).then_some(Brltty { process, rules })
}

fn processes(proc: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
    fs::read_dir(proc).into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, entry.path()))
    })
}

fn command_name(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, usb: Option<(u16, u16)>) -> PortInfo {
        let usb = usb.map(|(vendor, product)| UsbDevice {
            vendor,
            product,
            adapter: adapter(vendor, product),
            serial: None,
            description: None,
            location: None,
        });
        PortInfo { name: name.to_owned(), likelihood: likelihood(usb.as_ref()), usb }
    }

    #[test]
    fn the_only_likely_port_is_guessed_and_of_two_none() {
        let mainboard = port("/dev/ttyS0", None);
        let modem = port("/dev/ttyACM0", Some((0x1234, 0x5678)));
        let board = port("/dev/ttyUSB0", Some((0x1A86, 0x7523)));
        let other_board = port("/dev/ttyUSB1", Some((0x10C4, 0xEA60)));
        let guess = |ports: &[&PortInfo]| {
            let ports: Vec<_> = ports.iter().map(|&port| port.clone()).collect();
            best_guess(&ports).map(|port| port.name.clone())
        };
        assert_eq!(guess(&[&mainboard, &modem, &board]), Some(board.name.clone()));
        assert_eq!(guess(&[&mainboard, &modem]), Some(modem.name.clone()));
        assert_eq!(guess(&[&board, &other_board]), None);
        assert_eq!(guess(&[&board, &other_board, &modem]), None);
        assert_eq!(guess(&[&mainboard]), None);
        assert_eq!(guess(&[]), None);
    }

    #[test]
    fn listing_the_ports_of_this_machine_does_not_fail() {
        list().unwrap();
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{MetadataExt as _, symlink};

        use super::*;

        /// A directory of this test alone, removed at its end.
        struct Scratch(PathBuf);

        impl Scratch {
            fn new(name: &str) -> Self {
                let path =
                    std::env::temp_dir().join(format!("espbroker-ports-{name}-{}", std::process::id()));
                fs::create_dir_all(&path).unwrap();
                Self(fs::canonicalize(path).unwrap())
            }

            fn write(&self, path: &str, text: &str) -> PathBuf {
                let path = self.0.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, text).unwrap();
                path
            }
        }

        impl Drop for Scratch {
            fn drop(&mut self) {
                let _ = fs::remove_dir_all(&self.0);
            }
        }

        #[test]
        fn the_group_of_the_device_file_is_named_and_not_a_guess() {
            let scratch = Scratch::new("access");
            let device = scratch.write("ttyUSB0", "");
            let group_id = fs::metadata(&device).unwrap().gid();
            let groups = scratch.write("group", &format!("root:x:4294967295:\nuucp:x:{group_id}:anna\n"));
            let status = scratch.write("status", "Name:\tx\nGid:\t4294967295\t1\nGroups:\t4294967294 7\n");
            let access = access_from(&device, &groups, &status).unwrap();
            assert_eq!(access.group.as_deref(), Some("uucp"));
            assert_eq!(access.in_group, Some(false));
            let status = scratch.write("status", &format!("Groups:\t7 {group_id} \n"));
            assert_eq!(access_from(&device, &groups, &status).unwrap().in_group, Some(true));
            assert_eq!(access_from(&device, &groups, Path::new("/nowhere")).unwrap().in_group, None);
            assert_eq!(access_from(Path::new("/nowhere"), &groups, &status), None);
        }

        #[test]
        fn a_busy_port_names_the_process_that_holds_it() {
            let scratch = Scratch::new("holders");
            let device = scratch.write("ttyUSB0", "");
            symlink(&device, scratch.0.join("by-id")).unwrap();
            for (pid, command, opens) in
                [("12", "screen\n", true), ("13", "bash\n", false), ("14", "me\n", true)]
            {
                scratch.write(&format!("proc/{pid}/comm"), command);
                let files = scratch.0.join("proc").join(pid).join("fd");
                fs::create_dir_all(&files).unwrap();
                if opens {
                    symlink(&device, files.join("3")).unwrap();
                }
            }
            let holders = holders_from(&scratch.0.join("by-id"), &scratch.0.join("proc"), 14);
            assert_eq!(holders, [Holder { pid: 12, command: "screen".to_owned() }]);
        }

        #[test]
        fn brltty_is_found_by_its_process_or_its_rules() {
            let scratch = Scratch::new("brltty");
            let (proc, rules) = (scratch.0.join("proc"), scratch.0.join("rules.d"));
            assert_eq!(brltty_from(&proc, std::slice::from_ref(&rules)), None);
            scratch.write("proc/77/comm", "brltty\n");
            let file = scratch.write("rules.d/90-brltty-device.rules", "");
            let found = brltty_from(&proc, &[rules]).unwrap();
            assert_eq!(found, Brltty { process: Some(77), rules: Some(file) });
        }

        #[test]
        fn the_usb_socket_is_found_above_the_terminal() {
            let scratch = Scratch::new("location");
            let device = scratch.0.join("devices/pci0000:00/usb1/1-2/1-2.4/1-2.4:1.0/ttyUSB0");
            fs::create_dir_all(&device).unwrap();
            let class = scratch.0.join("class/ttyUSB0");
            fs::create_dir_all(&class).unwrap();
            symlink(&device, class.join("device")).unwrap();
            let location = location(&scratch.0.join("class"), "/dev/ttyUSB0");
            assert_eq!(location.as_deref(), Some("1-2.4"));
        }
    }
}
