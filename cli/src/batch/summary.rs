//! What came of a batch, or would: the table for people, and JSON.

use std::{fmt::Write as _, path::Path, time::Duration};

use serde::Serialize;

use super::{
    Problem, Problems,
    matching::{Entry, Ledger, State},
};
use crate::{failure::Failure, report::rounded};

/// Version of the JSON; raised when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// The result of a batch.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    version: u32,
    journal: String,
    total: usize,
    done: usize,
    failed: usize,
    open: usize,
    seconds: f64,
    rows: Vec<RowReport<'a>>,
    /// Devices that were left as they are, because no row is for them.
    refused: &'a [Problem],
    /// Ports on which nobody said who they are.
    unanswered: &'a [Problem],
}

/// One row; what is not known is left out.
#[derive(Serialize)]
struct RowReport<'a> {
    row: usize,
    /// Which device it is for.
    device: String,
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    /// An earlier run did it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    earlier: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> RowReport<'a> {
    fn new(entry: &'a Entry) -> Self {
        let mut report = Self {
            row: entry.row.number,
            device: entry.row.wanted.to_string(),
            name: entry.name(),
            state: "open",
            mac: entry.mac_text(),
            profile: entry.row.profile(),
            earlier: false,
            host: None,
            mqtt_port: None,
            firmware: None,
            seconds: None,
            port: None,
            why: None,
            hint: None,
        };
        match &entry.state {
            State::Open if entry.half_done => report.state = "half-done",
            State::Open => {}
            State::Running { port } => {
                report.state = "running";
                report.port = Some(port);
            }
            State::Done { device, earlier } => {
                report.state = "done";
                report.earlier = *earlier;
                report.profile = device.profile.as_deref();
                report.host = Some(&device.host);
                report.mqtt_port = Some(device.mqtt_port);
                report.firmware = Some(&device.firmware);
                report.seconds = Some(device.seconds);
            }
            State::Failed { port, why, hint } => {
                report.state = "failed";
                report.port = Some(port);
                report.why = Some(why);
                report.hint = hint.as_deref();
            }
        }
        report
    }

    fn line(&self) -> String {
        let mac = self.mac.as_deref().unwrap_or("-");
        let what = match (self.state, self.host, self.why) {
            ("done", Some(host), _) => {
                let earlier = if self.earlier { "  (before)" } else { "" };
                format!("mqtt://{host}:{}{earlier}", self.mqtt_port.unwrap_or_default())
            }
            (_, _, Some(why)) => why.to_owned(),
            _ if self.mac.is_some() => "not connected".to_owned(),
            _ => self.device.clone(),
        };
        format!("  {:>4}  {:9} {:20} {:17}  {what}", self.row, self.state, self.name, mac)
    }
}

impl<'a> Summary<'a> {
    /// Of what is known now.
    pub(super) fn new(ledger: &'a Ledger, problems: &'a Problems, journal: &Path, took: Duration) -> Self {
        Self {
            version: VERSION,
            journal: journal.display().to_string(),
            total: ledger.entries().len(),
            done: ledger.done(),
            failed: ledger.failed(),
            open: ledger.open(),
            seconds: rounded(took),
            rows: ledger.entries().iter().map(RowReport::new).collect(),
            refused: &problems.refused,
            unanswered: &problems.unanswered,
        }
    }

    /// The table.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("\n");
        for row in &self.rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", row.line());
        }
        for (problems, words) in [(self.refused, "left as it is"), (self.unanswered, "no answer")] {
            for Problem { port, mac, why, .. } in problems {
                let who = mac.as_deref().map_or_else(String::new, |mac| format!("{mac} on "));
                // Most messages name the port themselves.
                let place =
                    if why.contains(port.as_str()) { String::new() } else { format!("{who}{port}: ") };
                let _ = writeln!(text, "     -  {words}: {place}{why}");
            }
        }
        let _ = write!(
            text,
            "\n{} of {} devices are done, {} failed, {} were not connected; {:.1} s",
            self.done, self.total, self.failed, self.open, self.seconds
        );
        text
    }
}

/// What would be done.
#[derive(Serialize)]
struct Plan<'a> {
    version: u32,
    journal: String,
    rows: Vec<PlannedRow<'a>>,
}

#[derive(Serialize)]
struct PlannedRow<'a> {
    row: usize,
    /// Which device it is for.
    device: String,
    name: String,
    state: &'static str,
    profile: Option<&'a str>,
    /// As it stands in the fleet.
    ssid: Option<&'a str>,
    bridges: Vec<&'a str>,
}

/// Prints the rows as they would be, and what the journal says of them.
///
/// # Errors
///
/// When stdout is closed.
pub(super) fn print_plan(ledger: &Ledger, journal: &Path, json: bool) -> Result<(), Failure> {
    let rows = ledger.entries().iter().map(|entry| PlannedRow {
        row: entry.row.number,
        device: entry.row.wanted.to_string(),
        name: entry.name(),
        state: RowReport::new(entry).state,
        profile: entry.row.profile(),
        ssid: entry.row.text("wifi", "ssid"),
        bridges: entry.row.bridges().collect(),
    });
    let plan = Plan { version: VERSION, journal: journal.display().to_string(), rows: rows.collect() };
    if json {
        return crate::print_json(&plan);
    }
    let mut text = format!(
        "{:>4}  {:9} {:18} {:20} {:14} {:16} bridges\n",
        "row", "state", "device", "name", "board", "network"
    );
    for row in &plan.rows {
        let _ = writeln!(
            text,
            "{:>4}  {:9} {:18} {:20} {:14} {:16} {}",
            row.row,
            row.state,
            row.device,
            row.name,
            row.profile.unwrap_or("-"),
            row.ssid.unwrap_or("-"),
            if row.bridges.is_empty() { "-".to_owned() } else { row.bridges.join(", ") },
        );
    }
    let _ = writeln!(text, "Journal: {}", plan.journal);
    crate::print(&text)
}
