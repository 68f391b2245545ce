//! What runs once the config is known: station, access point and broker, kept in step.
//!
//! After every input the three are settled in this order: the station does what is due, the access point follows the
//! station, the server follows both, and `ready` is said when all that the config asks for is true.

use alloc::{collections::VecDeque, vec::Vec};
use core::net::IpAddr;

use espbroker_broker::Input as BrokerInput;
use espbroker_config::model::{Config, Wifi};
use espbroker_plug::{Link, Pins};

use crate::{
    Instant,
    access_point::AccessPoint,
    discovery::{Discovery, Reach},
    heap::HeapGauge,
    interface::{BootInfo, Input, Output, RadioCommand},
    plug::{PlugRole, Wish},
    server::Server,
    status::{AddressSource, Mode, Service, Status, WifiState},
    wifi::{Station, StationOutput},
};

/// The device on its networks.
pub(crate) struct Online {
    station: Option<Station>,
    address_source: AddressSource,
    access_point: AccessPoint,
    pub(crate) server: Server,
    heap: HeapGauge,
    discovery: Discovery,
    /// While the role is that of a plug.
    plug: Option<PlugRole>,
    /// What the last `ready` said; `None` when it is no longer so.
    ready: Option<Mode>,
}

impl Online {
    pub(crate) fn start(
        config: &Config,
        info: &BootInfo,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) -> Self {
        let mut online = Self {
            station: None,
            address_source: address_source(config.wifi.as_ref()),
            access_point: AccessPoint::new(&config.access_point, info.mac),
            server: Server::new(config, info),
            heap: HeapGauge::new(info.heap),
            discovery: Discovery::new(config, info.mac, info.target),
            plug: None,
            ready: None,
        };
        if let Some(wifi) = &config.wifi {
            let mut steps = Vec::new();
            online.station = Some(Station::start(wifi.clone(), now, &mut steps));
            online.follow_station(steps, now, outputs);
        }
        online
    }

    /// Begins to switch relays, if that is the device's role. `kept` are the outputs that the restart has left as they were.
    pub(crate) fn start_plug(
        &mut self,
        config: &Config,
        kept: &Pins,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        self.plug = PlugRole::start(config, kept, &mut self.server, now, outputs);
    }

    /// Takes leave before a restart that was asked for.
    pub(crate) fn leave(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        if let Some(plug) = &mut self.plug {
            plug.leave(&mut self.server, now, outputs);
        }
    }

