//! The table in `CONFORMANCE.md` against the standard's list and against the tests that it names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Sections of MQTT 3.1.1 with the number of their normative statements, from its appendix B.
const SECTIONS: [(&str, usize); 39] = [
    ("1.5.3", 3),
    ("2.2.2", 2),
    ("2.3.1", 7),
    ("3.1.0", 2),
    ("3.1.2", 24),
    ("3.1.3", 11),
    ("3.1.4", 5),
    ("3.2.0", 1),
    ("3.2.2", 6),
    ("3.3.1", 12),
    ("3.3.2", 3),
    ("3.3.4", 1),
    ("3.3.5", 2),
    ("3.6.1", 1),
    ("3.8.1", 1),
    ("3.8.3", 4),
    ("3.8.4", 6),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.12.4", 1),
    ("3.14.1", 1),
    ("3.14.4", 3),
    ("4.1.0", 2),
    ("4.3.1", 1),
    ("4.3.2", 2),
    ("4.3.3", 2),
    ("4.4.0", 1),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.1", 3),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.0", 2),
    ("6.0.0", 4),
    ("7.0.0", 2),
    ("7.1.1", 1),
    ("7.1.2", 1),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of every table row whose first one is as wanted.
fn rows(text: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<&str>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|inner| inner.split(" | ").collect::<Vec<_>>())
        .filter(|cells| is_wanted(cells[0]))
        .collect()
}

/// Names of the functions in a file that are tests.
fn tests(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            let name = rest.split('(').next().unwrap_or_default();
            tests.extend(is_test.then(|| name.to_owned()));
            is_test = false;
        }
    }
    tests
}

#[test]
fn every_statement_has_a_test_that_exists() {
    let text = std::fs::read_to_string(folder().join("CONFORMANCE.md")).unwrap();
    let numbers: Vec<String> = SECTIONS
        .iter()
        .flat_map(|(section, count)| (1..=*count).map(move |number| format!("{section}-{number}")))
        .collect();
    let rows = rows(&text, |first| first.starts_with(|character: char| character.is_ascii_digit()));
    let listed: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(listed, numbers);
    let mut files = BTreeMap::new();
    for row in &rows {
        let [statement, asks, binds, kept, shown] = row[..] else { panic!("{row:?}") };
        assert!(!asks.is_empty(), "{statement}");
        assert!(["server", "client", "both"].contains(&binds), "{statement} binds {binds}");
        let names: Vec<(&str, &str)> =
            shown.split('`').filter_map(|quoted| quoted.split_once("::")).filter(is_test_name).collect();
        match kept {
            "client only" => assert!(binds == "client" && names.is_empty(), "{statement}"),
            "no" => assert!(!shown.is_empty() && names.is_empty(), "{statement}"),
            "yes" | "within limits" => assert!(!names.is_empty(), "{statement}"),
            _ => panic!("{statement}: {kept}"),
        }
        for (file, name) in names {
            let tests = files.entry(file).or_insert_with(|| tests(&folder().join(file)));
            assert!(tests.iter().any(|test| test == name), "{statement}: {file} has no {name}");
        }
    }
}

/// And not, say, the name of a setting.
fn is_test_name((file, _): &(&str, &str)) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

#[test]
fn the_numbers_above_the_table_are_those_of_the_table() {
    let text = std::fs::read_to_string(folder().join("CONFORMANCE.md")).unwrap();
    let statements = rows(&text, |first| first.starts_with(|character: char| character.is_ascii_digit()));
    let count = |kept| statements.iter().filter(|row| row[3] == kept).count().to_string();
    for (line, expected) in [
        ("kept", count("yes")),
        ("kept within limits that are stated in their rows", count("within limits")),
        ("not kept", count("no")),
        ("client only: not the broker's", count("client only")),
        ("all", statements.len().to_string()),
    ] {
        assert_eq!(rows(&text, |first| first == line), [[line, &expected]]);
    }
}

#[test]
fn every_test_here_names_its_statement_and_stands_in_the_table() {
    let table = std::fs::read_to_string(folder().join("CONFORMANCE.md")).unwrap();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join("tests/conformance"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("table.rs"))
        .collect();
    files.sort();
    for path in files {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| **line == "#[test]") {
            assert!(lines[index - 1].starts_with("// ["), "{file}: line {index}");
        }
        for name in tests(&path) {
            assert!(table.contains(&format!("`tests/conformance/{file}::{name}`")), "{file}::{name}");
        }
    }
}
