//! The figures that a run is held against: `release/baselines/broker-instructions.toml`.
//!
//! Instructions of the C library are compared only with those of the same version of it; the rest depends on nothing
//! but this repository and the compiler.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use serde::{Deserialize, Serialize};

use super::{instructions, memory};
use crate::process::{self, Failure, root};

/// From the workspace's root.
const FILE: &str = "release/baselines/broker-instructions.toml";

/// A figure may grow by so much before it counts as grown.
const TOLERANCE_PERCENT: u64 = 3;
/// A figure of the C library's at least by so many: what it takes for a copy depends on where the allocator has put
/// things, which the length of the program's path moves.
const TOLERANCE_LIBC: u64 = 8;

/// What was measured once, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Baseline {
    compiler: String,
    libc: String,
    instructions: Figures,
    memory: Figures,
}

/// Figures by the name of their row and then their own.
type Figures = BTreeMap<String, BTreeMap<String, u64>>;

/// How a figure compares.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Grown { figure: String, from: u64, to: u64 },
    Shrunk { figure: String, from: u64, to: u64 },
    New { figure: String },
    Gone { figure: String },
}

/// Writes the baseline anew; a part that was not measured stays as it was.
///
/// # Errors
///
/// When the file cannot be read or written.
pub(crate) fn write(instructions: &[instructions::Row], memory: &[memory::Row]) -> Result<(), Failure> {
    let mut baseline = if path().exists() { read()? } else { Baseline::default() };
    let now = Baseline::of(instructions, memory)?;
    if !instructions.is_empty() {
        baseline.instructions = now.instructions;
    }
    if !memory.is_empty() {
        baseline.memory = now.memory;
    }
    (baseline.compiler, baseline.libc) = (now.compiler, now.libc);
    let text = toml::to_string(&baseline)?;
    fs::create_dir_all(path().parent().unwrap_or(&root()))?;
    let head = "# Written by `cargo xtask bench broker --bless`, which also explains the figures.\n";
    fs::write(path(), format!("{head}{text}"))?;
    eprintln!("baseline written: {FILE}");
    Ok(())
}

/// Compares what was measured, and prints what has changed.
///
/// # Errors
///
/// When a figure has grown, is new, is gone, or is beyond its bound.
pub(crate) fn check(instructions: &[instructions::Row], memory: &[memory::Row]) -> Result<(), Failure> {
    let now = Baseline::of(instructions, memory)?;
    let baseline = read()?;
    let same_libc = baseline.libc == now.libc;
    let mut findings = Vec::new();
    if !instructions.is_empty() {
        findings.extend(compare(&baseline.instructions, &now.instructions, |figure| {
            figure != "libc" || same_libc
        }));
    }
    if !memory.is_empty() {
        findings.extend(compare(&baseline.memory, &now.memory, |_| true));
    }
    let mut bad = 0;
    for finding in &findings {
        eprintln!("{}", finding.text());
        bad += usize::from(!matches!(finding, Finding::Shrunk { .. }));
    }
    for text in beyond_bounds(instructions, memory) {
        eprintln!("{text}");
        bad += 1;
    }
    for (what, then, now) in
        [("compiler", &baseline.compiler, &now.compiler), ("C library", &baseline.libc, &now.libc)]
    {
        if then != now {
            eprintln!("note: the baseline was made with another {what} ({then}) than this run ({now})");
        }
    }
    match bad {
        0 => Ok(()),
        _ => Err(format!("figures to look at: {bad}; --bless accepts what has changed, but no broken bound")
            .into()),
    }
}

impl Baseline {
    fn of(instructions: &[instructions::Row], memory: &[memory::Row]) -> Result<Self, Failure> {
        let version = |program: &str, argument| {
            process::run(Command::new(program).arg(argument)).map(|text| text.trim().to_owned())
        };
        let figures =
            |pairs: &[(&str, u64)]| pairs.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        Ok(Self {
            compiler: version("rustc", "--version")?,
            libc: version("getconf", "GNU_LIBC_VERSION")?,
            instructions: instructions
                .iter()
                .map(|row| {
                    let own = row.broker + row.allocator;
                    (row.name.clone(), figures(&[("own", own), ("libc", row.libc), ("blocks", row.blocks)]))
                })
                .collect(),
            memory: memory
                .iter()
                .map(|row| {
                    (row.name.clone(), figures(&[("bytes", row.bytes), ("chip_bytes", row.chip_bytes)]))
                })
                .collect(),
        })
    }
}

impl Finding {
    fn text(&self) -> String {
        match self {
            Self::Grown { figure, from, to } => format!("grown: {figure} from {from} to {to}"),
            Self::Shrunk { figure, from, to } => {
                format!("shrunk, worth a --bless: {figure} from {from} to {to}")
            }
            Self::New { figure } => format!("not in the baseline: {figure}"),
            Self::Gone { figure } => format!("in the baseline and no longer measured: {figure}"),
        }
    }
}

