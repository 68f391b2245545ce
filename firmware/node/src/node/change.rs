//! Requests of the administration, and what follows from them.

use alloc::vec::Vec;
use core::time::Duration;

use embedded_storage::nor_flash::NorFlash;
use espbroker_admin::{Effect, Plain, Refusal, Reply, Request, State, console::PART_MAX, device};
use espbroker_config::{
    codec,
    model::Config,
    slots::{self, Loaded, RollBack},
};

use super::{Node, Stage};
use crate::{
    Instant,
    admin::longest,
    improv::Error,
    interface::{Input, Output},
    online::say,
    status::Status,
};

/// From a change until the device starts again: the reply must get out.
const LAST_WORDS: Duration = Duration::from_millis(200);

impl<F: NorFlash> Node<F> {
    /// The reply to a frame.
    pub(super) fn administer(&mut self, mut frame: Vec<u8>, now: Instant) -> Vec<u8> {
        let Some(key) = self.trials.key.clone() else { return Plain::NoKey.frame() };
        if !self.admin.allows(now) {
            return Plain::Later.frame();
        }
        let Ok(opened) = device::open(&mut frame, key.expose()) else {
            self.admin.failed();
            return Plain::WrongKey.frame();
        };
        let origin = opened.origin;
        let reply = match opened.request {
            Some(Request::State) => Reply::State(self.state(key.expose(), now)),
            Some(Request::Read) => self.read(key.expose()),
            Some(Request::Write { base, permit, try_for, config }) => {
                let is_permitted = permit == self.admin.sealer.permit(key.expose(), self.trials.base);
                let result = match (self.trials.seconds_left(now), base == self.trials.base, is_permitted) {
                    (Some(left), ..) => Err(Refusal::Trial { left }),
                    (None, false, _) => Err(Refusal::Changed { base: self.trials.base }),
                    (None, true, false) => Err(Refusal::Stale),
                    (None, true, true) => {
                        self.admin.sealer.used();
                        let config = decode(config);
                        drop(frame);
                        config.and_then(|config| self.change(&config, try_for, now))
                    }
                };
                result.map_or_else(Reply::Refused, |(sequence, effect)| Reply::Accepted { sequence, effect })
            }
            None => Reply::Refused(Refusal::NotSupported),
        };
        self.admin.sealer.seal(&reply, key.expose(), &origin)
    }

    /// Answers a frame that came over the console, in status lines.
    pub(super) fn administer_console(&mut self, frame: Vec<u8>, now: Instant) {
        let is_room = matches!(&self.stage, Stage::Run(online) if frame.len() <= longest(online, &self.info));
        let reply = if is_room { self.administer(frame, now) } else { Plain::Busy.frame() };
        let of = u16::try_from(reply.len().div_ceil(PART_MAX)).unwrap_or(u16::MAX);
        for (part, data) in (1..).zip(reply.chunks(PART_MAX)) {
            say(&mut self.outputs, &Status::Admin { part, of, data: data.into() });
        }
    }

    fn state(&self, key: &[u8; 32], now: Instant) -> State {
        let ((sequence, crc), base) = (self.trials.current(), self.trials.base);
        State {
            sequence,
            crc,
            base,
            permit: self.admin.sealer.permit(key, base),
            trial: self.trials.report(now),
            uptime: u32::try_from(now.as_secs()).unwrap_or(u32::MAX),
            kept: self.trials.kept,
            rolled_back: self.trials.rolled_back,
            wrong_keys: self.admin.wrong_keys,
        }
    }

    fn read(&mut self, key: &[u8; 32]) -> Reply {
        let Ok(Loaded::Config { record, .. }) = slots::load(&mut self.flash) else {
            return Reply::Refused(Refusal::Flash);
        };
        let base = self.trials.base;
        match codec::encode(&record.config) {
            Ok(config) => Reply::Config {
                sequence: record.sequence,
                crc: record.crc,
                base,
                permit: self.admin.sealer.permit(key, base),
                config,
            },
            Err(_) => Reply::Refused(Refusal::Flash),
        }
    }

    /// Puts a config on trial. The limits of the config have been checked.
    pub(super) fn change(
        &mut self,
        config: &Config,
        try_for: u16,
        now: Instant,
    ) -> Result<(u32, Effect), Refusal> {
        let (sequence, effect) = self.trials.write(&mut self.flash, config, try_for, now)?;
        match effect {
            Effect::AtOnce => {
                self.trials.adopt(&mut self.flash, config);
                self.trials.config_status().iter().for_each(|status| say(&mut self.outputs, status));
                self.apply(config, now);
            }
            Effect::Restart => self.restart_at = Some(now + LAST_WORDS),
        }
        self.trials.status().iter().for_each(|status| say(&mut self.outputs, status));
        Ok((sequence, effect))
    }

    fn apply(&mut self, config: &Config, now: Instant) {
        if let Stage::Run(online) = &mut self.stage {
            online.handle(Input::Configured(config), now, &mut self.outputs);
        }
    }

    /// Ends the trial and restarts the device if that is due.
    pub(super) fn follow_trial(&mut self, now: Instant) {
        let Stage::Run(online) = &mut self.stage else { return };
        self.admin.poll(&mut online.server, now, &mut self.outputs);
        if let Some(at) = self.restart_at {
            if now >= at {
                self.restart(now);
            }
            // What the device does until then proves nothing.
            return;
        }
        match self.trials.verdict(online, now) {
            None => {}
            Some(Ok(())) => {
                self.trials.keep(&mut self.flash);
                self.trials.status().iter().for_each(|status| say(&mut self.outputs, status));
                self.report_improved(Ok(()));
            }
            Some(Err(reason)) => self.roll_back(reason, now),
        }
    }

    fn roll_back(&mut self, reason: RollBack, now: Instant) {
        let effect = self.trials.roll_back(&mut self.flash, reason);
        self.trials.status().iter().for_each(|status| say(&mut self.outputs, status));
        self.report_improved(Err(Error::UnableToConnect));
        let before = match effect {
            Some(Effect::AtOnce) => slots::load(&mut self.flash).ok(),
            _ => None,
        };
        match before {
            Some(Loaded::Config { slot, record }) => {
                self.trials.run_on(&mut self.flash, slot, &record, now);
                self.trials.config_status().iter().for_each(|status| say(&mut self.outputs, status));
                self.apply(&record.config, now);
            }
            _ => self.restart_at = Some(now + LAST_WORDS),
        }
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.restart_at = None;
        if let Stage::Run(online) = &mut self.stage {
            online.leave(now, &mut self.outputs);
        }
        self.finish();
        self.outputs.push_back(Output::Restart);
    }
}

fn decode(config: &[u8]) -> Result<Config, Refusal> {
    let config = codec::decode(config).map_err(|_| Refusal::Invalid("not a config of this format".into()))?;
    config.validate().map_err(|invalid| Refusal::Invalid(alloc::format!("{invalid}")))?;
    Ok(config)
}
