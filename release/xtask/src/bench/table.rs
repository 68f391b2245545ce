//! Markdown tables, readable as they are.

use std::fmt::{self, Display};

/// The narrowest column: a rule needs a hyphen and a colon, also below a column that has nothing in it.
const RULE: usize = 2;

/// A table with a caption that explains its figures. The first column is text, the others are figures.
#[derive(Debug)]
pub(crate) struct Table {
    caption: &'static str,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(caption: &'static str, head: &[&'static str]) -> Self {
        Self { caption, head: head.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize, head: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            // A rule is a colon at least, also below a column without a word.
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(head.chars().count()).max(1)
        };
        let widths: Vec<usize> =
            self.head.iter().enumerate().map(|(column, head)| width(column, head).max(RULE)).collect();
        let line = |formatter: &mut fmt::Formatter<'_>, cells: &[&str]| {
            for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(formatter, "| {cell:<width$} |")?;
                } else {
                    write!(formatter, " {cell:>width$} |")?;
                }
            }
            writeln!(formatter)
        };
        line(formatter, &self.head)?;
        let rules: Vec<String> = widths
            .iter()
            .enumerate()
            .map(
                |(column, &width)| {
                    if column == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
                },
            )
            .collect();
        line(formatter, &rules.iter().map(String::as_str).collect::<Vec<_>>())?;
        for row in &self.rows {
            line(formatter, &row.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        writeln!(formatter, "\n{}", self.caption)
    }
}

/// Digits in groups of three: `20,636`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// [`grouped`], or a dash.
pub(crate) fn grouped_or_dash(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), grouped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!(
            [0, 999, 1000, 20_636, 1_234_567].map(grouped),
            ["0", "999", "1,000", "20,636", "1,234,567"]
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("Caption.", &["work", "n"]);
        table.row(["a message".to_owned(), "1,000".to_owned()]);
        let expected = "| work      |     n |\n| --------- | ----: |\n| a message | 1,000 |\n\nCaption.\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_column_without_any_text_has_its_line() {
        let mut table = Table::new("Caption.", &["work", ""]);
        table.row(["ping".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "| work |    |\n| ---- | -: |\n| ping |    |\n\nCaption.\n");
    }
}
