//! The UDP ports through which the device is found.
//!
//! For each channel there are up to two sockets: one on every address, which hears broadcasts and the multicast group, and
//! one on the device's own address, from which answers go, so that an asker learns the address to connect to. Both share
//! their port with other programs of this computer, the mDNS responder of the system among them, and with other devices.
//! A device that listens on a loopback address hears and answers this computer only. A port that cannot be had is done
//! without: a device works unfound too.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use espbroker_node::discovery::{Channel, MDNS_GROUP, MDNS_PORT, PROBE_PORT};
use mio::{Interest, Registry, Token, event::Event, net::UdpSocket};
use socket2::{Domain, Protocol, Socket, Type};

/// Which UDP ports a device is found through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoveryPorts {
    /// Port of the probe.
    pub probe: u16,
    /// Port of multicast DNS.
    pub mdns: u16,
}

impl DiscoveryPorts {
    /// Those that everybody asks at.
    pub const STANDARD: Self = Self { probe: PROBE_PORT, mdns: MDNS_PORT };
}

/// Sockets that [`Datagrams::open`] makes at most, each with a token of its own.
pub(crate) const SOCKETS_MAX: usize = 4;

/// Bytes of the longest datagram that is looked at; longer ones are cut, and are no questions then.
pub(crate) const DATAGRAM: usize = 1500;

pub(crate) struct Datagrams {
    bind: IpAddr,
    sockets: Vec<Port>,
}

struct Port {
    channel: Channel,
    token: Token,
    socket: UdpSocket,
    /// Answers go through this one.
    answers: bool,
    readable: bool,
}

impl Datagrams {
    /// Opens what can be opened; tokens are taken from `first_token` on.
    pub(crate) fn open(
        registry: &Registry,
        bind: IpAddr,
        ports: Option<DiscoveryPorts>,
        first_token: usize,
    ) -> Self {
        let mut sockets = Vec::new();
        // The device speaks IPv4 on every platform so far.
        if let (Some(ports), IpAddr::V4(own)) = (ports, bind) {
            let channels = [(Channel::Probe, ports.probe), (Channel::Mdns, ports.mdns)];
            let addresses = if own.is_unspecified() { vec![own] } else { vec![Ipv4Addr::UNSPECIFIED, own] };
            for (channel, port) in channels {
                for &address in &addresses {
                    let token = Token(first_token + sockets.len());
                    let opened = open(channel, address, own, port).and_then(|mut socket| {
                        registry.register(&mut socket, token, Interest::READABLE)?;
                        Ok(socket)
                    });
                    if let Ok(socket) = opened {
                        sockets.push(Port {
                            channel,
                            token,
                            socket,
                            answers: address == own,
                            readable: false,
                        });
                    }
                }
            }
        }
        Self { bind, sockets }
    }

    /// Notes what the selector says.
    pub(crate) fn mark(&mut self, event: &Event) {
        if let Some(port) = self.sockets.iter_mut().find(|port| port.token == event.token()) {
            port.readable = true;
        }
    }

    /// Whether there is work that no event will announce.
    pub(crate) fn is_busy(&self) -> bool {
        self.sockets.iter().any(|port| port.readable)
    }

    /// Takes the next datagram that is for this device.
    pub(crate) fn receive(&mut self, buffer: &mut [u8; DATAGRAM]) -> Option<(Channel, SocketAddr, usize)> {
        let this_computer_only = self.bind.is_loopback();
        for port in &mut self.sockets {
            while port.readable {
                match port.socket.recv_from(buffer) {
                    Ok((_, from)) if this_computer_only && !from.ip().is_loopback() => {}
                    Ok((length, from)) => return Some((port.channel, from, length)),
                    // An answer that nobody wanted comes back as an error of the socket; the next datagram is fine.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                    Err(_) => port.readable = false,
                }
            }
        }
        None
    }

    /// Sends a datagram; one that cannot be sent is lost, as any datagram may be.
    pub(crate) fn send(&self, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        if let Some(port) = self.sockets.iter().find(|port| port.channel == channel && port.answers) {
            let _ = port.socket.send_to(bytes, to);
        }
    }
}

fn open(channel: Channel, address: Ipv4Addr, own: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // Only Linux hands broadcasts and multicasts to everybody who shares a port with that alone.
    #[cfg(all(unix, not(target_os = "linux")))]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    if channel == Channel::Mdns {
        if address.is_unspecified() {
            socket.join_multicast_v4(&MDNS_GROUP, &own)?;
        }
        if !own.is_unspecified() {
            socket.set_multicast_if_v4(&own)?;
        }
        // RFC 6762 §11.
        socket.set_multicast_ttl_v4(255)?;
    }
    Ok(UdpSocket::from_std(socket.into()))
}
