//! [`Trials`]: which config the device runs on, whether it has proved itself, and how it is given up.
//!
//! A config that was written over the network or the console proves itself by working: the network is joined, the ports
//! are open, the bridges that it changes are logged in. Until the time that came with it is over it may take as long as
//! it likes; then, or as soon as it is clear that it never will, the one before counts again. What has become of it
//! stands in its sector ([`slots::Standing`]), so that a power cut at any moment loses nothing but time.

use core::time::Duration;

use embedded_storage::nor_flash::NorFlash;
use espbroker_admin::{Effect, Refusal, Trial};
use espbroker_broker::{BridgeFailure, BridgeState};
use espbroker_config::{
    model::{Bridge, Config},
    secret::Secret,
    slots::{
        self, Mark, RollBack, Slot, SlotRecord, SlotState, Standing, StoreError, TRIAL_PAYLOAD_MAX, TRY_FOR,
    },
};

use crate::{
    Instant,
    online::Online,
    status::{ConfigChoice, SlotName, Status, TrialReport, WifiReason, WifiState},
};

/// Attempts to join after which a passphrase is taken to be wrong: a frame lost in the handshake looks the same.
const WRONG_PASSPHRASES: u32 = 3;

/// The config in use, and the last one that was tried.
#[derive(Default)]
pub(crate) struct Trials {
    current: Option<Current>,
    /// The highest sequence of any config.
    pub(crate) base: u32,
    outcome: Option<TrialReport>,
    running: Option<Running>,
    pub(crate) kept: u32,
    pub(crate) rolled_back: u32,
    /// Opens requests.
    pub(crate) key: Option<Secret<[u8; 32]>>,
}

#[derive(Clone, Copy)]
struct Current {
    slot: Slot,
    sequence: u32,
    crc: u32,
}

#[derive(Clone, Copy)]
struct Running {
    /// Not the current one while the device is about to start again with it.
    slot: Slot,
    sequence: u32,
    until: Instant,
    /// How the config before takes effect again.
    effect: Effect,
    /// A bit for each bridge that must still connect.
    bridges: u8,
}

impl Trials {
    /// Reads what the sectors tell of the past, and gives up what was started too often.
    pub(crate) fn read<F: NorFlash>(&mut self, flash: &mut F) {
        let Ok(history) = slots::history(flash) else { return };
        self.base = history.highest;
        let sequence = history.highest;
        self.outcome = match history.latest {
            // Nothing else keeps a config from being run on.
            Some((slot, Standing::OnTrial { starts: 3.., .. })) => {
                let reason = RollBack::Interrupted;
                // If that fails it is as good as given up all the same.
                let _ = slots::mark(flash, slot, Mark::RolledBack(reason));
                self.rolled_back = 1;
                Some(TrialReport::RolledBack { sequence, reason })
            }
            Some((_, Standing::RolledBack(reason))) => Some(TrialReport::RolledBack { sequence, reason }),
            Some((_, Standing::Kept)) => Some(TrialReport::Kept { sequence }),
            _ => None,
        };
    }

