//! `verify`: does the device hold this image?
//!
//! A stub answers with digests. The boot ROM cannot; the firmware is started instead, measures itself, and its answer
//! is compared here.

use espbroker_flasher::{FlasherError, verify::Verified};
use serde::Serialize;

use super::{CommandError, Context, with_device};
use crate::{
    arguments::VerifyArguments,
    failure::Failure,
    hex::to_hex,
    image_file::Firmware,
    setup::{image_region, measured},
};

#[derive(Serialize)]
struct VerifyReport {
    version: u32,
    matches: bool,
    by: &'static str,
    sha256: String,
}

/// Compares, and says who did.
///
/// # Errors
///
/// [`CommandError::Differs`] when the device's answer is no; the flasher's when it could not be found out.
pub(crate) fn run(given: &VerifyArguments, context: &Context) -> Result<(), Failure> {
    let firmware = Firmware::read(&given.image)?;
    with_device(&given.device, &given.loader, context, |mut session, _, narrator| {
        narrator.begin("verify", "comparing");
        let by = match session.verify(&image_region(&firmware)).map_err(FlasherError::from)? {
            Verified::Matches => "loader",
            Verified::Differs(difference) => {
                return Err(CommandError::Differs { offset: difference.offset }.into());
            }
            Verified::NotPossibleOnRom => {
                let found = measured(session.into_console(), narrator)?;
                if found != (firmware.descriptor.length, firmware.descriptor.digest) {
                    return Err(CommandError::DigestDiffers { found: to_hex(&found.1, "") }.into());
                }
                "firmware"
            }
        };
        narrator.end(&format!("equal, measured by the {by}"));
        let sha256 = to_hex(&firmware.descriptor.digest, "");
        if given.json {
            return crate::print_json(&VerifyReport { version: 1, matches: true, by, sha256 });
        }
        crate::print(&format!("equal: the {by} measured the image {sha256}\n"))
    })
}
