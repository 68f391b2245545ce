//! Bridges: waits until the device has said of each whether the other broker let it in.
//!
//! A bridge with TLS never connects in this firmware, which is said elsewhere; it is not waited for.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use espbroker_config::model;
use espbroker_flasher::{FlasherError, boot::Console};
use espbroker_node::status::{BridgeReason, BridgeReport, Status};

use super::{
    SetupError,
    watch::{Patience, QUESTION, QUIET, SLICE},
};
use crate::{failure::Failure, narrator::Narrator, start_up::Running};

/// How long all bridges together may take: a name, a connection and an answer, and once more after a pause.
const DECIDED_TIMEOUT: Duration = Duration::from_secs(15);

/// What the bridges of a config have come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bridges {
    /// By name, what the device said last; nothing decisive yet is [`BridgeReport::Connecting`].
    last: BTreeMap<String, BridgeReport>,
}

impl Bridges {
    /// Those of `config` that can connect, with what was said of them up to `ready`.
    pub(super) fn new(config: &model::Config, running: &Running) -> Self {
        let last = able(config).map(|name| {
            let said = running.bridges.get(name).copied().unwrap_or(BridgeReport::Connecting);
            (name.to_owned(), said)
        });
        Self { last: last.collect() }
    }

    fn observe(&mut self, status: &Status) {
        if let Status::Bridge { name, report } = status
            && let Some(last) = self.last.get_mut(name)
        {
            *last = *report;
        }
    }

    /// Names of those that are connected.
    pub(super) fn connected(&self) -> impl Iterator<Item = &str> {
        self.with(BridgeReport::Connected)
    }

    /// Names of those that have said neither.
    pub(super) fn undecided(&self) -> impl Iterator<Item = &str> {
        self.with(BridgeReport::Connecting)
    }

    /// Those whose last word was a failure.
    pub(super) fn failed(&self) -> Vec<(String, BridgeReason)> {
        let failed = self.last.iter().filter_map(|(name, last)| match last {
            BridgeReport::Failed { reason } => Some((name.clone(), *reason)),
            BridgeReport::Connected | BridgeReport::Connecting => None,
        });
        failed.collect()
    }

    fn with(&self, report: BridgeReport) -> impl Iterator<Item = &str> {
        self.last.iter().filter(move |(_, last)| **last == report).map(|(name, _)| name.as_str())
    }

    /// Follows the device until all is decided or the time is over, as the step `bridges`; no step without bridges.
    ///
    /// # Errors
    ///
    /// The port's. That a bridge has failed is no error here.
    pub(super) fn wait(&mut self, console: &mut Console<'_>, narrator: &Narrator) -> Result<(), Failure> {
        if self.last.is_empty() {
            return Ok(());
        }
        narrator.begin("bridges", &self.waiting_words());
        let mut patience = Patience::new(DECIDED_TIMEOUT);
        let mut quiet = Duration::ZERO;
        while self.undecided().next().is_some() && !patience.is_over() {
            if quiet >= QUIET {
                quiet = Duration::ZERO;
                console.write(QUESTION).map_err(FlasherError::from)?;
            }
            let begun = Instant::now();
            let Some(line) = console.next_line(SLICE).map_err(FlasherError::from)? else {
                // The other broker answers in its own time, also where the port's is simulated.
                std::thread::sleep(SLICE.saturating_sub(begun.elapsed()));
                patience.waited(SLICE);
                quiet += SLICE;
                continue;
            };
            quiet = Duration::ZERO;
            let Ok(Some(status)) = Status::parse(&line) else { continue };
            narrator.detail(line.trim());
            self.observe(&status);
            narrator.doing(&self.waiting_words());
        }
        if self.failed().is_empty() {
            narrator.end(&format!("{} of {} connected", self.connected().count(), self.last.len()));
        } else {
            narrator.fail();
        }
        Ok(())
    }

    /// One sentence for each that is connected.
    pub(super) fn sentences(&self) -> Vec<String> {
        self.connected().map(|name| format!("bridge `{name}` is connected")).collect()
    }

    /// Says which bridges may still connect or fail.
    pub(super) fn warn_of_undecided(&self, narrator: &Narrator) {
        if self.undecided().next().is_some() {
            narrator.warning(&format!(
                "not known yet whether these bridges connect: {}; `espbroker monitor` shows what becomes of them",
                quoted(self.undecided())
            ));
        }
    }

    fn waiting_words(&self) -> String {
        format!("waiting for {}", quoted(self.undecided()))
    }
}

/// Waits for the bridges of a device that runs; gives a sentence for each that is connected.
///
/// # Errors
///
/// The port's, or that a bridge has failed.
pub(crate) fn connect_bridges(
    console: &mut Console<'_>,
    config: &model::Config,
    running: &Running,
    narrator: &Narrator,
) -> Result<Vec<String>, Failure> {
    let mut bridges = Bridges::new(config, running);
    bridges.wait(console, narrator)?;
    bridges.warn_of_undecided(narrator);
    let failed = bridges.failed();
    if !failed.is_empty() {
        return Err(SetupError::NotBridged { failed }.into());
    }
    Ok(bridges.sentences())
}

/// Names of the bridges that can connect at all.
pub(super) fn able(config: &model::Config) -> impl Iterator<Item = &str> {
    config.bridges.iter().filter(|bridge| !bridge.tls).map(|bridge| bridge.name.as_str())
}

/// Names as they stand in sentences.
pub(super) fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use espbroker_config::model::{Bridge, Config};

    use super::*;

    fn says(name: &str, report: BridgeReport) -> Status {
        Status::Bridge { name: name.to_owned(), report }
    }

    fn names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        names.collect()
    }

    #[test]
    fn the_last_word_of_each_bridge_counts_and_one_with_tls_is_not_waited_for() {
        let mut config = Config::new("hall");
        for name in ["cloud", "attic", "cellar"] {
            config.bridges.push(Bridge::new(name, "example.org"));
        }
        config.bridges.push(Bridge { tls: true, ..Bridge::new("bank", "example.org") });
        let mut running = Running::default();
        running.bridges.insert("attic".to_owned(), BridgeReport::Connected);
        let mut bridges = Bridges::new(&config, &running);
        assert_eq!(names(bridges.undecided()), ["cellar", "cloud"]);
        assert_eq!(bridges.waiting_words(), "waiting for `cellar`, `cloud`");

        let reason = BridgeReason::Refused;
        bridges.observe(&says("cloud", BridgeReport::Failed { reason }));
        bridges.observe(&says("bank", BridgeReport::Failed { reason: BridgeReason::TlsNotSupported }));
        bridges.observe(&says("somebody-elses", BridgeReport::Failed { reason }));
        assert_eq!(bridges.failed(), [("cloud".to_owned(), reason)]);
        bridges.observe(&says("cloud", BridgeReport::Connected));
        assert!(bridges.failed().is_empty());
        assert_eq!(names(bridges.connected()), ["attic", "cloud"]);
        assert_eq!(names(bridges.undecided()), ["cellar"]);
    }
}