    /// The device runs on this config from now on.
    pub(crate) fn run_on<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: Slot,
        record: &SlotRecord,
        now: Instant,
    ) {
        let SlotRecord { sequence, crc, ref config, standing } = *record;
        self.current = Some(Current { slot, sequence, crc });
        self.key.clone_from(&config.admin_key);
        self.running = None;
        if let Standing::OnTrial { try_for, starts } = standing {
            // Whatever fails here, the trial goes on; it may only be started more often then.
            let _ = slots::mark(flash, slot, Mark::Start { starts });
            let (effect, bridges) = match slots::read_slot(flash, slot.other()) {
                Ok(SlotState::Valid(old)) => (effect(&old.config, config), changed(&old.config, config)),
                _ => (Effect::Restart, changed(&Config::new(""), config)),
            };
            self.start(Running { slot, sequence, until: now, effect, bridges }, try_for);
        }
    }

    /// Begins a trial of so many seconds from `until` on.
    fn start(&mut self, running: Running, try_for: u16) {
        self.outcome = Some(TrialReport::Running { sequence: running.sequence, seconds: try_for });
        let until = running.until + Duration::from_secs(try_for.into());
        self.running = Some(Running { until, ..running });
    }

    /// Writes a config and puts it on trial. With [`Effect::AtOnce`] the device is to [`Self::adopt`] it.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub(crate) fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        config: &Config,
        try_for: u16,
        now: Instant,
    ) -> Result<(u32, Effect), Refusal> {
        if !TRY_FOR.contains(&try_for) {
            return Err(Refusal::Invalid("time to try for is not 10-600 seconds".into()));
        }
        let old = self.current.and_then(|current| slots::read_slot(flash, current.slot).ok());
        let (effect, bridges) = match &old {
            Some(SlotState::Valid(old)) => (effect(&old.config, config), changed(&old.config, config)),
            _ => (Effect::Restart, changed(&Config::new(""), config)),
        };
        drop(old);
        let (slot, sequence) =
            slots::store_on_trial(flash, config, try_for).map_err(|error| match error {
                StoreError::Encode(_) => {
                    Refusal::TooLong { limit: u32::try_from(TRIAL_PAYLOAD_MAX).unwrap_or(u32::MAX) }
                }
                StoreError::Flash(_) | StoreError::Differs { .. } => Refusal::Flash,
            })?;
        self.base = sequence;
        self.start(Running { slot, sequence, until: now, effect, bridges }, try_for);
        Ok((sequence, effect))
    }

    /// The device runs on the config that was just written, without a restart.
    pub(crate) fn adopt<F: NorFlash>(&mut self, flash: &mut F, config: &Config) {
        if let Some(Running { slot, sequence, .. }) = self.running {
            let crc =
                slots::read_header(flash, slot).ok().and_then(Result::ok).map_or(0, |header| header.crc);
            self.current = Some(Current { slot, sequence, crc });
            self.key.clone_from(&config.admin_key);
        }
    }

    /// How the trial ends, if it does now; `Err` is the reason to roll it back.
    pub(crate) fn verdict(&mut self, online: &Online, now: Instant) -> Option<Result<(), RollBack>> {
        let current = self.current?.slot;
        let running = self.running.as_mut().filter(|running| running.slot == current)?;
        let mut refused = false;
        for (index, state) in (0_u32..).zip(online.server.broker.bridge_states()) {
            let bit = 1_u8.checked_shl(index).unwrap_or(0);
            match state {
                BridgeState::Connected { .. } => running.bridges &= !bit,
                BridgeState::Failed(
                    BridgeFailure::BadCredentials
                    | BridgeFailure::NotAuthorized
                    | BridgeFailure::IdentifierRejected,
                ) => refused |= running.bridges & bit != 0,
                BridgeState::Connecting | BridgeState::Failed(_) => {}
            }
        }
        let wifi = online.not_joined();
        if let Some(WifiState::Failed {
            reason: WifiReason::WrongPassphrase,
            attempt: WRONG_PASSPHRASES..,
            ..
        }) = wifi
        {
            return Some(Err(RollBack::WrongPassphrase));
        }
        if refused {
            return Some(Err(RollBack::BridgeRefused));
        }
        let is_reached = wifi.is_none() && online.mode().is_some();
        let is_complete = online.server.is_complete();
        if is_reached && is_complete && running.bridges == 0 {
            return Some(Ok(()));
        }
        (now >= running.until).then_some(Err(match wifi {
            Some(WifiState::Failed { reason, .. }) => match reason {
                WifiReason::NetworkNotFound => RollBack::NetworkNotFound,
                WifiReason::WrongPassphrase => RollBack::WrongPassphrase,
                WifiReason::NoAddress => RollBack::NoAddress,
                _ => RollBack::NotJoined,
            },
            Some(_) => RollBack::NotJoined,
            None if !is_reached => RollBack::NotJoined,
            None if !is_complete => RollBack::NotListening,
            None => RollBack::BridgeNotConnected,
        }))
    }

    /// The config on trial stays.
    pub(crate) fn keep<F: NorFlash>(&mut self, flash: &mut F) {
        if let Some(Running { slot, sequence, .. }) = self.running.take() {
            // If that fails it is tried once more after the next start.
            let _ = slots::mark(flash, slot, Mark::Kept);
            self.kept = self.kept.saturating_add(1);
            self.outcome = Some(TrialReport::Kept { sequence });
        }
    }

    /// The config on trial goes; returns how the one before takes effect. With [`Effect::AtOnce`] it is to be loaded.
    pub(crate) fn roll_back<F: NorFlash>(&mut self, flash: &mut F, reason: RollBack) -> Option<Effect> {
        let Running { slot, sequence, effect, .. } = self.running.take()?;
        self.rolled_back = self.rolled_back.saturating_add(1);
        self.outcome = Some(TrialReport::RolledBack { sequence, reason });
        // If that fails the device starts with it again, and gives it up for its starts in the end.
        match slots::mark(flash, slot, Mark::RolledBack(reason)) {
            Ok(()) => Some(effect),
            Err(_) => Some(Effect::Restart),
        }
    }

    /// Gives up a config that the firmware cannot run on, if it is on trial; says whether it did.
    pub(crate) fn give_up<F: NorFlash>(&mut self, flash: &mut F, slot: Slot, record: &SlotRecord) -> bool {
        let reason = RollBack::Invalid;
        let is_given_up = matches!(record.standing, Standing::OnTrial { .. })
            && slots::mark(flash, slot, Mark::RolledBack(reason)).is_ok();
        if is_given_up {
            self.rolled_back = self.rolled_back.saturating_add(1);
            self.outcome = Some(TrialReport::RolledBack { sequence: record.sequence, reason });
        }
        is_given_up
    }

    /// Sequence and CRC of the config in use; zeros when there is none.
    pub(crate) fn current(&self) -> (u32, u32) {
        self.current.map_or((0, 0), |current| (current.sequence, current.crc))
    }

    /// The status line of the config in use.
    pub(crate) fn config_status(&self) -> Option<Status> {
        let Current { slot, sequence, crc } = self.current?;
        let slot = match slot {
            Slot::A => SlotName::A,
            Slot::B => SlotName::B,
        };
        Some(Status::Config(ConfigChoice::Loaded { slot, sequence, crc }))
    }

    /// The status line of the last trial.
    pub(crate) fn status(&self) -> Option<Status> {
        self.outcome.map(Status::Trial)
    }

    /// Both, as far as there are any.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = Status> + use<> {
        [self.config_status(), self.status()].into_iter().flatten()
    }

    /// What a client is told of the last trial.
    pub(crate) fn report(&self, now: Instant) -> Trial {
        match self.outcome {
            None => Trial::None,
            Some(TrialReport::Running { sequence, .. }) => {
                Trial::Running { sequence, left: self.seconds_left(now).unwrap_or(0) }
            }
            Some(TrialReport::Kept { sequence }) => Trial::Kept { sequence },
            Some(TrialReport::RolledBack { sequence, reason }) => Trial::RolledBack { sequence, reason },
        }
    }

    /// Seconds until a trial ends at the latest; `None` without one.
    pub(crate) fn seconds_left(&self, now: Instant) -> Option<u16> {
        let left = self.running.as_ref()?.until.saturating_sub(now);
        Some(u16::try_from(left.as_secs()).unwrap_or(u16::MAX))
    }

    /// When a trial ends at the latest.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.until)
    }
}

