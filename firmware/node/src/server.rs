//! The broker, its port and the connections to it.
//!
//! The port is open while there is a network to be reached through; a port that is taken is tried again every
//! [`LISTEN_RETRY`]. When a network goes, its clients go with it, and their wills reach those that are left.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use espbroker_broker::{
    Broker, Input as BrokerInput, Instant as BrokerInstant, Output as BrokerOutput, Transport,
};
use espbroker_config::model;

use crate::{
    Instant,
    access::Users,
    interface::{ConnectionId, Output},
    online::say,
    settings::broker_settings,
    status::{ListenFailure, Mode, Service, Status},
};

/// Between two attempts to open a port.
pub const LISTEN_RETRY: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
enum Listener {
    /// The config turns the service off.
    Off,
    Closed,
    Opening,
    Open {
        port: u16,
    },
    Waiting {
        until: Instant,
        reason: ListenFailure,
    },
}

pub(crate) struct Server {
    broker: Broker<Users>,
    mqtt_port: u16,
    websocket_port: u16,
    mqtt: Listener,
    /// A service that this firmware does not have has been reported since the network came.
    missing_said: bool,
    connections: BTreeMap<ConnectionId, Mode>,
}

impl Server {
    pub(crate) fn new(config: &model::Broker) -> Self {
        Self {
            broker: Broker::new(broker_settings(config), Users(config.users.clone())),
            mqtt_port: config.mqtt_port,
            websocket_port: config.websocket_port,
            mqtt: if config.mqtt_port == 0 { Listener::Off } else { Listener::Closed },
            missing_said: false,
            connections: BTreeMap::new(),
        }
    }

    /// Opens the port if that is due; does nothing while it is open.
    pub(crate) fn open(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        if !self.missing_said {
            self.missing_said = true;
            self.missing_service().iter().for_each(|status| say(outputs, status));
        }
        match self.mqtt {
            Listener::Closed => {}
            Listener::Waiting { until, .. } if now >= until => {}
            _ => return,
        }
        self.mqtt = Listener::Opening;
        outputs.push_back(Output::Listen { service: Service::Mqtt, port: self.mqtt_port });
    }

    /// Closes the port and every connection; does nothing while it is closed.
    pub(crate) fn close(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        self.missing_said = false;
        if matches!(self.mqtt, Listener::Off | Listener::Closed) {
            return;
        }
        if matches!(self.mqtt, Listener::Opening | Listener::Open { .. }) {
            outputs.push_back(Output::StopListening { service: Service::Mqtt });
        }
        self.mqtt = Listener::Closed;
        for mode in [Mode::Station, Mode::AccessPoint] {
            self.disconnect(mode, now, outputs);
        }
    }

    /// The port is open.
    pub(crate) fn listening(&mut self, service: Service, port: u16, outputs: &mut VecDeque<Output>) {
        if service == Service::Mqtt && matches!(self.mqtt, Listener::Opening) {
            self.mqtt = Listener::Open { port };
            self.mqtt_status().iter().for_each(|status| say(outputs, status));
        }
    }

    /// The port cannot be opened.
    pub(crate) fn listen_failed(
        &mut self,
        service: Service,
        reason: ListenFailure,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        if service == Service::Mqtt && matches!(self.mqtt, Listener::Opening) {
            self.mqtt = Listener::Waiting { until: now + LISTEN_RETRY, reason };
            self.mqtt_status().iter().for_each(|status| say(outputs, status));
        }
    }

    /// Whether every service of the config can be reached, given a network.
    pub(crate) const fn is_complete(&self) -> bool {
        matches!(self.mqtt, Listener::Off | Listener::Open { .. }) && self.websocket_port == 0
    }

    /// The state of each service of the config, as far as it is settled.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = Status> {
        self.mqtt_status().into_iter().chain(self.missing_service())
    }

    fn mqtt_status(&self) -> Option<Status> {
        let service = Service::Mqtt;
        match self.mqtt {
            Listener::Off | Listener::Closed | Listener::Opening => None,
            Listener::Open { port } => Some(Status::Listening { service, port }),
            Listener::Waiting { reason, .. } => {
                Some(Status::ListenFailed { service, port: self.mqtt_port, reason })
            }
        }
    }

    /// A service that the config asks for and this firmware does not have.
    fn missing_service(&self) -> Option<Status> {
        (self.websocket_port != 0).then_some(Status::ListenFailed {
            service: Service::WebSocket,
            port: self.websocket_port,
            reason: ListenFailure::NotSupported,
        })
    }

    pub(crate) fn accepted(
        &mut self,
        connection: ConnectionId,
        mode: Mode,
        service: Service,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        if !matches!(self.mqtt, Listener::Open { .. }) {
            outputs.push_back(Output::Close { connection });
            return;
        }
        self.connections.insert(connection, mode);
        let transport = match service {
            Service::WebSocket => Transport::WebSocket,
            Service::Mqtt => Transport::Tcp,
        };
        self.tell(BrokerInput::Accepted { connection, transport }, now, outputs);
    }

    pub(crate) fn closed(&mut self, connection: ConnectionId, now: Instant, outputs: &mut VecDeque<Output>) {
        self.connections.remove(&connection);
        self.tell(BrokerInput::Closed { connection }, now, outputs);
    }

    /// Passes bytes, sent bytes or time on to the broker.
    pub(crate) fn tell(&mut self, input: BrokerInput<'_>, now: Instant, outputs: &mut VecDeque<Output>) {
        self.broker.handle(input, broker_instant(now));
        while let Some(output) = self.broker.poll_output() {
            match output {
                BrokerOutput::Send { connection, bytes } => {
                    if self.connections.contains_key(&connection) {
                        outputs.push_back(Output::Send { connection, bytes });
                    }
                }
                BrokerOutput::Close { connection, reason: _ } => {
                    self.connections.remove(&connection);
                    outputs.push_back(Output::Close { connection });
                }
            }
        }
    }

    /// Ends every connection through a network that is gone.
    pub(crate) fn disconnect(&mut self, mode: Mode, now: Instant, outputs: &mut VecDeque<Output>) {
        let through = |(&connection, &used)| (used == mode).then_some(connection);
        let gone: Vec<_> = self.connections.iter().filter_map(through).collect();
        // All are forgotten before the first will is published: nobody among them can receive it.
        for &connection in &gone {
            self.connections.remove(&connection);
            outputs.push_back(Output::Close { connection });
        }
        for connection in gone {
            self.tell(BrokerInput::Closed { connection }, now, outputs);
        }
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let retry = match self.mqtt {
            Listener::Waiting { until, .. } => Some(until),
            _ => None,
        };
        let broker =
            self.broker.poll_at().map(|BrokerInstant(milliseconds)| Duration::from_millis(milliseconds));
        retry.into_iter().chain(broker).min()
    }

    /// Bytes that the broker accounts for.
    pub(crate) fn memory(&self) -> usize {
        self.broker.memory()
    }
}

fn broker_instant(now: Instant) -> BrokerInstant {
    BrokerInstant(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
