//! [`Connection`]: one client of the load generator, on a socket that never waits.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use espbroker_mqtt::{
    Connack, Connect, ConnectReturnCode, FixedHeader, Packet, PacketId, Protocol, QoS, SubackCode, Subscribe,
    Subscription, SubscriptionList, TopicFilter,
};
use mio::net::TcpStream;

use crate::process::Failure;

/// Longest wait for an answer to CONNECT and SUBSCRIBE.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes read at once.
const PIECE: usize = 65_536;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    incoming: Vec<u8>,
    /// To be written by [`Connection::flush`].
    pub(crate) outgoing: Vec<u8>,
}

impl Connection {
    /// Connects with a clean session and without a keep alive.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub(crate) fn open(address: SocketAddr, client_id: &str) -> Result<Self, Failure> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection =
            Self { stream: TcpStream::from_std(stream), incoming: Vec::new(), outgoing: Vec::new() };
        connection.push(&Packet::Connect(Connect {
            protocol: Protocol::Mqtt311,
            bridge: false,
            client_id,
            clean_session: true,
            keep_alive: 0,
            will: None,
            user_name: None,
            password: None,
        }))?;
        let accepted =
            Packet::Connack(Connack { session_present: false, return_code: ConnectReturnCode::Accepted });
        connection.wait_for(|packet| (*packet == accepted).then_some(()))?;
        Ok(connection)
    }

    /// Subscribes, and returns what was granted.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<QoS, Failure> {
        let filter = TopicFilter::new(filter)?;
        let packet_id = PacketId::new(1).ok_or("packet identifier 0")?;
        let subscriptions = [Subscription { filter, qos }];
        let subscriptions = SubscriptionList::new(&subscriptions);
        self.push(&Packet::Subscribe(Subscribe { packet_id, subscriptions }))?;
        self.wait_for(|packet| match packet {
            Packet::Suback(suback) => suback.return_codes.iter().find_map(|code| match code {
                SubackCode::Granted(qos) => Some(qos),
                SubackCode::Failure => None,
            }),
            _ => None,
        })
    }

    /// From here on nothing waits.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub(crate) fn never_wait(self) -> Result<Self, Failure> {
        let stream = std::net::TcpStream::from(self.stream);
        stream.set_nonblocking(true)?;
        Ok(Self { stream: TcpStream::from_std(stream), ..self })
    }

    /// Puts a packet behind what is to be written.
    ///
    /// # Errors
    ///
    /// When there is no such packet.
    pub(crate) fn push(&mut self, packet: &Packet<'_>) -> Result<(), Failure> {
        Ok(packet.encode(&mut self.outgoing)?)
    }

    /// Writes what the network takes.
    ///
    /// # Errors
    ///
    /// When the broker has closed the connection.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads once and gives each whole packet to `take`, with the place for answers; `false` when nothing was there.
    ///
    /// # Errors
    ///
    /// When the broker has closed the connection, or sent what is no packet.
    pub(crate) fn read(
        &mut self,
        mut take: impl FnMut(&Packet<'_>, &mut Vec<u8>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let before = self.incoming.len();
        self.incoming.resize(before + PIECE, 0);
        let result = self.stream.read(self.incoming.get_mut(before..).unwrap_or_default());
        self.incoming.truncate(before + result.as_ref().map_or(0, |length| *length));
        match result {
            Ok(0) => return Err("the broker has closed a connection".into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut rest = self.incoming.as_slice();
        while let Some(header) = FixedHeader::parse(rest)?
            && let Some((packet, after)) = rest.split_at_checked(usize::try_from(header.packet_length())?)
        {
            take(&Packet::decode(packet)?, &mut self.outgoing)?;
            rest = after;
        }
        let used = self.incoming.len() - rest.len();
        self.incoming.drain(..used);
        Ok(true)
    }

    /// Writes everything and reads up to a packet that `wanted` makes something of.
    fn wait_for<T>(&mut self, wanted: impl Fn(&Packet<'_>) -> Option<T>) -> Result<T, Failure> {
        self.flush()?;
        let mut found = None;
        while found.is_none() {
            let read = self.read(|packet, _| {
                found = wanted(packet);
                if found.is_some() { Ok(()) } else { Err(format!("the broker answered {packet:?}").into()) }
            })?;
            if !read {
                return Err("the broker does not answer".into());
            }
        }
        found.ok_or_else(|| "the broker does not answer".into())
    }
}
