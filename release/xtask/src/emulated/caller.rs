//! [`Caller`]: an MQTT client of the board that says exactly what a check wants said.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use espbroker_mqtt::{
    Connect, FixedHeader, Packet, PacketId, Protocol, QoS, Subscribe, Subscription, SubscriptionList,
    TopicFilter,
};

use crate::process::Failure;

/// Longest wait for a packet: a segment that finds no memory on the board is sent again after up to 3 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the board.
pub(crate) struct Caller {
    stream: TcpStream,
    incoming: Vec<u8>,
}

/// A CONNECT that asks for nothing special.
pub(crate) const fn plain(client_id: &str) -> Connect<'_> {
    Connect {
        protocol: Protocol::Mqtt311,
        bridge: false,
        client_id,
        clean_session: true,
        keep_alive: 0,
        will: None,
        user_name: None,
        password: None,
    }
}

impl Caller {
    /// Opens a connection and says nothing.
    ///
    /// # Errors
    ///
    /// When nobody is there.
    pub(crate) fn open(port: u16) -> Result<Self, Failure> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, incoming: Vec::new() })
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// When the board refuses.
    pub(crate) fn connect(port: u16, connect: Connect<'_>) -> Result<Self, Failure> {
        let mut caller = Self::open(port)?;
        caller.send(&Packet::Connect(connect))?;
        match caller.packet()?.as_slice() {
            [0x20, 2, _, 0] => Ok(caller),
            other => Err(format!("no CONNACK: {}", other.escape_ascii()).into()),
        }
    }

    /// From now on waits so long for a packet.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub(crate) fn be_patient(&mut self, patience: Duration) -> Result<(), Failure> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Sends a packet.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes)?;
        self.bytes(&bytes)
    }

    /// The next packet.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub(crate) fn packet(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(header) = FixedHeader::parse(&self.incoming)? {
                let length = usize::try_from(header.packet_length())?;
                if self.incoming.len() >= length {
                    return Ok(self.incoming.drain(..length).collect());
                }
            }
            let mut piece = [0; 2048];
            match self.stream.read(&mut piece)? {
                0 => return Err("the board has closed a connection".into()),
                length => self.incoming.extend(piece.get(..length).unwrap_or_default()),
            }
        }
    }

    /// The next packet, which must begin so.
    ///
    /// # Errors
    ///
    /// When another comes, or none.
    pub(crate) fn expect(&mut self, begin: &[u8]) -> Result<Vec<u8>, Failure> {
        let packet = self.packet()?;
        if packet.starts_with(begin) {
            return Ok(packet);
        }
        Err(format!("`{}` came in place of `{}`", packet.escape_ascii(), begin.escape_ascii()).into())
    }

    /// Sends a packet and takes the answer, which must begin so.
    ///
    /// # Errors
    ///
    /// When another comes, or none.
    pub(crate) fn ask(&mut self, packet: &Packet<'_>, begin: &[u8]) -> Result<Vec<u8>, Failure> {
        self.send(packet)?;
        self.expect(begin)
    }

    /// Subscribes to one filter.
    ///
    /// # Errors
    ///
    /// When the board refuses.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<(), Failure> {
        let packet_id = PacketId::new(7).ok_or("packet identifier 0")?;
        let subscriptions = [Subscription { filter: TopicFilter::new(filter)?, qos }];
        let subscriptions = SubscriptionList::new(&subscriptions);
        let packet = Packet::Subscribe(Subscribe { packet_id, subscriptions });
        self.ask(&packet, &[0x90, 3, 0, 7, qos.number()]).map(drop)
    }
}
