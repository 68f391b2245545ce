//! Labels of finished devices: name, MAC address and a QR code of both, as a page to print or as CSV.
//!
//! A name comes from a file that somebody wrote: in HTML it is escaped, and in CSV a cell that a spreadsheet would take for
//! a formula gets an apostrophe in front. No secret is in either. Left out: bitmaps.

use std::{fmt::Write as _, io, path::Path};

use qrcode::{Color, QrCode};

use super::{
    BatchError,
    matching::{Ledger, State},
};
use crate::private_file;

/// Modules of white around a QR code (ISO/IEC 18004 §6.3.8).
const QUIET_ZONE: usize = 4;

/// One finished device.
struct Label {
    row: usize,
    name: String,
    mac: String,
    profile: String,
    firmware: String,
    address: String,
}

impl Label {
    /// What the QR code says: both are names that `espbroker discover` takes.
    fn code(&self) -> String {
        format!("{} {}", self.name, self.mac)
    }
}

/// Refuses a name that says neither form.
///
/// # Errors
///
/// [`BatchError::ReportKind`].
pub(super) fn check_name(path: &Path) -> Result<(), BatchError> {
    if is_html(path) || is(path, "csv") {
        Ok(())
    } else {
        Err(BatchError::ReportKind { path: path.to_owned() })
    }
}

fn is_html(path: &Path) -> bool {
    is(path, "html") || is(path, "htm")
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|known| known.eq_ignore_ascii_case(extension))
}

/// Writes the labels of all finished devices, those of earlier runs too, in place of an older report.
///
/// # Errors
///
/// The operating system's; an older report is then as it was.
pub(super) fn write(path: &Path, ledger: &Ledger) -> io::Result<()> {
    let labels = labels(ledger);
    let bytes = if is_html(path) { html(&labels).into_bytes() } else { csv(&labels)? };
    private_file::replace(path, &bytes)
}

fn labels(ledger: &Ledger) -> Vec<Label> {
    let label = |entry: &super::matching::Entry| match &entry.state {
        State::Done { device, .. } => Some(Label {
            row: entry.row.number,
            name: device.name.clone(),
            mac: entry.mac_text().unwrap_or_default(),
            profile: device.profile.clone().unwrap_or_default(),
            firmware: device.firmware.clone(),
            address: format!("mqtt://{}:{}", device.host, device.mqtt_port),
        }),
        _ => None,
    };
    ledger.entries().iter().filter_map(label).collect()
}

/// A QR code as SVG, a unit for each module; empty where the text does not fit into one, which no name is long enough for.
fn qr_svg(text: &str) -> String {
    let Ok(code) = QrCode::new(text) else { return String::new() };
    let width = code.width();
    let side = width + 2 * QUIET_ZONE;
    let colors = code.to_colors();
    let mut path = String::new();
    for (y, line) in colors.chunks(width.max(1)).enumerate() {
        let mut x = 0;
        while let Some(color) = line.get(x) {
            let run = line.iter().skip(x).take_while(|other| *other == color).count();
            if *color == Color::Dark {
                // Writing to a string cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET_ZONE, y + QUIET_ZONE);
            }
            x += run;
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>"
    )
}

fn csv(labels: &[Label]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["row", "name", "mac", "board", "firmware", "address", "qr_text", "qr_svg"])?;
    for label in labels {
        let cells = [
            label.row.to_string(),
            label.name.clone(),
            label.mac.clone(),
            label.profile.clone(),
            label.firmware.clone(),
            label.address.clone(),
            label.code(),
            qr_svg(&label.code()),
        ];
        writer.write_record(cells.iter().map(|cell| no_formula(cell)))?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// A cell that no spreadsheet calculates.
fn no_formula(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

fn html(labels: &[Label]) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>espbroker labels</title>\n<style>\n\
         body { font: 9pt sans-serif; display: flex; flex-wrap: wrap; gap: 3mm; margin: 5mm }\n\
         .label { width: 60mm; display: flex; gap: 2mm; border: 1px dashed #999; padding: 2mm; break-inside: avoid }\n\
         .label svg { width: 22mm; height: 22mm; flex: none }\n\
         .label b { font-size: 11pt; overflow-wrap: anywhere }\n\
         .label code { font-size: 8pt }\n</style>\n",
    );
    for label in labels {
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "<div class=\"label\">{}<div><b>{}</b><br><code>{}</code><br>{}<br>firmware {}</div></div>",
            qr_svg(&label.code()),
            escaped(&label.name),
            escaped(&label.mac),
            escaped(&label.profile),
            escaped(&label.firmware),
        );
    }
    page.push_str("</html>\n");
    page
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label(name: &str) -> Label {
        Label {
            row: 1,
            name: name.to_owned(),
            mac: "5c:cf:7f:01:02:03".to_owned(),
            profile: "d1-mini".to_owned(),
            firmware: "0.1.0".to_owned(),
            address: "mqtt://10.0.0.9:1883".to_owned(),
        }
    }

    #[test]
    fn a_name_is_neither_markup_nor_a_formula() {
        let page = html(&[label("<script>alert('x')</script>&\"")]);
        assert!(page.contains("<b>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;</b>"));
        assert!(!page.contains("<script"));
        for name in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"] {
            let sheet = String::from_utf8(csv(&[label(name)]).unwrap()).unwrap();
            assert!(sheet.contains(&format!("1,'{name},")), "{sheet}");
        }
    }

    #[test]
    fn a_qr_code_has_its_finders_and_its_white_edge() {
        let svg = qr_svg("plug-010203 5c:cf:7f:01:02:03");
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 "), "{svg}");
        // The upper edge of the first finder pattern: seven dark modules in the corner.
        assert!(svg.contains("d=\"M4 4h7v1h-7z"), "{svg}");
    }

    #[test]
    fn the_form_follows_the_name() {
        for (name, is_known) in
            [("a.html", true), ("a.HTM", true), ("a.csv", true), ("a.pdf", false), ("a", false)]
        {
            assert_eq!(check_name(Path::new(name)).is_ok(), is_known, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back_out_of_the_sheet_and_leaves_the_page_whole(name in "\\PC{0,64}") {
            let sheet = csv(&[label(&name)]).unwrap();
            let mut reader = csv::Reader::from_reader(sheet.as_slice());
            let record = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(record.get(1).unwrap().trim_start_matches('\''), name.trim_start_matches('\''));
            let page = html(&[label(&name)]);
            prop_assert_eq!(page.matches("<b>").count(), 1);
            prop_assert_eq!(page.matches("</div>").count(), 2);
        }
    }
}
