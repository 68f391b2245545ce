//! [`Order`]: what the firmware wants done outside.
//!
//! The first byte is the kind; numbers are little-endian; texts have their length in a byte in front; what is last and
//! may be long has none and goes to the end.

use alloc::{
    borrow::{Cow, ToOwned},
    string::String,
};
use core::{net::SocketAddr, str};

use espbroker_config::{
    model::{FixedIpv4, Passphrase, Unknown, Wifi},
    secret::Secret,
};
use espbroker_node::{BridgeId, ConnectionId, Output, RadioCommand, discovery::Channel, status::Service};

use crate::{
    ORDER_MAX,
    words::{CHANNELS, Malformed, Reader, SERVICES, Writer, place},
};

const JOIN: u8 = 1;
const LEAVE: u8 = 2;
const OPEN_ACCESS_POINT: u8 = 3;
const CLOSE_ACCESS_POINT: u8 = 4;
const LISTEN: u8 = 5;
const STOP_LISTENING: u8 = 6;
const SEND: u8 = 7;
const CLOSE: u8 = 8;
const OPEN: u8 = 9;
const ABANDON: u8 = 10;
const DATAGRAM: u8 = 11;

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order<'a> {
    /// For the radio.
    Radio(Cow<'a, RadioCommand>),
    /// Open a port; news say how that went.
    Listen {
        /// For which.
        service: Service,
        /// TCP port.
        port: u16,
    },
    /// Close it.
    StopListening {
        /// Of which.
        service: Service,
    },
    /// Send bytes.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// Behind those that wait.
        bytes: &'a [u8],
    },
    /// Close a connection.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Look a host up and connect to it; news say how that went.
    Open {
        /// For which bridge.
        bridge: BridgeId,
        /// TCP port.
        port: u16,
        /// Name or address.
        host: &'a str,
    },
    /// Give that up.
    Abandon {
        /// For which bridge.
        bridge: BridgeId,
    },
    /// Send a datagram.
    Datagram {
        /// From which port.
        channel: Channel,
        /// To whom.
        to: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
}

impl<'a> Order<'a> {
    /// What of the node's outputs is for the outside; `None` for the others.
    pub fn of(output: &'a Output) -> Option<Self> {
        Some(match output {
            Output::Radio(command) => Self::Radio(Cow::Borrowed(command)),
            &Output::Listen { service, port } => Self::Listen { service, port },
            &Output::StopListening { service } => Self::StopListening { service },
            Output::Send { connection, bytes } => Self::Send { connection: *connection, bytes },
            &Output::Close { connection } => Self::Close { connection },
            Output::Open { bridge, host, port } => Self::Open { bridge: *bridge, port: *port, host },
            &Output::Abandon { bridge } => Self::Abandon { bridge },
            Output::Datagram { channel, to, bytes } => Self::Datagram { channel: *channel, to: *to, bytes },
            _ => return None,
        })
    }

    /// Writes the order, but for what may be long, which is to follow; gives the length and that.
    ///
    /// `None` when a field is longer than the node lets it be, or no IPv4 address.
    pub fn write(&self, head: &mut [u8; ORDER_MAX]) -> Option<(usize, &[u8])> {
        let mut writer = Writer::new(head);
        let mut rest: &[u8] = &[];
        match self {
            Self::Radio(command) => write_radio(&mut writer, command),
            Self::Listen { service, port } => {
                writer.byte(LISTEN);
                writer.byte(place(SERVICES, service));
                writer.half(*port);
            }
            Self::StopListening { service } => {
                writer.byte(STOP_LISTENING);
                writer.byte(place(SERVICES, service));
            }
            Self::Send { connection, bytes } => {
                writer.byte(SEND);
                writer.half(connection.0);
                rest = bytes;
            }
            Self::Close { connection } => {
                writer.byte(CLOSE);
                writer.half(connection.0);
            }
            Self::Open { bridge, port, host } => {
                writer.byte(OPEN);
                writer.byte(bridge.0);
                writer.half(*port);
                rest = host.as_bytes();
            }
            Self::Abandon { bridge } => {
                writer.byte(ABANDON);
                writer.byte(bridge.0);
            }
            Self::Datagram { channel, to, bytes } => {
                writer.byte(DATAGRAM);
                writer.byte(place(CHANNELS, channel));
                writer.address(*to);
                rest = bytes;
            }
        }
        Some((writer.length()?, rest))
    }

