//! The broker, the connections to it, and those of its bridges.
//!
//! When a network goes, its clients go with it, and their wills reach those that are left. Bridges begin when the
//! station has an address for the first time; without one, their attempts fail at once.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use espbroker_broker::{
    BridgeSettings, Broker, Input as BrokerInput, Instant as BrokerInstant, OpenFailure,
    Output as BrokerOutput, Transport,
};
use espbroker_config::model;

use crate::{
    Instant,
    access::Users,
    interface::{BootInfo, BridgeId, ConnectionId, Output},
    listeners::Listeners,
    settings::{anonymous, bridge_settings, broker_settings},
    status::{BridgeReport, ListenFailure, Mode, Service, Status},
};

pub(crate) struct Server {
    pub(crate) broker: Broker<Users>,
    listeners: Listeners,
    connections: BTreeMap<ConnectionId, Mode>,
    /// Those on the MQTT port that have sent nothing yet.
    silent: Vec<ConnectionId>,
    /// Settings of bridges that wait for the station's first address.
    waiting_bridges: Option<Vec<BridgeSettings>>,
    /// Names of the bridges by their numbers.
    bridge_names: Vec<String>,
    /// Whether the station has an address.
    has_station: bool,
    /// The last time that the broker was told.
    now: BrokerInstant,
}

impl Server {
    pub(crate) fn new(config: &model::Config, info: &BootInfo) -> Self {
        Self {
            broker: Broker::new(broker_settings(&config.broker, info), Users::new(&config.broker)),
            listeners: Listeners::new(&config.broker),
            connections: BTreeMap::new(),
            silent: Vec::new(),
            waiting_bridges: Some(bridge_settings(config)),
            bridge_names: bridge_names(config),
            has_station: false,
            now: BrokerInstant(0),
        }
    }

    /// Takes accounts, permissions and bridges from another config; connections stay.
    pub(crate) fn configure(&mut self, config: &model::Config, now: Instant, outputs: &mut VecDeque<Output>) {
        self.carry_out(outputs);
        self.bridge_names = bridge_names(config);
        let at = broker_instant(now);
        self.now = at;
        self.broker.set_access(Users::new(&config.broker), anonymous(&config.broker), at);
        let bridges = bridge_settings(config);
        if self.waiting_bridges.is_some() {
            self.waiting_bridges = Some(bridges);
        } else {
            self.broker.set_bridges(bridges, at);
        }
    }

    /// Opens the ports, and begins with the bridges, if that is due; does nothing while all is open.
    pub(crate) fn open(&mut self, mode: Mode, now: Instant, outputs: &mut VecDeque<Output>) {
        self.has_station = mode == Mode::Station;
        self.listeners.open(now, outputs);
        if self.has_station
            && let Some(bridges) = self.waiting_bridges.take()
        {
            self.carry_out(outputs);
            self.now = broker_instant(now);
            self.broker.set_bridges(bridges, self.now);
        }
    }

    /// Closes the ports and every connection; does nothing while they are closed.
    pub(crate) fn close(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        self.has_station = false;
        self.listeners.close(outputs);
        for mode in [Mode::Station, Mode::AccessPoint] {
            self.disconnect(mode, now, outputs);
        }
    }

    /// Takes the answer to [`Output::Listen`].
    pub(crate) fn listen_answered(
        &mut self,
        service: Service,
        answer: Result<u16, ListenFailure>,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        self.listeners.answered(service, answer, now, outputs);
    }

    /// Whether every service of the config can be reached, given a network.
    pub(crate) fn is_complete(&self) -> bool {
        self.listeners.is_complete()
    }

    /// The TCP port of a service, while it is open.
    pub(crate) fn port(&self, service: Service) -> Option<u16> {
        self.listeners.port(service)
    }

