//! Programs that are in the repository as they were built: image and SHA-256, written or compared.

use std::{fs, path::PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{lx106::build, process::Failure};

/// What is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The program's folder.
    pub(crate) program: &'static str,
    /// The file's name; that of the digest has `.sha256` behind it.
    pub(crate) image: &'static str,
    /// The task that writes it.
    pub(crate) task: &'static str,
}

impl Kept {
    fn path(&self) -> PathBuf {
        build::workspace().join(self.program).join(self.image)
    }

    fn digest_path(&self) -> PathBuf {
        self.path().with_added_extension("sha256")
    }

    /// As `sha256sum` prints it, and checks it with `-c`.
    fn digest_line(&self, image: &[u8]) -> String {
        let digest: String = Sha256::digest(image).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{digest}  {}\n", self.image)
    }
}

/// Writes image and digest.
///
/// # Errors
///
/// When the files cannot be written.
pub(crate) fn write(kept: &Kept, image: &[u8]) -> Result<(), Failure> {
    fs::write(kept.path(), image)?;
    fs::write(kept.digest_path(), kept.digest_line(image))?;
    println!("{}: {} bytes", kept.image, image.len());
    Ok(())
}

/// Compares what was built with the files.
///
/// # Errors
///
/// When a byte differs, or the digest is another one's.
pub(crate) fn check(kept: &Kept, built: &[u8]) -> Result<(), Failure> {
    let Kept { image: name, task, .. } = kept;
    let image = fs::read(kept.path())?;
    if fs::read_to_string(kept.digest_path())? != kept.digest_line(&image) {
        return Err(format!("{name}.sha256 is not the digest of {name}: cargo xtask lx106 {task}").into());
    }
    if built != image {
        let same = built.iter().zip(&image).take_while(|(built, kept)| built == kept).count();
        let (built, kept) = (built.len(), image.len());
        return Err(format!(
            "{name} has {kept} bytes, its source makes {built}, and the first {same} are the same: cargo xtask \
             lx106 {task}"
        )
        .into());
    }
    println!("{name}: {} bytes, as its source makes them", image.len());
    Ok(())
}
