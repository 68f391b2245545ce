//! Where releases come from: a folder, or an address of HTTP.
//!
//! A download goes on where an earlier one stopped (RFC 9110 §14, `Range`), in this run or in a later one: its bytes
//! lie in a file that is named by the digest they must have, so that they can never be mixed with another file's.
//! Nothing here is believed; a file counts when its SHA-256 is that of a manifest that was signed.

use std::{
    error::Error as _,
    fs,
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use espbroker_flasher::cancel::Cancel;
use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    header,
};

use super::{
    SupplyError,
    manifest::{MANIFEST_FILE, MANIFEST_MAX, Part, SIGNATURE_FILE},
    release::{PartError, read_at_most},
};

/// How often a file is asked for again when its download ends early.
const ATTEMPTS: u32 = 4;
/// Bytes between two looks at Ctrl-C.
const STEP: usize = 16 * 1024;

/// A place that holds one release.
#[derive(Debug)]
pub(crate) enum Source {
    /// A folder.
    Folder(PathBuf),
    /// The address of a folder.
    Http { address: String, client: Client },
}

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("cannot reach `{url}`")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the server does not have `{url}`")]
    NotThere { url: String },
    #[error("the server answers with {status} for `{url}`")]
    Status { url: String, status: u16 },
    #[error("the download stands still: {found} of {stated} bytes of `{file}`")]
    Stalled { file: String, stated: u32, found: u64 },
    #[error("the download ended early, {attempts} times: {found} of {stated} bytes of `{file}`")]
    EndedEarly { file: String, stated: u32, found: u64, attempts: u32 },
    #[error("answer is longer than {MANIFEST_MAX} bytes: `{url}`")]
    TooLong { url: String },
    #[error(transparent)]
    Part(#[from] PartError),
    #[error("cannot keep the download in `{}`", path.display())]
    Keep {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("stopped")]
    Stopped,
}

/// How one attempt at a download ended.
enum Attempt {
    /// With everything there is.
    Ended,
    /// The line was cut.
    Cut,
    /// Nothing came for too long.
    Stalled,
    /// The server says that there is nothing from here on.
    Beyond,
}

impl Source {
    /// A source as users write it; `patience` is how long a server may say nothing.
    ///
    /// # Errors
    ///
    /// When the operating system gives no HTTP client.
    pub(crate) fn new(text: &str, patience: Duration) -> Result<Self, FetchError> {
        if !(text.starts_with("http://") || text.starts_with("https://")) {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        // Fails when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("espbroker/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience)
            // For the answer's head, and then for each read.
            .timeout(patience)
            .build()
            .map_err(FetchError::Client)?;
        Ok(Self::Http { address: text.trim_end_matches('/').to_owned(), client })
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Http { address, .. } => address.clone(),
        }
    }

    /// The manifest and its signature, not judged.
    ///
    /// # Errors
    ///
    /// When the source has no manifest or does not answer.
    pub(crate) fn manifest(&self) -> Result<(Vec<u8>, Option<String>), SupplyError> {
        let manifest =
            self.small(MANIFEST_FILE)?.ok_or_else(|| SupplyError::NoManifest { place: self.name() })?;
        let signature = self.small(SIGNATURE_FILE)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok((manifest, signature))
    }

