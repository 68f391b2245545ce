//! What an image may cost, from `firmware/lx106/budget.toml`.

use std::{collections::BTreeMap, fs};

use serde::Deserialize;

use crate::{lx106::build, process::Failure};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    esp8266: Figures,
    device: Device,
}

/// Of the whole program. All but the heap are upper bounds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figures {
    pub(crate) instruction_ram: u32,
    pub(crate) data: u32,
    pub(crate) zeroed: u32,
    pub(crate) heap_at_link: u32,
    pub(crate) flash: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    flash: u32,
    data_ram: u32,
}

impl Budget {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it is not there or has other fields.
    pub(crate) fn read() -> Result<Self, Failure> {
        Ok(toml::from_str(&fs::read_to_string(build::workspace().join("budget.toml"))?)?)
    }

    /// Prints what a linked program costs.
    ///
    /// # Errors
    ///
    /// The first figure that is over its bound.
    pub(crate) fn check_program(&self, found: &Figures) -> Result<(), Failure> {
        let bound = &self.esp8266;
        at_most("instruction RAM", found.instruction_ram, bound.instruction_ram)?;
        at_most("data", found.data, bound.data)?;
        at_most("zeroed data", found.zeroed, bound.zeroed)?;
        at_most("flash", found.flash, bound.flash)?;
        println!("heap at link: {} bytes, at least {}", found.heap_at_link, bound.heap_at_link);
        if found.heap_at_link < bound.heap_at_link {
            return Err(format!(
                "heap at link is less than {} bytes: {}",
                bound.heap_at_link, found.heap_at_link
            )
            .into());
        }
        Ok(())
    }

    /// Prints what the device's object costs.
    ///
    /// # Errors
    ///
    /// As [`Self::check_program`].
    pub(crate) fn check_object(&self, sections: &BTreeMap<String, u32>) -> Result<(), Failure> {
        let size = |name: &str| sections.get(name).copied().unwrap_or(0);
        at_most(
            "the device's code and constants",
            size(".irom0.text") + size(".irom.text"),
            self.device.flash,
        )?;
        at_most("the device's statics", size(".data") + size(".bss"), self.device.data_ram)
    }
}

fn at_most(what: &str, found: u32, bound: u32) -> Result<(), Failure> {
    println!("{what}: {found} bytes of {bound}");
    if found <= bound { Ok(()) } else { Err(format!("{what} is more than {bound} bytes: {found}").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_over_its_budget_is_refused() {
        let budget = Budget::read().unwrap();
        let mut figures = budget.esp8266;
        budget.check_program(&figures).unwrap();
        figures.instruction_ram += 1;
        assert!(budget.check_program(&figures).is_err());
        let mut figures = budget.esp8266;
        figures.heap_at_link -= 1;
        assert!(budget.check_program(&figures).is_err());
    }
}
