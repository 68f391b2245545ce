//! [`World`]: a broker with its clients, where everything that is to be done is done before the next thing happens.

use espbroker_broker::{
    Anonymous, Broker, CloseReason, ConnectionId, Input, Instant, NoAccounts, Output, Settings, Transport,
};
use espbroker_mqtt::QoS;

use crate::{
    Failure,
    client::{self, Client, Session},
    heap, measured,
};

/// A broker and its clients.
pub(crate) struct World {
    pub(crate) broker: Broker<NoAccounts>,
    clients: Vec<Client>,
    /// Bytes taken by the network and not yet reported, for each client.
    unreported: Vec<usize>,
    now: u64,
}

impl World {
    /// A broker without clients.
    pub(crate) fn new() -> Self {
        let broker = heap::count(|| Broker::new(settings(), NoAccounts));
        Self { broker, clients: Vec::new(), unreported: Vec::new(), now: 0 }
    }

    /// Opens a connection and sends CONNECT; returns the client's place.
    pub(crate) fn join(&mut self, client_id: &str, session: Session) -> Result<usize, Failure> {
        let client = self.clients.len();
        self.clients.push(Client::default());
        self.unreported.push(0);
        self.join_again(client, client_id, session)?;
        Ok(client)
    }

    /// Opens a connection for a client that has none.
    pub(crate) fn join_again(
        &mut self,
        client: usize,
        client_id: &str,
        session: Session,
    ) -> Result<(), Failure> {
        let connection = connection(client)?;
        measured::handle(
            &mut self.broker,
            Input::Accepted { connection, transport: Transport::Tcp },
            Instant(self.now),
        );
        let bytes = client::connect(client_id, session)?;
        self.send(client, &bytes)
    }

    /// Subscribes.
    pub(crate) fn subscribe(&mut self, client: usize, filters: &[String], qos: QoS) -> Result<(), Failure> {
        let bytes = client::subscribe(filters, qos)?;
        self.send(client, &bytes)
    }

    /// A client's bytes arrive, one millisecond after what came before, and all that follows from them is done.
    pub(crate) fn send(&mut self, client: usize, bytes: &[u8]) -> Result<(), Failure> {
        self.now += 1;
        if self.broker.poll_at().is_some_and(|due| due <= Instant(self.now)) {
            measured::handle(&mut self.broker, Input::Tick, Instant(self.now));
        }
        self.receive(client, bytes)?;
        while self.network()? {
            for client in 0..self.clients.len() {
                let answers = self.client(client)?.read()?;
                if !answers.is_empty() {
                    self.receive(client, &answers)?;
                }
            }
        }
        Ok(())
    }

    /// The connection of a client ends without DISCONNECT.
    pub(crate) fn cut(&mut self, client: usize) -> Result<(), Failure> {
        let connection = connection(client)?;
        measured::handle(&mut self.broker, Input::Closed { connection }, Instant(self.now));
        self.network().map(drop)
    }

    /// A client, to look at its counts.
    pub(crate) fn client(&mut self, client: usize) -> Result<&mut Client, Failure> {
        self.clients.get_mut(client).ok_or_else(|| format!("no client {client}"))
    }

    /// Messages received by all clients, and those acknowledged.
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.clients.iter().fold((0, 0), |(deliveries, acknowledged), client| {
            (deliveries + client.deliveries, acknowledged + client.acknowledged)
        })
    }

    fn receive(&mut self, client: usize, bytes: &[u8]) -> Result<(), Failure> {
        let connection = connection(client)?;
        measured::handle(&mut self.broker, Input::Received { connection, bytes }, Instant(self.now));
        Ok(())
    }

    /// Carries out all outputs, then reports once for each connection what the network has taken, as its
    /// acknowledgement would. `false` when there was nothing.
    fn network(&mut self) -> Result<bool, Failure> {
        let mut worked = false;
        while let Some(output) = measured::poll_output(&mut self.broker) {
            worked = true;
            if let Output::Send { connection, bytes } = &output {
                let place = usize::from(connection.0);
                self.client(place)?.push(bytes);
                if let Some(unreported) = self.unreported.get_mut(place) {
                    *unreported += bytes.len();
                }
            } else if let Output::Close { connection, reason } = &output {
                if *reason != CloseReason::Disconnected {
                    return Err(format!("client {} was closed: {reason}", connection.0));
                }
                if let Some(unreported) = self.unreported.get_mut(usize::from(connection.0)) {
                    *unreported = 0;
                }
            }
            measured::release(output);
        }
        for client in 0..self.unreported.len() {
            let bytes = self.unreported.get_mut(client).map(std::mem::take).unwrap_or_default();
            if bytes > 0 {
                let connection = connection(client)?;
                measured::handle(&mut self.broker, Input::Sent { connection, bytes }, Instant(self.now));
            }
        }
        Ok(worked)
    }
}

fn connection(client: usize) -> Result<ConnectionId, Failure> {
    u16::try_from(client).map(ConnectionId).map_err(|_| format!("too many clients: {client}"))
}

/// The device's own limits, and nobody has to log in.
pub(crate) fn settings() -> Settings {
    Settings { anonymous: Anonymous::Allowed, ..Settings::default() }
}
