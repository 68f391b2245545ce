//! Clients of the device, over its forwarded ports.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use espbroker_mqtt::{Delivery, Packet, Publish, QoS, TopicName};
use tungstenite::{ClientRequestBuilder, Message, WebSocket, http::Uri};

use super::super::load::Connection;
use crate::{
    emulated::caller::{Caller, plain},
    process::Failure,
};

/// Subscriptions of each client; the last of them is [`EVERYBODY`].
const SUBSCRIPTIONS: u32 = 5;
/// What every client subscribes to.
const EVERYBODY: &str = "bench/all";
/// The message of the fan-out.
const PAYLOAD: &[u8; 24] = b"{\"power\":1,\"watts\":17.5}";
/// How long nobody reads.
const SILENCE: Duration = Duration::from_secs(5);
/// Longest wait for the messages afterwards.
const PATIENCE: Duration = Duration::from_secs(10);
/// After the last client has left: the device gives each a moment to end its connection.
const SETTLE: Duration = Duration::from_secs(4);

/// The clients of one device.
pub(super) struct Home {
    address: SocketAddr,
    subscribers: Vec<Connection>,
}

impl Home {
    /// Nobody yet.
    pub(super) const fn new(port: u16) -> Self {
        let address = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self { address, subscribers: Vec::new() }
    }

    /// One more client with its subscriptions.
    ///
    /// # Errors
    ///
    /// When the device has no place for it.
    pub(super) fn join(&mut self) -> Result<(), Failure> {
        let number = self.subscribers.len();
        let mut client = Connection::open(self.address, &format!("client-{number:02}"))?;
        for lamp in 1..SUBSCRIPTIONS {
            client.subscribe(&format!("site/room{number:02}/lamp{lamp}/on"), QoS::AtMostOnce)?;
        }
        client.subscribe(EVERYBODY, QoS::AtMostOnce)?;
        self.subscribers.push(client);
        Ok(())
    }

    /// Sends a message to everybody, lets nobody read for a while, and counts the clients that have got it then.
    ///
    /// # Errors
    ///
    /// When the device has lost a client.
    pub(super) fn fan_out(&mut self, phone: &mut WebSocketClient) -> Result<u64, Failure> {
        let topic = TopicName::new(EVERYBODY)?;
        phone.send(&Packet::Publish(Publish {
            topic,
            payload: PAYLOAD,
            retain: false,
            delivery: Delivery::AtMostOnce,
        }))?;
        thread::sleep(SILENCE);
        let mut delivered = 0;
        let subscribers = std::mem::take(&mut self.subscribers);
        let end = Instant::now() + PATIENCE;
        for client in subscribers {
            let mut client = client.never_wait()?;
            let mut got = false;
            while !got && Instant::now() < end {
                let read = client.read(|packet, _| {
                    got |= matches!(packet, Packet::Publish(publish) if publish.payload == PAYLOAD);
                    Ok(())
                })?;
                if !read {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            delivered += u64::from(got);
            self.subscribers.push(client);
        }
        Ok(delivered)
    }

    /// So many clients come and go, one after the other: every second one says DISCONNECT and ends its connection, the
    /// others are gone without FIN.
    ///
    /// # Errors
    ///
    /// When the device lets one of them not in.
    pub(super) fn visit(&mut self, count: u32) -> Result<(), Failure> {
        for number in 0..count {
            if number % 2 == 0 {
                let mut client = Connection::open(self.address, "visitor")?;
                client.push(&Packet::Disconnect)?;
                client.flush()?;
            } else {
                self.vanish()?;
            }
        }
        Ok(())
    }

    /// A client that is gone with its CONNACK unread, which makes the operating system send RST in place of FIN.
    fn vanish(&self) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        Packet::Connect(plain("vanishing")).encode(&mut bytes)?;
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        std::io::Write::write_all(&mut stream, &bytes)?;
        match stream.peek(&mut [0; 1])? {
            0 => Err("the device has closed a connection".into()),
            _ => Ok(()),
        }
    }

    /// The clients that the device counts, but the one that asks.
    ///
    /// # Errors
    ///
    /// When it does not tell.
    pub(super) fn counted(&self) -> Result<u64, Failure> {
        let mut caller = Caller::connect(self.address.port(), plain("asker"))?;
        caller.subscribe("$SYS/broker/clients/connected", QoS::AtMostOnce)?;
        let packet = caller.packet()?;
        match Packet::decode(&packet)? {
            Packet::Publish(publish) => {
                Ok(std::str::from_utf8(publish.payload)?.parse::<u64>()?.saturating_sub(1))
            }
            other => Err(format!("{other:?} in place of the number of clients").into()),
        }
    }

    /// Waits until the device is done with those who left.
    pub(super) fn settle(&self) {
        thread::sleep(SETTLE);
    }
}

/// A client over WebSocket, as a phone's page is one.
pub(crate) struct WebSocketClient(WebSocket<TcpStream>);

impl WebSocketClient {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// When the device refuses.
    pub(crate) fn open(port: u16) -> Result<Self, Failure> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let uri: Uri = format!("ws://127.0.0.1:{port}/mqtt").parse()?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt");
        let (socket, _) = tungstenite::client(request, stream).map_err(|error| error.to_string())?;
        let mut client = Self(socket);
        client.send(&Packet::Connect(plain("phone")))?;
        match client.0.read()? {
            Message::Binary(bytes) if bytes.first() == Some(&0x20) => Ok(client),
            other => Err(format!("no CONNACK over WebSocket: {other:?}").into()),
        }
    }

    fn send(&mut self, packet: &Packet<'_>) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes)?;
        Ok(self.0.send(Message::binary(bytes))?)
    }
}
