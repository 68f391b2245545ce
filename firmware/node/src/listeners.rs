//! The ports that clients connect to: open while there is a network to be reached through.
//!
//! A port that is taken is tried again every [`LISTEN_RETRY`].

use alloc::collections::VecDeque;
use core::time::Duration;

use espbroker_config::model;

use crate::{
    Instant,
    interface::Output,
    online::say,
    status::{ListenFailure, Service, Status},
};

/// Between two attempts to open a port.
pub const LISTEN_RETRY: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
enum State {
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

#[derive(Clone, Copy, Debug)]
struct Listener {
    service: Service,
    /// As configured.
    port: u16,
    state: State,
}

impl Listener {
    const fn new(service: Service, port: u16) -> Self {
        Self { service, port, state: if port == 0 { State::Off } else { State::Closed } }
    }

    fn status(&self) -> Option<Status> {
        let service = self.service;
        match self.state {
            State::Off | State::Closed | State::Opening => None,
            State::Open { port } => Some(Status::Listening { service, port }),
            State::Waiting { reason, .. } => Some(Status::ListenFailed { service, port: self.port, reason }),
        }
    }
}

/// All ports of one config.
#[derive(Debug)]
pub(crate) struct Listeners([Listener; 2]);

impl Listeners {
    pub(crate) const fn new(config: &model::Broker) -> Self {
        Self([
            Listener::new(Service::Mqtt, config.mqtt_port),
            Listener::new(Service::WebSocket, config.websocket_port),
        ])
    }

    /// Opens what is to be opened now; does nothing about ports that are open.
    pub(crate) fn open(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        for listener in &mut self.0 {
            match listener.state {
                State::Closed => {}
                State::Waiting { until, .. } if now >= until => {}
                _ => continue,
            }
            listener.state = State::Opening;
            outputs.push_back(Output::Listen { service: listener.service, port: listener.port });
        }
    }

    /// Closes all ports; does nothing while they are closed.
    pub(crate) fn close(&mut self, outputs: &mut VecDeque<Output>) {
        for listener in &mut self.0 {
            match listener.state {
                State::Off | State::Closed => continue,
                State::Opening | State::Open { .. } => {
                    outputs.push_back(Output::StopListening { service: listener.service });
                }
                State::Waiting { .. } => {}
            }
            listener.state = State::Closed;
        }
    }

    /// Takes the answer to [`Output::Listen`].
    pub(crate) fn answered(
        &mut self,
        service: Service,
        answer: Result<u16, ListenFailure>,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        let opening = |listener: &&mut Listener| {
            listener.service == service && matches!(listener.state, State::Opening)
        };
        if let Some(listener) = self.0.iter_mut().find(opening) {
            listener.state = match answer {
                Ok(port) => State::Open { port },
                Err(reason) => State::Waiting { until: now + LISTEN_RETRY, reason },
            };
            listener.status().iter().for_each(|status| say(outputs, status));
        }
    }

    /// Whether clients can come through this port.
    pub(crate) fn is_open(&self, service: Service) -> bool {
        self.port(service).is_some()
    }

    /// The real port of a service, while clients can come through it.
    pub(crate) fn port(&self, service: Service) -> Option<u16> {
        self.0.iter().find(|listener| listener.service == service).and_then(|listener| match listener.state {
            State::Open { port } => Some(port),
            _ => None,
        })
    }

    /// Whether every service of the config can be reached, given a network.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.iter().all(|listener| matches!(listener.state, State::Off | State::Open { .. }))
    }

    /// The state of each service of the config, as far as it is settled.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = Status> {
        self.0.iter().filter_map(Listener::status)
    }

    /// When a port is to be tried again.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let until = |listener: &Listener| match listener.state {
            State::Waiting { until, .. } => Some(until),
            _ => None,
        };
        self.0.iter().filter_map(until).min()
    }
}
