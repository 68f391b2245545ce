//! `simulate`: a virtual ESP8266 behind RFC 2217 or a pseudo terminal, for any serial flashing tool.
//!
//! The first line on stdout names the port, as esptool takes it; everything else goes to stderr.

use std::net::{Ipv4Addr, SocketAddr};

use espbroker_virtual_device::VirtualDevice;

use super::{Context, save_private};
use crate::{
    arguments::SimulateArguments,
    failure::Failure,
    simulation::{self, Access, SimulationError},
    supply,
};

/// Where RFC 2217 is served when nothing else is asked for: any free port, this computer only.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Serves until Ctrl-C.
///
/// # Errors
///
/// When the flash file or the address cannot be used.
pub(crate) fn run(given: &SimulateArguments, context: &Context) -> Result<(), Failure> {
    if let Some(path) = &given.write_image {
        save_private(path, &supply::for_virtual_device()?.bytes)?;
        context.screen.line(format!("Image for the virtual device written to `{}`.", path.display()));
    }
    let access = if given.pty && given.rfc2217.is_none() { Access::Terminal } else { Access::Server };
    let device = simulation::start(&given.simulation, given.execute, given.flash.as_deref(), None, access)?;
    let address = given.rfc2217.or((!given.pty).then_some(ADDRESS));
    let served = address
        .map(|address| {
            device
                .serve_rfc2217(address)
                .map_err(|source| SimulationError::Serve { address: address.to_string(), source })
        })
        .transpose()?;
    if let Some(served) = &served {
        crate::print(&format!("rfc2217://{}\n", served.address()))?;
    }
    let _terminal = serve_pty(given.pty, &device)?;
    context.screen.line("A virtual ESP8266 is plugged in there; Ctrl-C unplugs it.");
    simulation::hold(&device, &context.cancel);
    simulation::warn_if_not_saved(&device, context.screen);
    Ok(())
}

#[cfg(unix)]
fn serve_pty(
    wanted: bool,
    device: &VirtualDevice,
) -> Result<Option<espbroker_virtual_device::ServedPty>, Failure> {
    if !wanted {
        return Ok(None);
    }
    let served = device
        .serve_pty()
        .map_err(|source| SimulationError::Serve { address: "a pseudo terminal".to_owned(), source })?;
    crate::print(&format!("{}\n", served.path().display()))?;
    Ok(Some(served))
}

#[cfg(not(unix))]
fn serve_pty(wanted: bool, _device: &VirtualDevice) -> Result<Option<()>, Failure> {
    if !wanted {
        return Ok(None);
    }
    let source = std::io::Error::new(std::io::ErrorKind::Unsupported, "there are none on this system");
    Err(SimulationError::Serve { address: "a pseudo terminal".to_owned(), source }.into())
}