    /// Reads an order.
    ///
    /// # Errors
    /// [`Malformed`] unless every byte belongs to it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let order = match reader.byte()? {
            SEND => {
                let connection = ConnectionId(reader.half()?);
                return Ok(Self::Send { connection, bytes: reader.rest() });
            }
            OPEN => {
                let (bridge, port) = (BridgeId(reader.byte()?), reader.half()?);
                let host = str::from_utf8(reader.rest()).map_err(|_| Malformed)?;
                return Ok(Self::Open { bridge, port, host });
            }
            DATAGRAM => {
                let (channel, to) = (reader.one_of(CHANNELS)?, reader.address()?);
                return Ok(Self::Datagram { channel, to, bytes: reader.rest() });
            }
            LISTEN => Self::Listen { service: reader.one_of(SERVICES)?, port: reader.half()? },
            STOP_LISTENING => Self::StopListening { service: reader.one_of(SERVICES)? },
            CLOSE => Self::Close { connection: ConnectionId(reader.half()?) },
            ABANDON => Self::Abandon { bridge: BridgeId(reader.byte()?) },
            kind => Self::Radio(Cow::Owned(read_radio(kind, &mut reader)?)),
        };
        reader.end()?;
        Ok(order)
    }
}

fn write_radio(writer: &mut Writer<'_>, command: &RadioCommand) {
    match command {
        RadioCommand::Join(wifi) => write_join(writer, wifi),
        RadioCommand::Leave => writer.byte(LEAVE),
        RadioCommand::OpenAccessPoint { ssid, passphrase } => {
            writer.byte(OPEN_ACCESS_POINT);
            writer.short(ssid);
            // A passphrase has 8 characters at least.
            writer.short(passphrase.as_ref().map_or(&[], |passphrase| passphrase.expose().as_bytes()));
        }
        RadioCommand::CloseAccessPoint => writer.byte(CLOSE_ACCESS_POINT),
    }
}

fn read_radio(kind: u8, reader: &mut Reader<'_>) -> Result<RadioCommand, Malformed> {
    Ok(match kind {
        JOIN => RadioCommand::Join(read_join(reader)?),
        LEAVE => RadioCommand::Leave,
        OPEN_ACCESS_POINT => {
            let ssid = reader.short()?.to_owned();
            let passphrase = Some(text(reader.short()?)?).filter(|text| !text.is_empty()).map(Secret::new);
            RadioCommand::OpenAccessPoint { ssid, passphrase }
        }
        CLOSE_ACCESS_POINT => RadioCommand::CloseAccessPoint,
        _ => return Err(Malformed),
    })
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|_| Malformed)
}

/// Kinds of credentials.
const NONE: u8 = 0;
const TEXT: u8 = 1;
const KEY: u8 = 2;

/// Fields that are not there are empty.
fn write_join(writer: &mut Writer<'_>, wifi: &Wifi) {
    writer.byte(JOIN);
    writer.short(&wifi.ssid);
    match &wifi.passphrase {
        None => writer.byte(NONE),
        Some(Passphrase::Text(text)) => {
            writer.byte(TEXT);
            writer.short(text.expose().as_bytes());
        }
        Some(Passphrase::Key(key)) => {
            writer.byte(KEY);
            writer.bytes(key.expose());
        }
    }
    writer.byte(u8::from(wifi.hidden));
    writer.short(wifi.bssid.as_ref().map_or(&[], |bssid| bssid.as_slice()));
    // No network is on channel 0.
    writer.byte(wifi.channel.unwrap_or(0));
    match &wifi.ipv4 {
        None => writer.byte(0),
        Some(FixedIpv4 { address, prefix, gateway, dns, .. }) => {
            writer.byte(1);
            writer.bytes(address);
            writer.byte(*prefix);
            writer.bytes(gateway);
            writer.short(dns.as_ref().map_or(&[], |dns| dns.as_slice()));
        }
    }
}