    /// The state of each service and bridge of the config, as far as it is settled.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = Status> {
        let bridges = self.bridge_names.iter().zip(self.broker.bridge_states());
        self.listeners
            .statuses()
            .chain(bridges.map(|(name, state)| Status::Bridge { name: name.clone(), report: state.into() }))
    }

    pub(crate) fn accepted(
        &mut self,
        connection: ConnectionId,
        mode: Mode,
        service: Service,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        if !self.listeners.is_open(service) {
            outputs.push_back(Output::Close { connection });
            return;
        }
        self.connections.insert(connection, mode);
        let transport = match service {
            Service::WebSocket => Transport::WebSocket,
            Service::Mqtt => {
                self.silent.push(connection);
                Transport::Tcp
            }
        };
        self.tell(BrokerInput::Accepted { connection, transport }, now, outputs);
    }

    /// A connection for a bridge is open.
    pub(crate) fn opened(
        &mut self,
        bridge: BridgeId,
        connection: ConnectionId,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        self.connections.insert(connection, Mode::Station);
        self.tell(BrokerInput::Opened { bridge, connection }, now, outputs);
    }

    /// Whether the first byte on a connection to the MQTT port is among `bytes`, which have just come, and is this one.
    pub(crate) fn begins_with(&mut self, first: u8, connection: ConnectionId, bytes: &[u8]) -> bool {
        let Some(index) = self.silent.iter().position(|silent| *silent == connection) else { return false };
        self.silent.swap_remove(index);
        bytes.first() == Some(&first)
    }

    /// Takes a connection away from the broker; it still ends with its network.
    pub(crate) fn release(&mut self, connection: ConnectionId, now: Instant, outputs: &mut VecDeque<Output>) {
        self.tell(BrokerInput::Closed { connection }, now, outputs);
    }

    /// Whether the connection is there.
    pub(crate) fn has(&self, connection: ConnectionId) -> bool {
        self.connections.contains_key(&connection)
    }

    /// Ends a connection that the broker does not have.
    pub(crate) fn end(&mut self, connection: ConnectionId, outputs: &mut VecDeque<Output>) {
        if self.connections.remove(&connection).is_some() {
            outputs.push_back(Output::Close { connection });
        }
    }

    pub(crate) fn closed(&mut self, connection: ConnectionId, now: Instant, outputs: &mut VecDeque<Output>) {
        self.forget(connection);
        self.tell(BrokerInput::Closed { connection }, now, outputs);
    }

    /// Passes bytes, sent bytes or time on to the broker. What it wants then is for [`Self::poll_output`].
    pub(crate) fn tell(&mut self, input: BrokerInput<'_>, now: Instant, outputs: &mut VecDeque<Output>) {
        self.carry_out(outputs);
        self.now = broker_instant(now);
        self.broker.handle(input, self.now);
    }

    /// Publishes a message of the device's own, to be retained.
    pub(crate) fn retain(
        &mut self,
        topic: &str,
        payload: &str,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        self.carry_out(outputs);
        self.now = broker_instant(now);
        self.broker.retain_own(topic, payload.as_bytes(), self.now);
    }

    /// Publishes a message of the device's own.
    pub(crate) fn publish(
        &mut self,
        topic: &str,
        payload: &str,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        self.carry_out(outputs);
        self.now = broker_instant(now);
        self.broker.publish_own(topic, payload.as_bytes(), self.now);
    }

    /// Puts out what the broker wants, before it is told something else.
    pub(crate) fn carry_out(&mut self, outputs: &mut VecDeque<Output>) {
        outputs.extend(core::iter::from_fn(|| self.poll_output()));
    }

    /// What the broker wants. One by one: all of a message to everybody would take more memory than the message.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        loop {
            return Some(match self.broker.poll_output()? {
                BrokerOutput::Send { connection, bytes } => {
                    if !self.connections.contains_key(&connection) {
                        continue;
                    }
                    Output::Send { connection, bytes }
                }
                BrokerOutput::Close { connection, reason: _ } => {
                    self.forget(connection);
                    Output::Close { connection }
                }
                BrokerOutput::Open { bridge, host, port } if self.has_station => {
                    Output::Open { bridge, host: host.into(), port }
                }
                BrokerOutput::Open { bridge, .. } => {
                    let reason = OpenFailure::Unreachable;
                    self.broker.handle(BrokerInput::OpenFailed { bridge, reason }, self.now);
                    continue;
                }
                BrokerOutput::Abandon { bridge } => Output::Abandon { bridge },
                BrokerOutput::Bridge { bridge, state } => {
                    let name = self.bridge_names.get(usize::from(bridge.0)).map(String::as_str);
                    let name = name.unwrap_or_default().to_string();
                    Output::Console(Status::Bridge { name, report: BridgeReport::from(state) }.to_line())
                }
            });
        }
    }

    /// Ends every connection through a network that is gone.
    pub(crate) fn disconnect(&mut self, mode: Mode, now: Instant, outputs: &mut VecDeque<Output>) {
        self.carry_out(outputs);
        let through = |(&connection, &used)| (used == mode).then_some(connection);
        let gone: Vec<_> = self.connections.iter().filter_map(through).collect();
        // All are forgotten before the first will is published: nobody among them can receive it.
        for &connection in &gone {
            self.forget(connection);
            outputs.push_back(Output::Close { connection });
        }
        for connection in gone {
            self.tell(BrokerInput::Closed { connection }, now, outputs);
        }
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.silent.retain(|silent| *silent != connection);
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let broker =
            self.broker.poll_at().map(|BrokerInstant(milliseconds)| Duration::from_millis(milliseconds));
        self.listeners.poll_at().into_iter().chain(broker).min()
    }
}

fn bridge_names(config: &model::Config) -> Vec<String> {
    config.bridges.iter().map(|bridge| bridge.name.clone()).collect()
}

pub(crate) fn broker_instant(now: Instant) -> BrokerInstant {
    BrokerInstant(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
