//! `firmware`: releases on this computer and elsewhere. What is trusted, and why, is decided in `supply`.

mod build;

use std::{collections::BTreeMap, path::Path, time::Duration};

use espbroker_config::image::Target;
use serde::Serialize;

pub(crate) use build::FirmwareError;

use super::Context;
use crate::{
    arguments::{
        FirmwareBundleArguments, FirmwareCommand, FirmwareFetchArguments, FirmwareListArguments,
        FirmwareVerifyArguments, TrustArguments,
    },
    failure::Failure,
    hex::to_hex,
    image_file::Firmware,
    narrator::Narrator,
    supply::{
        self, Bundle, Cache, Date, Judge, Place, Release, Source, SupplyError, Trust, default_source,
        sentence,
    },
    wizard,
};

/// Version of the JSON that these commands print.
const VERSION: u32 = 1;

/// One release as JSON.
#[derive(Serialize)]
struct ReleaseReport {
    version: String,
    place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<Date>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<String>,
    /// `signed`, `program`, `unsigned` or `refused`.
    trust: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct ListReport {
    version: u32,
    releases: Vec<ReleaseReport>,
}

#[derive(Serialize)]
struct FetchReport {
    version: u32,
    /// Whether it was here already.
    kept: bool,
    release: ReleaseReport,
}

#[derive(Serialize)]
struct ImageReport {
    version: u32,
    target: String,
    firmware: String,
    sha256: String,
    trusted: bool,
    origin: String,
}

#[derive(Serialize)]
struct BundleReport {
    version: u32,
    signed: bool,
    firmware: String,
    files: Vec<String>,
}

/// Does what the command says.
///
/// # Errors
///
/// When a release cannot be had or trusted.
pub(crate) fn run(given: &FirmwareCommand, context: &Context) -> Result<(), Failure> {
    match given {
        FirmwareCommand::List(given) => list(given),
        FirmwareCommand::Fetch(given) => fetch(given, context),
        FirmwareCommand::Verify(given) => verify(given, context),
        FirmwareCommand::Bundle(given) => bundle(given, context),
        FirmwareCommand::Build(given) => build::run(given, context),
    }
}

impl ReleaseReport {
    fn of(release: &Release) -> Self {
        let (trust, key) = match &release.trust {
            Trust::Signed { key } => ("signed", Some(key.clone())),
            Trust::Program => ("program", None),
            Trust::Nobody => ("unsigned", None),
        };
        Self {
            version: release.manifest.version.to_string(),
            place: release.place.name(),
            released: Some(release.manifest.released),
            targets: release.manifest.targets.keys().cloned().collect(),
            trust,
            key,
            reason: None,
        }
    }

    fn refused(version: &str, place: &str, error: &SupplyError) -> Self {
        Self {
            version: version.to_owned(),
            place: place.to_owned(),
            released: None,
            targets: Vec::new(),
            trust: "refused",
            key: None,
            reason: Some(sentence(error)),
        }
    }