fn read_join(reader: &mut Reader<'_>) -> Result<Wifi, Malformed> {
    let mut wifi = Wifi::new(reader.short()?);
    wifi.passphrase = match reader.byte()? {
        NONE => None,
        TEXT => Some(Passphrase::Text(Secret::new(text(reader.short()?)?))),
        KEY => Some(Passphrase::Key(Secret::new(reader.array()?))),
        _ => return Err(Malformed),
    };
    wifi.hidden = reader.one_of(&[false, true])?;
    wifi.bssid = optional(reader.short()?)?;
    wifi.channel = Some(reader.byte()?).filter(|channel| *channel != 0);
    if reader.one_of(&[false, true])? {
        let (address, prefix, gateway) = (reader.array()?, reader.byte()?, reader.array()?);
        let dns = optional(reader.short()?)?;
        wifi.ipv4 = Some(FixedIpv4 { address, prefix, gateway, dns, unknown: Unknown::default() });
    }
    Ok(wifi)
}

fn optional<const N: usize>(bytes: &[u8]) -> Result<Option<[u8; N]>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes.try_into().map(Some).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn through(order: &Order<'_>) {
        let mut head = [0; ORDER_MAX];
        let (length, rest) = order.write(&mut head).unwrap();
        let bytes: Vec<u8> = head[..length].iter().chain(rest).copied().collect();
        assert_eq!(Order::read(&bytes).as_ref(), Ok(order));
        if rest.is_empty() {
            for cut in 0..length {
                assert_ne!(Order::read(&head[..cut]).as_ref(), Ok(order), "cut at {cut}");
            }
        }
    }

    #[test]
    fn every_order_comes_through() {
        let mut wifi = Wifi::new(vec![0xFF; 32]);
        through(&Order::Radio(Cow::Owned(RadioCommand::Join(wifi.clone()))));
        wifi.passphrase = Some(Passphrase::Key(Secret::new([7; 32])));
        wifi.hidden = true;
        wifi.bssid = Some([1, 2, 3, 4, 5, 6]);
        wifi.channel = Some(13);
        let unknown = Unknown::default();
        let (address, gateway) = ([192, 168, 1, 5], [192, 168, 1, 1]);
        wifi.ipv4 = Some(FixedIpv4 { address, prefix: 24, gateway, dns: Some([9; 4]), unknown });
        through(&Order::Radio(Cow::Owned(RadioCommand::Join(wifi.clone()))));
        wifi.passphrase = Some(Passphrase::Text(Secret::new("x".repeat(63))));
        through(&Order::Radio(Cow::Owned(RadioCommand::Join(wifi))));
        let ssid = b"espbroker-000001".to_vec();
        for passphrase in [None, Some(Secret::new("12345678".to_owned()))] {
            let command = RadioCommand::OpenAccessPoint { ssid: ssid.clone(), passphrase };
            through(&Order::Radio(Cow::Owned(command)));
        }
        for command in [RadioCommand::Leave, RadioCommand::CloseAccessPoint] {
            through(&Order::Radio(Cow::Owned(command)));
        }
        through(&Order::Listen { service: Service::WebSocket, port: 9001 });
        through(&Order::StopListening { service: Service::Mqtt });
        let connection = ConnectionId(0x1234);
        through(&Order::Send { connection, bytes: b"bytes" });
        through(&Order::Close { connection });
        through(&Order::Open { bridge: BridgeId(3), port: 1883, host: "hub.example" });
        through(&Order::Abandon { bridge: BridgeId(3) });
        let to = "224.0.0.251:5353".parse().unwrap();
        through(&Order::Datagram { channel: Channel::Mdns, to, bytes: b"answer" });
    }

    #[test]
    fn an_order_with_a_byte_too_many_is_none() {
        assert_eq!(Order::read(&[LEAVE, 0]), Err(Malformed));
        assert_eq!(Order::read(&[LISTEN, 2, 0, 0]), Err(Malformed));
        assert_eq!(Order::read(&[]), Err(Malformed));
        assert_eq!(Order::read(&[OPEN, 0, 0, 0, 0xFF]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_order_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 0_u8..13) {
            let mut all = vec![kind];
            all.extend(bytes);
            let _ = Order::read(&all);
        }
    }
}