fn path() -> PathBuf {
    root().join(FILE)
}

fn read() -> Result<Baseline, Failure> {
    let text =
        fs::read_to_string(path()).map_err(|error| format!("cannot read the baseline `{FILE}` ({error})"))?;
    Ok(toml::from_str(&text)?)
}

/// Only figures whose own name `counts`.
fn compare(baseline: &Figures, now: &Figures, counts: impl Fn(&str) -> bool) -> Vec<Finding> {
    let flat = |figures: &Figures| -> BTreeMap<String, u64> {
        figures
            .iter()
            .flat_map(|(row, figures)| figures.iter().map(move |(name, value)| (row, name, *value)))
            .filter(|(_, name, _)| counts(name))
            .map(|(row, name, value)| (format!("{row}.{name}"), value))
            .collect()
    };
    let (baseline, now) = (flat(baseline), flat(now));
    let gone = baseline.keys().filter(|figure| !now.contains_key(*figure));
    let gone = gone.map(|figure| Finding::Gone { figure: figure.clone() });
    let found = now.iter().filter_map(|(figure, &to)| {
        let figure = figure.clone();
        match baseline.get(&figure) {
            None => Some(Finding::New { figure }),
            Some(&from) if is_more(&figure, to, from) => Some(Finding::Grown { figure, from, to }),
            Some(&from) if is_more(&figure, from, to) => Some(Finding::Shrunk { figure, from, to }),
            Some(_) => None,
        }
    });
    found.chain(gone).collect()
}

/// By more than the tolerance of the figure with this name.
fn is_more(figure: &str, number: u64, than: u64) -> bool {
    let slack = if figure.ends_with(".libc") { TOLERANCE_LIBC } else { 0 };
    number > than + slack && number * 100 > than * (100 + TOLERANCE_PERCENT)
}

fn beyond_bounds(instructions: &[instructions::Row], memory: &[memory::Row]) -> Vec<String> {
    let instructions = instructions.iter().map(|row| (row.name.as_str(), row.total(), row.bound));
    let statics = memory.iter().filter(|row| row.name.starts_with("broker-")).map(|row| row.bytes).sum();
    let memory = memory.iter().map(|row| (row.name.as_str(), row.bytes, row.bound));
    instructions
        .chain(memory)
        .chain([("broker without clients", statics, Some(memory::STATIC_BOUND))])
        .filter_map(|(name, value, bound)| Some((name, value, bound.filter(|bound| value > *bound)?)))
        .map(|(name, value, bound)| format!("beyond its bound of {bound}: {name} {value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(pairs: &[(&str, u64)]) -> Figures {
        [("row".to_owned(), pairs.iter().map(|&(name, value)| (name.to_owned(), value)).collect())].into()
    }

    #[test]
    fn only_more_than_three_percent_is_a_change() {
        let figure = |from, to| compare(&figures(&[("own", from)]), &figures(&[("own", to)]), |_| true);
        assert_eq!(figure(1000, 1030), []);
        assert_eq!(figure(1030, 1000), []);
        assert_eq!(
            figure(1000, 1031),
            [Finding::Grown { figure: "row.own".to_owned(), from: 1000, to: 1031 }]
        );
        assert_eq!(
            figure(1031, 1000),
            [Finding::Shrunk { figure: "row.own".to_owned(), from: 1031, to: 1000 }]
        );
        assert_eq!(figure(0, 1), [Finding::Grown { figure: "row.own".to_owned(), from: 0, to: 1 }]);
        assert_eq!(figure(0, 0), []);
    }

    #[test]
    fn a_few_instructions_of_the_c_library_are_no_change() {
        let figure = |to| compare(&figures(&[("libc", 81)]), &figures(&[("libc", to)]), |_| true);
        assert_eq!(figure(89), []);
        assert_eq!(figure(90), [Finding::Grown { figure: "row.libc".to_owned(), from: 81, to: 90 }]);
    }

    #[test]
    fn a_figure_that_is_new_or_gone_is_found_and_one_that_does_not_count_is_not() {
        let (then, now) = (figures(&[("own", 1), ("libc", 1)]), figures(&[("blocks", 1), ("libc", 9)]));
        assert_eq!(
            compare(&then, &now, |name| name != "libc"),
            [
                Finding::New { figure: "row.blocks".to_owned() },
                Finding::Gone { figure: "row.own".to_owned() }
            ]
        );
    }

    #[test]
    fn the_baseline_in_the_repository_can_be_read() {
        assert!(
            read().is_ok_and(|baseline| !baseline.instructions.is_empty() && !baseline.memory.is_empty())
        );
    }
}