    /// Takes what has happened. What comes over the serial port is not for this part.
    pub(crate) fn handle(&mut self, input: Input<'_>, now: Instant, outputs: &mut VecDeque<Output>) {
        match input {
            Input::Station(event) => {
                if let Some(station) = &mut self.station {
                    let mut steps = Vec::new();
                    station.handle(event, now, &mut steps);
                    self.follow_station(steps, now, outputs);
                }
            }
            Input::AccessPointUp { ip } => {
                if self.access_point.opened(ip) {
                    say(outputs, &self.access_point.status());
                }
            }
            Input::Listening { service, port } => {
                self.server.listen_answered(service, Ok(port), now, outputs);
            }
            Input::ListenFailed { service, reason } => {
                self.server.listen_answered(service, Err(reason), now, outputs);
            }
            Input::Accepted { connection, mode, service } => {
                self.server.accepted(connection, mode, service, now, outputs);
            }
            Input::Received { connection, bytes } => {
                self.server.tell(BrokerInput::Received { connection, bytes }, now, outputs);
            }
            Input::Sent { connection, bytes } => {
                self.server.tell(BrokerInput::Sent { connection, bytes }, now, outputs);
            }
            Input::Closed { connection } => self.server.closed(connection, now, outputs),
            Input::Tick => self.server.tell(BrokerInput::Tick, now, outputs),
            Input::Heap { free, lowest } => self.heap.measured(free, lowest, &mut self.server.broker),
            Input::Opened { bridge, connection } => self.server.opened(bridge, connection, now, outputs),
            Input::OpenFailed { bridge, reason } => {
                self.server.tell(BrokerInput::OpenFailed { bridge, reason }, now, outputs);
            }
            Input::Datagram { channel, from, bytes } => {
                self.discovery.datagram(channel, from, bytes, now, outputs);
            }
            Input::Pin { gpio, level } => {
                if let Some(plug) = &mut self.plug {
                    plug.pin(gpio, level, now);
                }
            }
            Input::Configured(config) => self.server.configure(config, now, outputs),
            Input::Console(_) => {}
        }
        self.settle(now, outputs);
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let station = self.station.as_ref();
        [
            station.and_then(Station::poll_at),
            self.access_point.poll_at(station),
            self.server.poll_at(),
            self.discovery.poll_at(),
            self.plug.as_ref().and_then(PlugRole::poll_at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Joins another network, or the first one.
    pub(crate) fn join(&mut self, wifi: Wifi, now: Instant, outputs: &mut VecDeque<Output>) {
        if self.station.take().is_some() {
            outputs.push_back(Output::Radio(RadioCommand::Leave));
            self.server.disconnect(Mode::Station, now, outputs);
        }
        self.address_source = address_source(Some(&wifi));
        let mut steps = Vec::new();
        self.station = Some(Station::start(wifi, now, &mut steps));
        self.follow_station(steps, now, outputs);
        self.settle(now, outputs);
    }

    /// The station's address, while it can be reached.
    pub(crate) fn station_address(&self) -> Option<IpAddr> {
        self.station.as_ref().and_then(Station::address)
    }

    /// Address and port of the broker in the station's network.
    pub(crate) fn url(&self) -> Option<(IpAddr, u16)> {
        Some((self.station_address()?, self.server.port(Service::Mqtt)?))
    }

    /// Why the network that is to be joined is not there; `None` when it is, or there is none.
    pub(crate) fn not_joined(&self) -> Option<&WifiState> {
        self.station.as_ref().filter(|station| station.address().is_none()).map(Station::last_report)
    }

    /// Bytes of heap that are left.
    pub(crate) fn free(&self) -> u32 {
        self.heap.free(&self.server.broker)
    }

    /// Tells the whole state, in the order in which it came about.
    pub(crate) fn statuses(&self, mut tell: impl FnMut(Status)) {
        if let Some(station) = &self.station {
            tell(Status::Wifi(station.last_report().clone()));
            if let Some(ip) = station.address() {
                tell(Status::Address { ip, source: self.address_source });
            }
        }
        if self.access_point.is_up() {
            tell(self.access_point.status());
        }
        self.server.statuses().for_each(&mut tell);
        self.plug.iter().flat_map(PlugRole::statuses).for_each(&mut tell);
        tell(self.heap.status(&self.server.broker));
        if let Some(mode) = self.ready {
            tell(Status::Ready { mode });
        }
    }

    fn follow_station(&mut self, steps: Vec<StationOutput>, now: Instant, outputs: &mut VecDeque<Output>) {
        for step in steps {
            match step {
                StationOutput::Join(network) => outputs.push_back(Output::Radio(RadioCommand::Join(network))),
                StationOutput::Leave => outputs.push_back(Output::Radio(RadioCommand::Leave)),
                StationOutput::Report(state) => say(outputs, &Status::Wifi(state)),
                StationOutput::Up(ip) => say(outputs, &Status::Address { ip, source: self.address_source }),
                StationOutput::Down => self.server.disconnect(Mode::Station, now, outputs),
            }
        }
    }

    fn settle(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        if let Some(station) = &mut self.station {
            let mut steps = Vec::new();
            station.poll(now, &mut steps);
            self.follow_station(steps, now, outputs);
        }
        if let Some(plug) = &mut self.plug
            && let Some(Wish::AccessPoint) = plug.run(&mut self.server, now, outputs)
        {
            self.access_point.ask(now);
        }
        let was_up = self.access_point.is_up();
        if let Some(command) = self.access_point.poll(self.station.as_ref(), now) {
            outputs.push_back(Output::Radio(command));
            if was_up {
                say(outputs, &self.access_point.status());
                self.server.disconnect(Mode::AccessPoint, now, outputs);
            }
        }
        let mode = self.mode();
        match mode {
            Some(mode) => self.server.open(mode, now, outputs),
            None => self.server.close(now, outputs),
        }
        self.heap.follow(&mut self.server.broker);

        let ready = mode.filter(|_| self.server.is_complete());
        if self.ready != ready {
            self.ready = ready;
            if let Some(mode) = ready {
                say(outputs, &self.heap.status(&self.server.broker));
                say(outputs, &Status::Ready { mode });
            }
        }
        self.discovery.follow(self.reach(), now, outputs);
        let link = match mode {
            Some(Mode::Station) if !self.access_point.is_asked_for() => Link::Joined,
            Some(_) => Link::AccessPoint,
            None => Link::Joining,
        };
        if let Some(plug) = &mut self.plug {
            plug.link(link, now, outputs);
        }
    }

    /// Where the broker can be reached through the best network there is.
    fn reach(&self) -> Option<Reach> {
        let station = self.station.as_ref().and_then(Station::address);
        let ip = station.or(self.access_point.ip())?;
        let port = |service| self.server.port(service);
        Some(Reach { ip, mqtt: port(Service::Mqtt), websocket: port(Service::WebSocket) })
    }

    /// The best network there is.
    pub(crate) fn mode(&self) -> Option<Mode> {
        if self.station.as_ref().is_some_and(|station| station.address().is_some()) {
            Some(Mode::Station)
        } else {
            self.access_point.is_up().then_some(Mode::AccessPoint)
        }
    }
}

/// Puts a status line on the console.
pub(crate) fn say(outputs: &mut VecDeque<Output>, status: &Status) {
    outputs.push_back(Output::Console(status.to_line()));
}

fn address_source(wifi: Option<&Wifi>) -> AddressSource {
    match wifi.and_then(|wifi| wifi.ipv4.as_ref()) {
        Some(_) => AddressSource::Fixed,
        None => AddressSource::Dhcp,
    }
}