/// How one config takes effect on a device that runs on the other, either way round.
fn effect(old: &Config, new: &Config) -> Effect {
    let Config {
        bridges: _,
        admin_key: _,
        broker,
        name,
        role,
        wifi,
        access_point,
        profile,
        plug,
        cluster,
        unknown,
    } = new;
    let of_broker = broker.mqtt_port == old.broker.mqtt_port
        && broker.websocket_port == old.broker.websocket_port
        && broker.sys_interval == old.broker.sys_interval
        && broker.limits == old.broker.limits
        && broker.unknown == old.broker.unknown;
    let is_same = of_broker
        && *name == old.name
        && *role == old.role
        && *wifi == old.wifi
        && *access_point == old.access_point
        && *profile == old.profile
        && *plug == old.plug
        && *cluster == old.cluster
        && *unknown == old.unknown;
    if is_same { Effect::AtOnce } else { Effect::Restart }
}

/// A bit for each bridge of the new config that must show that it connects: one that was not there like this before.
/// Without TLS: with it no bridge ever connects, which is known when it is set up.
fn changed(old: &Config, new: &Config) -> u8 {
    // The device's name is part of what a bridge calls itself.
    let is_new = |bridge: &Bridge| !bridge.tls && (old.name != new.name || !old.bridges.contains(bridge));
    new.bridges
        .iter()
        .zip(0..8)
        .filter(|(bridge, _)| is_new(bridge))
        .fold(0, |bits, (_, bit)| bits | 1 << bit)
}
