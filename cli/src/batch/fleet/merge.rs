//! What is common to all, with what a row says instead.
//!
//! Tables are merged field by field. Lists whose entries have names (`bridges`, `broker.users`) are merged by name, so
//! that a row gives one bridge its password and leaves the rest of it alone; any other list is replaced as a whole.

use toml::{Table, Value};

use super::cell::DEPTH_MAX;

/// Fields that say the same thing in different ways: a row that uses one drops the others.
const ALTERNATIVES: [&[&str]; 5] = [
    &["passphrase", "passphrase_file"],
    &["password", "password_file", "password_hash"],
    &["key", "key_file"],
    &["ssid", "ssid_hex"],
    &["mac", "location"],
];

/// Puts `over` onto `base`.
pub(super) fn merge(base: &mut Table, over: Table) {
    merge_at(base, over, 0);
}

fn merge_at(base: &mut Table, over: Table, depth: usize) {
    for group in ALTERNATIVES {
        if group.iter().any(|key| over.contains_key(*key)) {
            group.iter().for_each(|key| drop(base.remove(*key)));
        }
    }
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) if depth < DEPTH_MAX => {
                merge_at(base, over, depth + 1);
            }
            (Some(Value::Array(base)), Value::Array(over)) if depth < DEPTH_MAX && are_named(base, &over) => {
                merge_named(base, over, depth + 1);
            }
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

fn name(value: &Value) -> Option<&str> {
    value.as_table()?.get("name")?.as_str()
}

fn are_named(base: &[Value], over: &[Value]) -> bool {
    !over.is_empty() && base.iter().chain(over).all(|value| name(value).is_some())
}

fn merge_named(base: &mut Vec<Value>, over: Vec<Value>, depth: usize) {
    for value in over {
        let known = base.iter_mut().find(|known| name(known) == name(&value));
        match (known, value) {
            (Some(Value::Table(known)), Value::Table(value)) => merge_at(known, value, depth),
            (_, value) => base.push(value),
        }
    }
}

/// Puts a value where `path` says: `bridges.cloud.password` is the password of the bridge with that name.
/// `false` where something else is in the way.
pub(super) fn put(table: &mut Table, path: &[&str], value: Value) -> bool {
    match path {
        [] => false,
        [last] => table.insert((*last).to_owned(), value).is_none(),
        [list @ ("bridges" | "users"), entry, rest @ ..] if !rest.is_empty() => {
            let entries = table.entry(*list).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(entries) = entries else { return false };
            if !entries.iter().any(|known| name(known) == Some(entry)) {
                let mut new = Table::new();
                new.insert("name".to_owned(), Value::String((*entry).to_owned()));
                entries.push(Value::Table(new));
            }
            let known = entries.iter_mut().find(|known| name(known) == Some(entry));
            known.and_then(Value::as_table_mut).is_some_and(|known| put(known, rest, value))
        }
        [first, rest @ ..] => {
            let inner = table.entry(*first).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().is_some_and(|inner| put(inner, rest, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_row_changes_what_it_names_and_keeps_the_rest() {
        let mut base = table(
            "name = \"plug-{mac:6}\"\n[wifi]\nssid = \"site\"\npassphrase_file = \"wifi.txt\"\n\
             [[bridges]]\nname = \"cloud\"\nhost = \"example.org\"\npassword_file = \"all.txt\"\n",
        );
        merge(
            &mut base,
            table(
                "name = \"hall\"\n[wifi]\npassphrase = \"env:P\"\n[[bridges]]\nname = \"cloud\"\npassword = \"x\"\n\
                 [[bridges]]\nname = \"attic\"\nhost = \"10.0.0.2\"\n",
            ),
        );
        assert_eq!(
            base,
            table(
                "name = \"hall\"\n[wifi]\nssid = \"site\"\npassphrase = \"env:P\"\n\
                 [[bridges]]\nname = \"cloud\"\nhost = \"example.org\"\npassword = \"x\"\n\
                 [[bridges]]\nname = \"attic\"\nhost = \"10.0.0.2\"\n"
            )
        );
    }

    #[test]
    fn a_path_reaches_into_named_lists_and_never_over_something_else() {
        let mut row = Table::new();
        let text = |text: &str| Value::String(text.to_owned());
        assert!(put(&mut row, &["bridges", "cloud", "user"], text("u")));
        assert!(put(&mut row, &["bridges", "cloud", "password"], text("p")));
        assert!(put(&mut row, &["broker", "users", "ann", "password"], text("q")));
        assert!(!put(&mut row, &["broker", "users", "ann", "password"], text("r")));
        assert!(!put(&mut row, &["bridges", "cloud", "user", "x"], text("r")));
        assert!(!put(&mut row, &[], text("r")));
        assert_eq!(
            row,
            table(
                "bridges = [{ name = \"cloud\", user = \"u\", password = \"p\" }]\n\
                 broker.users = [{ name = \"ann\", password = \"r\" }]\n"
            )
        );
    }
}
