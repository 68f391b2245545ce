//! The write, and the wait for what the device makes of it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use espbroker_admin::{Trial, client::Refusal};
use espbroker_config::{
    model::Config,
    slots::{self, RollBack, SlotHeader},
};

use super::{
    Job, ReconfigureError,
    remote::{Remote, RemoteError, Snapshot, pause},
};
use crate::{failure::Failure, narrator::Narrator, registry::Seen};

/// What a device may take beyond the time of the trial: two starts and joining the old network again.
const MARGIN: Duration = Duration::from_secs(40);
/// Between two questions: a change that applies at once is soon decided, one that needs the radio is not.
const PAUSE: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Without a word from the device after this, the network is searched for it, and again after as long.
const SEARCH_EVERY: Duration = Duration::from_secs(5);
/// How long a write whose answer was lost is asked about.
const DOUBT: Duration = Duration::from_secs(10);

/// Writes the config; gives the sequence that it has on the device.
///
/// A write whose answer is lost was taken or was not: the device is asked which, and asked again for the very same write if
/// it was not. What it names, the sequence before and the permit, makes sure that it is never taken twice.
pub(super) fn write(
    job: &Job<'_>,
    remote: &mut Remote<'_>,
    snapshot: &Snapshot,
    after: &Config,
    bytes: &[u8],
    narrator: &Narrator,
) -> Result<u32, Failure> {
    narrator.step("write", "writing the settings", || {
        let next = snapshot.base.wrapping_add(1);
        let mut result = remote.write(snapshot, bytes, job.how.try_for);
        if let Err(error) = &result
            && error.is_absence()
        {
            narrator.doing("the answer was lost; asking what became of the write");
            result = match taken(job, remote, next, after)? {
                true => Ok(next),
                false => remote.write(snapshot, bytes, job.how.try_for),
            };
        }
        let sequence = result.map_err(|error| match error {
            RemoteError::Refused(Refusal::Changed { .. } | Refusal::Stale) => {
                Failure::from(ReconfigureError::Overtaken)
            }
            error => error.into(),
        })?;
        Ok((sequence, format!("{} bytes, sequence {sequence}, in the slot that was free", bytes.len())))
    })
}

/// Whether the device has taken `after` as its config `sequence`.
fn taken(job: &Job<'_>, remote: &mut Remote<'_>, sequence: u32, after: &Config) -> Result<bool, Failure> {
    let begun = Instant::now();
    if let Some(key) = &after.admin_key {
        remote.expect_key(key);
    }
    loop {
        match remote.state() {
            Ok(state) if state.base == sequence => {
                // Somebody else's write would have this number too, and not these bytes.
                let ours = slots::encode_sector(after, sequence).ok();
                let ours = ours.and_then(|sector| SlotHeader::parse(&sector).ok()).map(|header| header.crc);
                if state.sequence == sequence && Some(state.crc) != ours {
                    return Err(ReconfigureError::Overtaken.into());
                }
                return Ok(true);
            }
            Ok(_) => return Ok(false),
            Err(error) if error.is_absence() && begun.elapsed() < DOUBT => {
                pause(PAUSE, &job.context.cancel)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the device has kept config `sequence`; gives where its broker is then, where it is reached over the network.
pub(super) fn wait(
    job: &Job<'_>,
    remote: &mut Remote<'_>,
    (before, after): (&Config, &Config),
    sequence: u32,
    narrator: &Narrator,
) -> Result<Option<Seen>, Failure> {
    narrator.step("try", "the device tries the new settings", || {
        remote.carrier.expect(before, after);
        let begun = Instant::now();
        let limit = Duration::from_secs(job.how.try_for.into()) + MARGIN;
        let mut searched = begun;
        loop {
            match remote.state() {
                Ok(state) => match state.trial {
                    Trial::Running { sequence: found, left } if found == sequence => {
                        narrator.doing(&format!("the device tries the new settings, for {left} s at most"));
                    }
                    Trial::RolledBack { sequence: found, reason } if found == sequence => {
                        return Err(ReconfigureError::RolledBack { reason }.into());
                    }
                    _ if state.sequence == sequence => {
                        let seen = remote.carrier.seen(&job.context.cancel)?;
                        return Ok((
                            seen,
                            format!("tried and kept by the device ({})", remote.carrier.place()),
                        ));
                    }
                    _ if state.base != sequence => return Err(ReconfigureError::Overtaken.into()),
                    // The sectors do not say any more why.
                    _ => return Err(ReconfigureError::RolledBack { reason: RollBack::Unknown }.into()),
                },
                Err(RemoteError::Stopped) => return Err(ReconfigureError::StoppedInTrial.into()),
                // It may be starting, or somebody else may be at its old address by now: what nobody vouches for is no
                // answer.
                Err(error) if !error.is_certain() => {
                    narrator.doing("waiting for the device, which tries the new settings");
                    if searched.elapsed() >= SEARCH_EVERY {
                        remote.carrier.relocate();
                        searched = Instant::now();
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if begun.elapsed() >= limit {
                return Err(ReconfigureError::NotHeardOf { seconds: limit.as_secs() }.into());
            }
            match pause((begun.elapsed() / 8).clamp(FIRST_PAUSE, PAUSE), &job.context.cancel) {
                Err(RemoteError::Stopped) => return Err(ReconfigureError::StoppedInTrial.into()),
                result => result?,
            }
        }
    })
}

/// Where a broker is once the port that it had has changed from `before` to `after`.
pub(super) fn moved(address: SocketAddr, before: &Config, after: &Config) -> SocketAddr {
    let mut moved = address;
    if address.port() == before.broker.mqtt_port {
        moved.set_port(after.broker.mqtt_port);
    }
    if let Some(fixed) = after.wifi.as_ref().and_then(|wifi| wifi.ipv4.as_ref()) {
        moved.set_ip(fixed.address.into());
    }
    moved
}

/// Why a device has gone back, for people.
pub(super) const fn words(reason: RollBack) -> &'static str {
    match reason {
        RollBack::Unknown => "the new ones did not work",
        RollBack::Interrupted => "it was started again before the new ones had proved themselves",
        RollBack::NetworkNotFound => "it does not see the Wi-Fi network",
        RollBack::WrongPassphrase => "the Wi-Fi network refuses the passphrase",
        RollBack::NoAddress => "the Wi-Fi network gives it no address",
        RollBack::NotJoined => "it did not join the Wi-Fi network in time",
        RollBack::BridgeRefused => "the other broker refuses a bridge's user or password",
        RollBack::BridgeNotConnected => "a bridge was not connected in time",
        RollBack::NotListening => "it cannot open a port",
        RollBack::Invalid => "it cannot run on the new ones",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_looked_for_at_its_new_port_and_fixed_address() {
        let before = Config::new("hall");
        let mut after = before.clone();
        after.broker.mqtt_port = 2883;
        let address = SocketAddr::from(([10, 0, 0, 9], 1883));
        assert_eq!(moved(address, &before, &after), SocketAddr::from(([10, 0, 0, 9], 2883)));
        let mut wifi = espbroker_config::model::Wifi::new("home");
        wifi.ipv4 = Some(espbroker_config::model::FixedIpv4::new([10, 0, 0, 7], 8, [10, 0, 0, 1]));
        after.wifi = Some(wifi);
        assert_eq!(moved(address, &before, &after), SocketAddr::from(([10, 0, 0, 7], 2883)));
        // A port that was forwarded is not the device's own.
        let forwarded = SocketAddr::from(([10, 0, 0, 9], 9999));
        assert_eq!(moved(forwarded, &before, &after).port(), 9999);
    }
}
