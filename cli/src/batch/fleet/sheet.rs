//! A fleet as CSV (RFC 4180): a line of column names, then a row for each device.
//!
//! A column is `mac`, `location`, `count`, or the path of a setting (`name`, `wifi.ssid`, `bridges.cloud.password`). An
//! empty cell says nothing. Semicolons, and the byte order mark that spreadsheets put in front, are understood.

use toml::{Table, Value};

use super::merge::put;

/// Settings that are whole numbers.
const NUMBERS: [&str; 20] = [
    "count",
    "channel",
    "mqtt_port",
    "websocket_port",
    "sys_interval",
    "port",
    "keep_alive",
    "restart_base",
    "restart_cap",
    "qos",
    "priority",
    "clients",
    "subscriptions_per_client",
    "retained_messages",
    "retained_bytes",
    "packet_size",
    "queue_bytes",
    "sessions",
    "queue_messages",
    "prefix",
];

/// Settings that are true or false.
const SWITCHES: [&str; 9] = [
    "open",
    "hidden",
    "anonymous",
    "tls",
    "clean_session",
    "try_private",
    "notifications",
    "notifications_local_only",
    "outgoing_retain",
];

/// Names in a path; no setting lies deeper.
const PATH_MAX: usize = 8;

/// Why a sheet cannot be used. Cells are not quoted: they may be secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SheetError {
    #[error("this is no CSV: {0}")]
    Csv(String),
    #[error("column {number} is no setting's path: `{name}`")]
    Column { number: usize, name: String },
    #[error("columns do not go together, or stand twice: `{name}`")]
    Clash { name: String },
    #[error("line {line}: `{name}` must be a whole number")]
    Number { line: u64, name: String },
    #[error("line {line}: `{name}` must be true or false")]
    Switch { line: u64, name: String },
}

/// Reads all rows, each as the table of what it says.
///
/// # Errors
///
/// The first thing that is not understood.
pub(super) fn rows(bytes: &[u8]) -> Result<Vec<Table>, SheetError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let delimiter = if first.contains(&b';') && !first.contains(&b',') { b';' } else { b',' };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::Headers).from_reader(bytes);
    let no_csv = |error: csv::Error| SheetError::Csv(error.to_string());
    let columns = reader.headers().map_err(no_csv)?.clone();
    for (index, name) in columns.iter().enumerate() {
        let is_path = name.split('.').count() <= PATH_MAX && name.split('.').all(|part| !part.is_empty());
        if !is_path {
            return Err(SheetError::Column { number: index + 1, name: name.to_owned() });
        }
        if columns.iter().take(index).any(|before| before == name) {
            return Err(SheetError::Clash { name: name.to_owned() });
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(no_csv)?;
        let line = record.position().map_or(0, csv::Position::line);
        let mut row = Table::new();
        for (name, cell) in columns.iter().zip(&record) {
            if cell.trim().is_empty() {
                continue;
            }
            let path: Vec<&str> = name.split('.').collect();
            if !put(&mut row, &path, value(name, cell, line)?) {
                return Err(SheetError::Clash { name: name.to_owned() });
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

fn value(name: &str, cell: &str, line: u64) -> Result<Value, SheetError> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_reference = super::cell::Reference::parse(cell).is_some();
    if NUMBERS.contains(&last) && !is_reference {
        let number = cell.trim().parse().map(Value::Integer);
        return number.map_err(|_| SheetError::Number { line, name: name.to_owned() });
    }
    if SWITCHES.contains(&last) && !is_reference {
        // Spreadsheets write these in capitals.
        return match cell.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(Value::Boolean(true)),
            "false" | "no" | "0" => Ok(Value::Boolean(false)),
            _ => Err(SheetError::Switch { line, name: name.to_owned() }),
        };
    }
    // A space at either end of a secret may be meant.
    let text = if super::cell::is_secret(last) { cell } else { cell.trim() };
    Ok(Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cells_become_settings_of_their_kind_and_empty_ones_nothing() {
        let sheet = "\u{feff}mac; name ;wifi.hidden;broker.mqtt_port;bridges.cloud.password\r\n\
                     5c:cf:7f:01:02:03;hall;TRUE;1884;\" a;b \"\r\n;;;;\r\n";
        let [one, two] = rows(sheet.as_bytes()).unwrap().try_into().unwrap();
        let expected: Table = toml::from_str(
            "mac = \"5c:cf:7f:01:02:03\"\nname = \"hall\"\nwifi.hidden = true\nbroker.mqtt_port = 1884\n\
             bridges = [{ name = \"cloud\", password = \" a;b \" }]\n",
        )
        .unwrap();
        assert_eq!(one, expected);
        assert!(two.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_without_the_cell() {
        let refusal = |text: &str| rows(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(refusal("name,name\n"), "columns do not go together, or stand twice: `name`");
        assert_eq!(
            refusal("wifi,wifi.ssid\na,b\n"),
            "columns do not go together, or stand twice: `wifi.ssid`"
        );
        assert_eq!(refusal("a..b\n"), "column 1 is no setting's path: `a..b`");
        assert_eq!(
            refusal("name,broker.mqtt_port\nx,sesame\n"),
            "line 2: `broker.mqtt_port` must be a whole number"
        );
        assert_eq!(refusal("wifi.hidden\nsesame\n"), "line 2: `wifi.hidden` must be true or false");
        assert!(refusal("name,mac\nsesame\n").starts_with("this is no CSV: "));
        assert!(!refusal("name,mac\nsesame\n").contains("sesame"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = rows(&bytes);
        }

        #[test]
        fn any_sheet_is_read_or_refused(text in "[a-c.,;\"\n{}]{0,60}") {
            let _ = rows(text.as_bytes());
        }
    }
}