    fn line(&self) -> String {
        let trust = match (self.trust, &self.key, &self.reason) {
            ("program", ..) => "made by this program".to_owned(),
            (_, Some(key), _) => format!("signed by the key `{key}`"),
            (_, _, Some(reason)) => format!("refused: {reason}"),
            _ => "unsigned".to_owned(),
        };
        let targets = if self.targets.is_empty() { "-".to_owned() } else { self.targets.join(", ") };
        format!("{:10} {targets:20} {trust}; {}\n", self.version, self.place)
    }
}

fn signed(release: Release) -> Result<Release, SupplyError> {
    if release.is_trusted() { Ok(release) } else { Err(SupplyError::Unsigned { what: release.place.name() }) }
}

/// Judges the manifest of a source; its files are still there.
fn ask(source: &Source, judge: &Judge) -> Result<Release, SupplyError> {
    let (manifest, signature) = source.manifest()?;
    let place = Place::Memory { name: source.name(), files: BTreeMap::new() };
    Release::judge(manifest, signature, judge, place)
}

fn list(given: &FirmwareListArguments) -> Result<(), Failure> {
    let judge = Judge::new(&given.key)?;
    let mut releases: Vec<ReleaseReport> = Vec::new();
    let built_in = match supply::built_in_release()? {
        Some(release) => release,
        None => supply::made_release()?,
    };
    releases.push(ReleaseReport::of(&built_in));
    let cache = Cache::of_user()?;
    for (version, release) in cache.releases(&judge)? {
        releases.push(match release {
            Ok(release) => ReleaseReport::of(&release),
            Err(error) => {
                let place = cache.folder().join(version.to_string());
                ReleaseReport::refused(&version.to_string(), &place.display().to_string(), &error)
            }
        });
    }
    if let Some(source) = &given.source {
        let source = Source::new(source, Duration::from_secs(30)).map_err(SupplyError::from)?;
        releases.push(ReleaseReport::of(&ask(&source, &judge)?));
    }
    if given.json {
        return crate::print_json(&ListReport { version: VERSION, releases });
    }
    crate::print(&releases.iter().map(ReleaseReport::line).collect::<String>())
}

fn fetch(given: &FirmwareFetchArguments, context: &Context) -> Result<(), Failure> {
    let judge = Judge::new(&given.key)?;
    let source = given.source.as_deref().or_else(|| default_source()).ok_or(SupplyError::NoSource)?;
    let patience = Duration::from_secs(u64::from(given.patience));
    let source = Source::new(source, patience).map_err(SupplyError::from)?;
    let narrator = Narrator::new(context.screen);
    let release = narrator.step("manifest", "asking for the newest release", || {
        let release = signed(ask(&source, &judge)?)?;
        let said = format!("release {} of {}", release.manifest.version, release.manifest.released);
        Ok::<_, SupplyError>((release, said))
    })?;
    agree_to_older(&release, &judge, given.yes, context)?;
    let cache = Cache::of_user()?;
    if let Some(kept) = kept(&cache, &release, &judge)? {
        return report_fetch(&kept, true, given.json);
    }
    let release = narrator.step("download", "downloading", || {
        let mut progress = |file: &str, done: u64, total: u64| {
            narrator.doing(file);
            narrator.progress(done, total);
        };
        let release = cache.fetch(&source, release, &context.cancel, &mut progress)?;
        Ok::<_, SupplyError>((release, "every file is what was signed".to_owned()))
    })?;
    report_fetch(&release, false, given.json)
}

fn report_fetch(release: &Release, kept: bool, json: bool) -> Result<(), Failure> {
    let release = ReleaseReport::of(release);
    if json {
        return crate::print_json(&FetchReport { version: VERSION, kept, release });
    }
    crate::print(&format!("{}{}", if kept { "here already: " } else { "fetched: " }, release.line()))
}

/// Asks before a release is taken that is older than one that is here: an old one may have flaws that are known.
fn agree_to_older(release: &Release, judge: &Judge, yes: bool, context: &Context) -> Result<(), Failure> {
    let found = &release.manifest.version;
    let known =
        supply::trusted(judge, context.screen)?.into_iter().map(|release| release.manifest.version).max();
    let Some(known) = known.filter(|known| known > found && !yes) else { return Ok(()) };
    let older = SupplyError::Older { found: found.clone(), known };
    if !context.screen.can_ask() {
        return Err(older.into());
    }
    context.screen.warning(older.to_string());
    if wizard::confirm("Take the older one")? { Ok(()) } else { Err(wizard::WizardError::Declined.into()) }
}

/// The same release in the cache, if it is there and whole.
fn kept(cache: &Cache, release: &Release, judge: &Judge) -> Result<Option<Release>, SupplyError> {
    let here = cache.releases(judge)?.into_iter().filter_map(|(_, here)| here.ok());
    Ok(here
        .filter(|here| here.manifest_bytes == release.manifest_bytes)
        .find(|here| here.is_trusted() && here.check().is_ok()))
}

fn verify(given: &FirmwareVerifyArguments, context: &Context) -> Result<(), Failure> {
    match &given.path {
        Some(path) if path.is_dir() => {
            let release = Release::open(path, &Judge::new(&given.trust.key)?)?;
            let release = if given.trust.allow_unsigned { release } else { signed(release)? };
            report_verified(&[check(release)?], given.json)
        }
        Some(path) => verify_image(path, &given.trust, given.json, context),
        None => {
            let judge = Judge::new(&given.trust.key)?;
            let mut releases = vec![check(supply::made_release()?)?];
            if let Some(release) = supply::built_in_release()? {
                releases.push(check(release)?);
            }
            for (_, release) in Cache::of_user()?.releases(&judge)? {
                releases.push(check(signed(release?)?)?);
            }
            report_verified(&releases, given.json)
        }
    }
}

fn check(release: Release) -> Result<Release, SupplyError> {
    release.check().map(|()| release)
}

fn report_verified(releases: &[Release], json: bool) -> Result<(), Failure> {
    let releases: Vec<_> = releases.iter().map(ReleaseReport::of).collect();
    if json {
        return crate::print_json(&ListReport { version: VERSION, releases });
    }
    crate::print(&releases.iter().map(|release| format!("whole: {}", release.line())).collect::<String>())
}

fn verify_image(path: &Path, trust: &TrustArguments, json: bool, context: &Context) -> Result<(), Failure> {
    let image = supply::named(path, trust, context.screen)?;
    let Firmware { descriptor, origin, trusted, .. } = image;
    let report = ImageReport {
        version: VERSION,
        target: descriptor.target.to_string(),
        firmware: descriptor.version,
        sha256: to_hex(&descriptor.digest, ""),
        trusted,
        origin,
    };
    if json {
        return crate::print_json(&report);
    }
    crate::print(&format!("whole: {} for {}: {}\n", report.firmware, report.target, report.origin))
}

fn bundle(given: &FirmwareBundleArguments, context: &Context) -> Result<(), Failure> {
    let judge = Judge::new(&given.key)?;
    let (bundle, signed) = if given.images.is_empty() {
        let release =
            supply::trusted(&judge, context.screen)?.into_iter().next().ok_or(SupplyError::Nothing)?;
        (Bundle::of_release(&release)?, true)
    } else {
        let images = given.images.iter().map(|path| Firmware::read(path)).collect::<Result<_, _>>()?;
        let minimum_tool = given.minimum_tool.clone().unwrap_or(judge.tool);
        let released = given.released.unwrap_or(judge.today);
        (Bundle::of_images(images, minimum_tool, released)?, false)
    };
    bundle.write(&given.folder).map_err(SupplyError::from)?;
    let version = &bundle.manifest.version;
    if !bundle.manifest.targets.contains_key(&Target::Esp8266.to_string()) {
        context.screen.warning("no image for a real ESP8266 in it, so nothing for ESP Web Tools either");
    }
    if given.json {
        let files = bundle.files().map(str::to_owned).collect();
        let firmware = version.to_string();
        return crate::print_json(&BundleReport { version: VERSION, signed, firmware, files });
    }
    let mut text: String = bundle.files().map(|file| format!("{file}\n")).collect();
    if !signed {
        context
            .screen
            .line("Not signed yet: `minisign -Sm manifest.json` in that folder, with your release key.");
    }
    text.insert_str(0, &format!("release {version} in {}:\n", given.folder.display()));
    crate::print(&text)
}