    /// A small file; `None` when it is not there.
    fn small(&self, name: &str) -> Result<Option<Vec<u8>>, SupplyError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                read_at_most(&path, MANIFEST_MAX + 1)
                    .map_err(|source| SupplyError::Read { path: path.display().to_string(), source })
            }
            Self::Http { address, client } => {
                let url = format!("{address}/{name}");
                match get(client, &url, 0) {
                    Err(FetchError::NotThere { .. }) => Ok(None),
                    Err(error) => Err(error.into()),
                    Ok(response) => Ok(Some(body(response, url)?)),
                }
            }
        }
    }

    /// Brings a file to `partial`, whole and measured; what is there already of it is kept.
    ///
    /// # Errors
    ///
    /// When it cannot be had or is another; what was downloaded of the right file is then still there.
    pub(crate) fn part(
        &self,
        part: &Part,
        partial: &Path,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), FetchError> {
        let keep_error = |source| FetchError::Keep { path: partial.to_owned(), source };
        let mut file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(partial)
            .map_err(keep_error)?;
        let mut resumed = file.metadata().map_err(keep_error)?.len() > 0;
        loop {
            match self.complete(part, &mut file, partial, cancel, progress) {
                // What an earlier run left was not the beginning of this file.
                Err(FetchError::Part(PartError::Digest { .. } | PartError::TooLong { .. })) if resumed => {
                    file.set_len(0).map_err(keep_error)?;
                    resumed = false;
                }
                Err(error @ FetchError::Part(_)) => {
                    file.set_len(0).map_err(keep_error)?;
                    return Err(error);
                }
                Err(error) => return Err(error),
                Ok(()) => return file.sync_all().map_err(keep_error),
            }
        }
    }

    /// Adds what is missing, and measures the whole.
    fn complete(
        &self,
        part: &Part,
        file: &mut fs::File,
        path: &Path,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), FetchError> {
        let keep_error = |source| FetchError::Keep { path: path.to_owned(), source };
        let (name, stated) = (part.file.clone(), part.size);
        for attempt in 1..=ATTEMPTS {
            let found = file.seek(SeekFrom::End(0)).map_err(keep_error)?;
            if found >= u64::from(stated) {
                break;
            }
            let ended = match self {
                Self::Folder(folder) => copy(&folder.join(&name), part, file, path)?,
                Self::Http { address, client } => {
                    download(client, &format!("{address}/{name}"), part, file, path, cancel, progress)?
                }
            };
            let found = file.metadata().map_err(keep_error)?.len();
            match ended {
                Attempt::Stalled => return Err(FetchError::Stalled { file: name, stated, found }),
                Attempt::Beyond => return Err(PartError::CutShort { file: name, stated, found }.into()),
                // The server hung up where its file ends, or for another reason: the next answer tells.
                Attempt::Ended => {}
                Attempt::Cut if attempt == ATTEMPTS => {
                    return Err(FetchError::EndedEarly { file: name, stated, found, attempts: ATTEMPTS });
                }
                Attempt::Cut => {}
            }
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(keep_error)?;
        Ok(part.measure(&bytes)?)
    }
}

/// Copies a whole file.
fn copy(from: &Path, part: &Part, file: &mut fs::File, path: &Path) -> Result<Attempt, FetchError> {
    let read_error = |source| PartError::Read { file: part.file.clone(), source };
    let most = usize::try_from(part.size).unwrap_or(usize::MAX).saturating_add(1);
    let bytes = read_at_most(from, most)
        .map_err(read_error)?
        .ok_or_else(|| read_error(io::ErrorKind::NotFound.into()))?;
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(&bytes))
        .map_err(|source| FetchError::Keep { path: path.to_owned(), source })?;
    part.measure(&bytes)?;
    Ok(Attempt::Ended)
}

/// Downloads what comes behind the end of `file`.
fn download(
    client: &Client,
    url: &str,
    part: &Part,
    file: &mut fs::File,
    path: &Path,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Attempt, FetchError> {
    let keep_error = |source| FetchError::Keep { path: path.to_owned(), source };
    let stated = u64::from(part.size);
    let mut found = file.seek(SeekFrom::End(0)).map_err(keep_error)?;
    let mut response = match get(client, url, found) {
        Ok(response) => response,
        Err(FetchError::Status { status: 416, .. }) => return Ok(Attempt::Beyond),
        // The first answer decides whether there is a server; later ones are about the line.
        Err(FetchError::Unreachable { source, .. }) if found > 0 => {
            return Ok(if source.is_timeout() { Attempt::Stalled } else { Attempt::Cut });
        }
        Err(error) => return Err(error),
    };
    if found > 0 && !goes_on_at(&response, found) {
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(keep_error)?;
        found = 0;
    }
    let mut buffer = vec![0; STEP];
    loop {
        if cancel.is_cancelled() {
            return Err(FetchError::Stopped);
        }
        progress(found, stated);
        let bytes = match response.read(&mut buffer) {
            Ok(0) => return Ok(Attempt::Ended),
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if is_timeout(&error) => return Ok(Attempt::Stalled),
            Err(_) => return Ok(Attempt::Cut),
        };
        found += bytes.len() as u64;
        file.write_all(bytes).map_err(keep_error)?;
        if found > stated {
            return Ok(Attempt::Ended);
        }
    }
}

/// Asks for a file from `offset` on.
fn get(client: &Client, url: &str, offset: u64) -> Result<Response, FetchError> {
    // Compressed on the way, a file would have other offsets.
    let mut request = client.get(url).header(header::ACCEPT_ENCODING, "identity");
    if offset > 0 {
        request = request.header(header::RANGE, format!("bytes={offset}-"));
    }
    let url = url.to_owned();
    let response = request
        .send()
        .map_err(|source| FetchError::Unreachable { url: url.clone(), source: source.without_url() })?;
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(FetchError::NotThere { url }),
        status => Err(FetchError::Status { url, status: status.as_u16() }),
    }
}

