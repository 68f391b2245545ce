//! Which ports there are now, and who is behind one.

use std::time::Duration;

use espbroker_flasher::{
    FlasherError,
    ports::{self, Likelihood},
    transport::{self, RFC2217_PREFIX, Transport},
};
use espbroker_node::status::Status;

use super::fleet::Mac;

/// Rate of the firmware's console.
const BAUD: u32 = 115_200;
/// How long a device has for its answer.
const ANSWER: Duration = Duration::from_millis(700);
/// Makes the firmware repeat all its status lines.
const QUESTION: &[u8] = b"\r\nstatus\r\n";

/// Which ports are worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// Whichever appears and looks like an ESP8266.
    Auto,
    /// These.
    Listed(Vec<String>),
}

impl std::str::FromStr for Ports {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let mut names: Vec<String> = Vec::new();
        for name in text.split(',').map(str::trim) {
            if name.is_empty() {
                return Err("`auto`, or names with commas between them");
            }
            if names.iter().any(|known| known == name) {
                return Err("a port stands twice");
            }
            names.push(name.to_owned());
        }
        Ok(Self::Listed(names))
    }
}

/// A port that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) name: String,
    /// Where its adapter is plugged in.
    pub(super) location: Option<String>,
}

impl Port {
    /// What a row may call it.
    pub(super) fn places(&self) -> Vec<&str> {
        [Some(self.name.as_str()), self.location.as_deref()].into_iter().flatten().collect()
    }
}

impl Ports {
    /// Those that are there now.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub(super) fn present(&self) -> Result<Vec<Port>, FlasherError> {
        let on_network = |name: &str| name.starts_with(RFC2217_PREFIX);
        let known = match self {
            Self::Listed(names) if names.iter().all(|name| on_network(name)) => Vec::new(),
            _ => ports::list()?,
        };
        let location = |name: &str| {
            let port = known.iter().find(|port| port.name == name)?;
            port.usb.as_ref()?.location.clone()
        };
        let port = |name: &String| Port { name: name.clone(), location: location(name) };
        Ok(match self {
            Self::Auto => known
                .iter()
                .filter(|port| port.likelihood == Likelihood::Likely)
                .map(|known| port(&known.name))
                .collect(),
            // What is behind a name on the network is known when it is opened.
            Self::Listed(names) => names
                .iter()
                .filter(|name| {
                    on_network(name)
                        || known.iter().any(|known| known.name == **name)
                        || std::path::Path::new(name).exists()
                })
                .map(port)
                .collect(),
        })
    }
}

/// Who is behind a port that was worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// The port is gone.
    NoPort,
    /// Nobody says anything that is understood.
    Silence,
    /// A firmware of ours, on the device with this address.
    Firmware(Mac),
}

/// A port that is held open, so that nobody can be unplugged and somebody else connected without being noticed.
pub(super) struct Watch(Box<dyn Transport>);

impl Watch {
    /// `None` where the port cannot be opened.
    pub(super) fn new(name: &str) -> Option<Self> {
        transport::open(name, BAUD).ok().map(Self)
    }

    /// Asks without disturbing whoever is there: a device that runs goes on running.
    pub(super) fn who_is_behind(&mut self) -> Behind {
        match ask(self.0.as_mut()) {
            Ok(Some(mac)) => Behind::Firmware(mac),
            Ok(None) => Behind::Silence,
            Err(_) => Behind::NoPort,
        }
    }
}

/// Whether the port can be opened, and stays open.
pub(super) fn is_there(name: &str) -> bool {
    Watch::new(name).is_some_and(|mut watch| watch.who_is_behind() != Behind::NoPort)
}

fn ask(port: &mut dyn Transport) -> Result<Option<Mac>, transport::TransportError> {
    port.write_all(QUESTION)?;
    let deadline = port.now() + ANSWER;
    let (mut heard, mut buffer) = (Vec::new(), [0; 1024]);
    while port.now() < deadline {
        let count = port.read(&mut buffer, deadline.saturating_sub(port.now()))?;
        heard.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let text = String::from_utf8_lossy(&heard);
        let boot = text.lines().find_map(|line| match Status::parse(line) {
            Ok(Some(Status::Boot { mac, .. })) => Some(mac),
            _ => None,
        });
        if boot.is_some() {
            return Ok(boot);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_one_by_one_or_found() {
        assert_eq!("auto".parse(), Ok(Ports::Auto));
        let two = Ports::Listed(vec!["/dev/ttyUSB0".to_owned(), "rfc2217://h:1".to_owned()]);
        assert_eq!("/dev/ttyUSB0, rfc2217://h:1".parse(), Ok(two));
        assert!(
            "".parse::<Ports>().is_err()
                && "a,,b".parse::<Ports>().is_err()
                && "a,a".parse::<Ports>().is_err()
        );
    }

    #[test]
    fn a_port_on_the_network_is_there_until_it_is_opened_and_others_only_when_they_are() {
        let ports: Ports = "/dev/none-of-this-name,rfc2217://127.0.0.1:1".parse().unwrap();
        let present: Vec<String> = ports.present().unwrap().into_iter().map(|port| port.name).collect();
        assert_eq!(present, ["rfc2217://127.0.0.1:1"]);
        assert!(!is_there("rfc2217://127.0.0.1:1"));
    }
}
