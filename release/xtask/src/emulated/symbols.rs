//! [`Symbols`]: which functions of the program the addresses in a report of an exception belong to.

use std::{path::Path, process::Command};

use crate::process::{self, Failure};

/// The program's functions by their addresses.
pub(crate) struct Symbols(Vec<(u32, String)>);

impl Symbols {
    /// Asks `nm`.
    ///
    /// # Errors
    ///
    /// When it is missing.
    pub(crate) fn read(program: &Path) -> Result<Self, Failure> {
        let text =
            process::run(Command::new("xtensa-lx106-elf-nm").args(["--numeric-sort", "-C"]).arg(program))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let function = |line: &str| {
            let (address, rest) = line.split_once(' ')?;
            let (kind, name) = rest.split_once(' ')?;
            let address = u32::from_str_radix(address, 16).ok()?;
            ["t", "T", "W"].contains(&kind).then(|| (address, name.to_owned()))
        };
        Self(text.lines().filter_map(function).collect())
    }

    fn name(&self, address: u32) -> Option<&str> {
        let place = self.0.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        self.0.get(place).map(|(_, name)| name.as_str())
    }

    /// The functions of the addresses in the line about an exception, or the text as it is.
    pub(crate) fn explain(&self, text: &str) -> String {
        let Some(line) = text.lines().find(|line| line.starts_with("exception: ")) else {
            return text.to_owned();
        };
        let after = |word: &str| {
            let digits = line.split_once(word)?.1.split([',', ' ']).next()?.strip_prefix("0x")?;
            self.name(u32::from_str_radix(digits, 16).ok()?)
        };
        let names = [after(" at "), after(" a0 ")].map(|name| name.unwrap_or("?").to_owned());
        names.join(" <- ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_explained_by_the_functions_of_its_addresses() {
        let symbols = Symbols::parse("40200000 T first\n40200010 t second\n3ffe8000 D data\n");
        let line = "boot\nexception: break (cause 0) at 0x40200012, address 0x00000000, a0 0x40200004, a1 0x3fffb000";
        assert_eq!(symbols.explain(line), "second <- first");
        assert_eq!(symbols.explain("it does not come"), "it does not come");
    }
}