/// Whether this is the rest of the file from `offset` on (RFC 9110 §14.4), and not all of it again.
fn goes_on_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|text| text.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    response.status() == StatusCode::PARTIAL_CONTENT && start == Some(offset)
}

/// A short body.
fn body(response: Response, url: String) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    let result = response.take(MANIFEST_MAX as u64 + 1).read_to_end(&mut bytes);
    let stated = u32::try_from(MANIFEST_MAX).unwrap_or(u32::MAX);
    match result {
        Ok(_) if bytes.len() > MANIFEST_MAX => Err(FetchError::TooLong { url }),
        Ok(_) => Ok(bytes),
        Err(error) if is_timeout(&error) => {
            Err(FetchError::Stalled { file: url, stated, found: bytes.len() as u64 })
        }
        Err(_) => Err(FetchError::EndedEarly { file: url, stated, found: bytes.len() as u64, attempts: 1 }),
    }
}

/// Whether a read ended because nothing came.
fn is_timeout(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    let says_so = inner.is_some_and(|inner| {
        let mut cause = inner.source();
        let mut found = inner.is_timeout();
        while let Some(error) = cause {
            found |= error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
            cause = error.source();
        }
        found
    });
    error.kind() == io::ErrorKind::TimedOut || says_so
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::testing::{Folder, Server, Signer, Vice, manifest};

    /// Long enough for a busy machine, where a test does not wait for it to pass.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Several steps long, and the same every time.
    fn content() -> Vec<u8> {
        (0..100_000_u32).map(|index| index.to_le_bytes()[usize::from(index % 3 == 0)]).collect()
    }

    struct Fetch {
        server: Server,
        part: Part,
        folder: Folder,
        patience: Duration,
    }

    impl Fetch {
        fn new(vice: Vice) -> Self {
            let content = content();
            let manifest = manifest("0.2.0", &[("image.bin", 0, &content)]);
            let part = manifest.parts().next().unwrap().clone();
            let server = Server::start([("image.bin".to_owned(), content)].into(), vice);
            Self { server, part, folder: Folder::new(), patience: PATIENCE }
        }

        /// With this much of the file, or of another, from an earlier run.
        fn with(self, before: &[u8]) -> Self {
            self.folder.write("partial", before);
            self
        }

        fn run(&self) -> Result<Vec<u8>, FetchError> {
            let source = Source::new(self.server.address(), self.patience).unwrap();
            let result = source.part(
                &self.part,
                &self.folder.path().join("partial"),
                &Cancel::default(),
                &mut |_, _| {},
            );
            result.map(|()| self.kept())
        }

        fn kept(&self) -> Vec<u8> {
            fs::read(self.folder.path().join("partial")).unwrap()
        }
    }

    #[test]
    fn a_file_comes_in_one_piece() {
        let fetch = Fetch::new(Vice::None);
        assert!(fetch.run().unwrap() == content());
        assert_eq!(fetch.server.requests(), ["image.bin from 0"]);
        assert!(fetch.run().unwrap() == content());
        assert_eq!(fetch.server.requests().len(), 1, "what is whole is not asked for again");
    }

    #[test]
    fn a_download_goes_on_where_an_earlier_run_stopped() {
        let fetch = Fetch::new(Vice::None).with(&content()[..70_001]);
        assert!(fetch.run().unwrap() == content());
        assert_eq!(fetch.server.requests(), ["image.bin from 70001"]);
    }

    #[test]
    fn a_line_that_is_cut_again_and_again_gives_the_file_or_keeps_what_it_gave() {
        let fetch = Fetch::new(Vice::HangsUp(40_000));
        assert!(fetch.run().unwrap() == content());
        assert_eq!(
            fetch.server.requests(),
            ["image.bin from 0", "image.bin from 40000", "image.bin from 80000"]
        );
        let fetch = Fetch::new(Vice::HangsUp(10_000));
        let error = fetch.run().unwrap_err();
        assert!(matches!(error, FetchError::EndedEarly { found: 40_000, attempts: 4, .. }), "{error}");
        assert!(fetch.kept() == content()[..40_000]);
    }

    #[test]
    fn a_server_without_ranges_gives_the_file_from_its_beginning() {
        let fetch = Fetch::new(Vice::KnowsNoRanges).with(&content()[..70_001]);
        assert!(fetch.run().unwrap() == content());
    }

    #[test]
    fn what_an_earlier_run_left_of_another_file_is_thrown_away() {
        for before in [vec![7; 500], vec![7; 100_000], vec![7; 100_001]] {
            let fetch = Fetch::new(Vice::None).with(&before);
            assert!(fetch.run().unwrap() == content(), "{}", before.len());
        }
    }

    #[test]
    fn a_server_that_falls_silent_is_given_up_and_what_came_is_kept() {
        let mut fetch = Fetch::new(Vice::FallsSilent(50_000));
        fetch.patience = Duration::from_millis(300);
        let error = fetch.run().unwrap_err();
        assert!(matches!(error, FetchError::Stalled { found: 50_000, .. }), "{error}");
        fetch.patience = PATIENCE;
        assert!(fetch.run().unwrap() == content());
        assert_eq!(fetch.server.requests(), ["image.bin from 0", "image.bin from 50000"]);
    }

    #[test]
    fn a_file_that_is_cut_on_the_server_is_told_from_a_line_that_was_cut() {
        let fetch = Fetch::new(Vice::Truncated(60_000));
        let error = fetch.run().unwrap_err();
        assert!(matches!(error, FetchError::Part(PartError::CutShort { found: 60_000, .. })), "{error}");
        assert!(fetch.kept().is_empty(), "a file that cannot become the right one is not kept");
    }

    #[test]
    fn a_longer_or_changed_file_is_refused_and_not_kept() {
        let fetch = Fetch::new(Vice::Longer);
        assert!(matches!(fetch.run(), Err(FetchError::Part(PartError::TooLong { .. }))));
        assert!(fetch.kept().is_empty());
        let mut fetch = Fetch::new(Vice::None);
        fetch.part.sha256.0[0] ^= 1;
        assert!(matches!(fetch.run(), Err(FetchError::Part(PartError::Digest { .. }))));
        assert!(fetch.kept().is_empty());
    }

    #[test]
    fn refusals_of_the_server_are_told_apart() {
        assert!(matches!(Fetch::new(Vice::Status(404)).run(), Err(FetchError::NotThere { .. })));
        assert!(matches!(Fetch::new(Vice::Status(503)).run(), Err(FetchError::Status { status: 503, .. })));
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let source = Source::new(&format!("http://{nobody}"), PATIENCE).unwrap();
        assert!(matches!(source.manifest(), Err(SupplyError::Fetch(FetchError::Unreachable { .. }))));
    }

    #[test]
    fn a_manifest_is_taken_with_its_signature_or_without_and_never_without_end() {
        let signer = Signer::new("2029-06-30");
        let folder = Folder::release(&signer, b"image");
        let mut files = folder.files();
        let fetch =
            |files| Source::new(Server::start(files, Vice::None).address(), PATIENCE).unwrap().manifest();
        assert!(matches!(fetch(files.clone()), Ok((_, Some(_)))));
        files.remove(SIGNATURE_FILE);
        assert!(matches!(fetch(files.clone()), Ok((_, None))));
        files.insert(MANIFEST_FILE.to_owned(), vec![b' '; MANIFEST_MAX + 1]);
        assert!(matches!(fetch(files.clone()), Err(SupplyError::Fetch(FetchError::TooLong { .. }))));
        files.remove(MANIFEST_FILE);
        assert!(matches!(fetch(files), Err(SupplyError::NoManifest { .. })));
    }

    #[test]
    fn a_download_ends_with_ctrl_c() {
        let fetch = Fetch::new(Vice::None);
        let source = Source::new(fetch.server.address(), PATIENCE).unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        let partial = fetch.folder.path().join("partial");
        assert!(matches!(
            source.part(&fetch.part, &partial, &cancel, &mut |_, _| {}),
            Err(FetchError::Stopped)
        ));
    }
}
