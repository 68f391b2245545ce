//! Images: each read, checked and compressed once, and shared by all workers.

use std::sync::{Arc, Mutex, PoisonError};

use espbroker_config::image::Target;
use espbroker_flasher::Prepared;

use crate::{
    arguments::BatchArguments,
    failure::Failure,
    image_file::Firmware,
    screen::Screen,
    setup::{SetupError, image_region},
    supply,
};

/// An image, ready to be sent.
pub(super) struct Image {
    pub(super) firmware: Firmware,
    /// What a blank device gets, compressed on a thread of its own.
    pub(super) prepared: Prepared,
}

impl Image {
    fn new(firmware: Firmware) -> Arc<Self> {
        let prepared = Prepared::new(&image_region(&firmware));
        Arc::new(Self { firmware, prepared })
    }
}

/// The image that the user named, or the newest for each kind of machine that was met.
pub(super) struct Images<'a> {
    given: &'a BatchArguments,
    screen: Screen,
    named: Option<Arc<Image>>,
    met: Mutex<Vec<(Target, Arc<Image>)>>,
}

impl<'a> Images<'a> {
    /// Takes the image that was named, if one was.
    ///
    /// # Errors
    ///
    /// When it is no image, or nobody vouches for it.
    pub(super) fn new(given: &'a BatchArguments, screen: Screen) -> Result<Self, Failure> {
        let named = given.image.as_ref().map(|path| supply::named(path, &given.trust, screen)).transpose()?;
        Ok(Self { given, screen, named: named.map(Image::new), met: Mutex::default() })
    }

    /// The image for this kind of machine; whoever comes while it is looked for waits.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn image(&self, machine: Target) -> Result<Arc<Image>, Failure> {
        if let Some(named) = &self.named {
            return Ok(Arc::clone(named));
        }
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, image)) = met.iter().find(|(target, _)| *target == machine) {
            return Ok(Arc::clone(image));
        }
        let firmware = supply::newest(machine, &self.given.trust, self.screen)?.ok_or(SetupError::NoImage)?;
        let image = Image::new(firmware);
        met.push((machine, Arc::clone(&image)));
        Ok(image)
    }
}
