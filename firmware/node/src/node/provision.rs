//! Commands of Improv: a network that is set takes the place of the one before at once, on trial like any other config.

use alloc::{format, string::String, vec, vec::Vec};

use embedded_storage::nor_flash::NorFlash;
use espbroker_admin::Effect;
use espbroker_config::{
    model::{Config, Wifi},
    slots::{self, Loaded},
};

use super::{Node, Stage};
use crate::{
    Instant,
    improv::{self, Command, Error, State},
    interface::Output,
    online::say,
};

/// Seconds that a network is tried for; browsers wait little longer.
const TRY_FOR: u16 = 30;

impl<F: NorFlash> Node<F> {
    /// Carries out what a packet asks for.
    pub(super) fn improve(&mut self, command: Result<Command, Error>, now: Instant) {
        let Stage::Run(_) = self.stage else { return };
        let command = match command {
            Ok(command) => command,
            Err(error) => return self.send_packet(improv::error(error)),
        };
        self.send_packet(improv::error(Error::None));
        match command {
            Command::State => {
                let state = self.improv_state();
                self.send_packet(improv::state(state));
                if state == State::Provisioned {
                    self.send_url(improv::STATE);
                }
            }
            Command::Information => {
                let name = self.config_in_use().name;
                let hardware = String::from(self.info.target.word());
                let firmware = String::from("espbroker");
                let strings = vec![firmware, String::from(env!("CARGO_PKG_VERSION")), hardware, name];
                self.send_packet(improv::result(improv::INFORMATION, &strings));
            }
            Command::Scan => self.send_packet(improv::result(improv::SCAN, &[])),
            Command::SetWifi(wifi) => match self.set_wifi(wifi, now) {
                Ok(()) => {
                    self.is_improved = true;
                    self.send_packet(improv::state(State::Provisioning));
                }
                Err(error) => self.send_packet(improv::error(error)),
            },
        }
    }

    /// Tells who has set the network over the serial port how that ended.
    pub(super) fn report_improved(&mut self, result: Result<(), Error>) {
        if !core::mem::take(&mut self.is_improved) {
            return;
        }
        match result {
            Ok(()) => {
                self.send_packet(improv::state(State::Provisioned));
                self.send_url(improv::SET_WIFI);
            }
            Err(error) => {
                self.send_packet(improv::error(error));
                self.send_packet(improv::state(State::Ready));
            }
        }
    }

    fn set_wifi(&mut self, wifi: Wifi, now: Instant) -> Result<(), Error> {
        if self.trials.seconds_left(now).is_some() || self.restart_at.is_some() {
            return Err(Error::UnableToConnect);
        }
        let config = Config { wifi: Some(wifi), ..self.config_in_use() };
        config.validate().map_err(|_| Error::Invalid)?;
        let (_, effect) =
            self.trials.write(&mut self.flash, &config, TRY_FOR, now).map_err(|_| Error::UnableToConnect)?;
        self.trials.adopt(&mut self.flash, &config);
        self.trials.statuses().for_each(|status| say(&mut self.outputs, &status));
        if let (Stage::Run(online), Effect::Restart, Some(wifi)) = (&mut self.stage, effect, config.wifi) {
            online.join(wifi, now, &mut self.outputs);
        }
        Ok(())
    }

    /// The config that the device runs on; without one, what it runs on then.
    fn config_in_use(&mut self) -> Config {
        match slots::load(&mut self.flash) {
            Ok(Loaded::Config { record, .. }) if record.config.validate().is_ok() => record.config,
            _ => Config::new("espbroker"),
        }
    }

    fn improv_state(&self) -> State {
        match &self.stage {
            _ if self.is_improved => State::Provisioning,
            Stage::Run(online) if online.station_address().is_some() => State::Provisioned,
            _ => State::Ready,
        }
    }

    fn send_url(&mut self, command: u8) {
        let Stage::Run(online) = &self.stage else { return };
        let url = online.url().map(|(ip, port)| format!("mqtt://{ip}:{port}"));
        let strings: Vec<String> = url.into_iter().collect();
        self.send_packet(improv::result(command, &strings));
    }

    fn send_packet(&mut self, packet: Vec<u8>) {
        self.outputs.push_back(Output::ConsoleBytes(packet));
    }
}
