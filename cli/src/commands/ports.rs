//! `ports`: what is plugged in, likely ones first.

use espbroker_flasher::{
    FlasherError,
    ports::{self, Likelihood, PortInfo},
};
use serde::Serialize;

use super::Context;
use crate::{arguments::PortsArguments, device::describe, failure::Failure};

/// One port as JSON.
#[derive(Serialize)]
struct PortReport {
    name: String,
    likely: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usb: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

impl From<&PortInfo> for PortReport {
    fn from(port: &PortInfo) -> Self {
        let usb = port.usb.as_ref();
        Self {
            name: port.name.clone(),
            likely: port.likelihood == Likelihood::Likely,
            adapter: usb.and_then(|usb| usb.adapter.map(str::to_owned).or_else(|| usb.description.clone())),
            usb: usb.map(|usb| format!("{:04x}:{:04x}", usb.vendor, usb.product)),
            serial: usb.and_then(|usb| usb.serial.clone()),
            location: usb.and_then(|usb| usb.location.clone()),
        }
    }
}

/// Lists the ports.
///
/// # Errors
///
/// When the operating system cannot list them.
pub(crate) fn run(given: &PortsArguments, context: &Context) -> Result<(), Failure> {
    let mut ports = ports::list().map_err(FlasherError::from)?;
    ports.sort_by(|a, b| b.likelihood.cmp(&a.likelihood).then_with(|| a.name.cmp(&b.name)));
    if given.json {
        let reports: Vec<PortReport> = ports.iter().map(PortReport::from).collect();
        return crate::print_json(&reports);
    }
    for port in &ports {
        let mark = match port.likelihood {
            Likelihood::Likely => "likely",
            Likelihood::Possible => "possible",
            Likelihood::Unlikely => "unlikely",
        };
        crate::print(&format!("{mark:9} {}\n", describe(port)))?;
    }
    if ports.is_empty() {
        context.screen.line("No serial ports. Is the board connected with a cable that has data wires?");
    }
    Ok(())
}
