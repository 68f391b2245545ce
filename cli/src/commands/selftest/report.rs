//! What `selftest` found, for people (Markdown) and for programs (JSON).

use std::fmt::Write as _;

use serde::Serialize;

/// Version of the JSON report; raised when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// How one question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// There is no right or wrong: this is what was to be found out.
    Noted,
    /// Not asked.
    Skipped,
}

impl Outcome {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Noted => "noted",
            Self::Skipped => "skipped",
        }
    }
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// Short and lasting, to be compared between reports.
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) answer: String,
}

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    version: u32,
    pub(crate) espbroker: &'static str,
    pub(crate) system: String,
    pub(crate) simulated: bool,
    pub(crate) port: String,
    pub(crate) device: String,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(port: String, simulated: bool) -> Self {
        let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
        let (espbroker, device) = (env!("CARGO_PKG_VERSION"), String::new());
        Self { version: VERSION, espbroker, system, simulated, port, device, findings: Vec::new() }
    }

    /// How many questions were answered in this way.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.findings.iter().filter(|finding| finding.outcome == outcome).count()
    }

    /// The report as a page that can be pasted into a bug.
    pub(crate) fn markdown(&self) -> String {
        let kind = if self.simulated { " (simulated)" } else { "" };
        let mut text = format!(
            "# espbroker selftest{kind}\n\nespbroker {} on {}  \nPort: {}  \nDevice: {}\n\n| question | result | answer |\n|---|---|---|\n",
            self.espbroker, self.system, self.port, self.device
        );
        for Finding { name, outcome, answer } in &self.findings {
            // A column ends with a bar.
            let answer = answer.replace('|', "\\|").replace('\n', " ");
            let _ = writeln!(text, "| {name} | {} | {answer} |", outcome.word());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_cannot_break_the_table() {
        let mut report = Report::new("p".to_owned(), false);
        let answer = "a | b\nc".to_owned();
        report.findings.push(Finding { name: "boot log", outcome: Outcome::Noted, answer });
        assert!(report.markdown().ends_with("| boot log | noted | a \\| b c |\n"));
        assert_eq!(report.count(Outcome::Noted), 1);
    }
}
