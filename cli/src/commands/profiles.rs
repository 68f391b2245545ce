//! `profiles`: the boards that ship with the program.

use serde::Serialize;

use crate::{arguments::ProfilesArguments, failure::Failure, profiles, wizard::WizardError};

/// One board as JSON.
#[derive(Serialize)]
struct ProfileReport {
    id: String,
    title: String,
    flash_mb: u32,
    mains: bool,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    pins: Vec<PinReport>,
}

#[derive(Serialize)]
struct PinReport {
    gpio: u8,
    function: String,
    inverted: bool,
    source: String,
}

/// Lists the boards.
///
/// # Errors
///
/// When stdout is closed.
pub(crate) fn run(given: &ProfilesArguments) -> Result<(), Failure> {
    let known = profiles::all().map_err(|error| WizardError::Profiles(Box::new(error)))?;
    if given.json {
        let reports: Vec<ProfileReport> = known.into_iter().map(report).collect();
        return crate::print_json(&reports);
    }
    for profile in known {
        let mains = if profile.mains { "  (mains: flash only unplugged)" } else { "" };
        crate::print(&format!("{:14} {}{mains}\n", profile.id, profile.title))?;
        if let Some(notes) = &profile.notes {
            crate::print(&format!("{:14} {notes}\n", ""))?;
        }
    }
    Ok(())
}

fn report(profile: profiles::Profile) -> ProfileReport {
    ProfileReport {
        id: profile.id,
        title: profile.title,
        flash_mb: profile.flash_mb,
        mains: profile.mains,
        source: profile.source,
        notes: profile.notes,
        pins: profile
            .pins
            .into_iter()
            .map(|pin| PinReport {
                gpio: pin.gpio,
                function: pin.function.0.to_string(),
                inverted: pin.inverted,
                source: pin.source,
            })
            .collect(),
    }
}
