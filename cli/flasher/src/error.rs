//! [`FlasherError`]: one error around the error of every stage.

use crate::boot::BootError;
use crate::connect::ConnectError;
use crate::erase::EraseError;
use crate::identify::IdentifyError;
use crate::link::CommandError;
use crate::ports::ListError;
use crate::program::ProgramError;
use crate::read::ReadError;
use crate::start::StubError;
use crate::stub::StubFileError;
use crate::transport::TransportError;
use crate::verify::VerifyError;

/// Anything that can go wrong between a host and a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlasherError {
    /// The port could not be opened.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The host's ports cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The loader was not found.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The chip could not be identified, or is another one.
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// The stub file is none.
    #[error(transparent)]
    StubFile(#[from] StubFileError),
    /// The stub could not be started and the device is lost.
    #[error(transparent)]
    Stub(#[from] StubError),
    /// Erasing failed.
    #[error(transparent)]
    Erase(#[from] EraseError),
    /// Writing failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// It could not be found out whether the flash holds what it should.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The firmware cannot be heard.
    #[error(transparent)]
    Boot(#[from] BootError),
}

impl FlasherError {
    /// The port's failure, whatever stage it ended.
    pub fn transport(&self) -> Option<&TransportError> {
        match self {
            Self::Transport(error) | Self::Boot(BootError::Transport(error)) => Some(error),
            _ => match (self.connect(), self.command()) {
                (Some(ConnectError::Transport(error)), _) | (_, Some(CommandError::Transport(error))) => {
                    Some(error)
                }
                _ => None,
            },
        }
    }

    /// Whether the operation ended because it was asked to.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Boot(BootError::Cancelled))
            || matches!(self.connect(), Some(ConnectError::Cancelled))
            || matches!(self.command(), Some(CommandError::Cancelled))
    }

    fn connect(&self) -> Option<&ConnectError> {
        match self {
            Self::Connect(error) | Self::Stub(StubError::Reconnect(error)) => Some(error),
            _ => None,
        }
    }

    /// The command that failed, whatever stage it belonged to.
    pub fn command(&self) -> Option<&CommandError> {
        match self {
            Self::Identify(IdentifyError::Command(error)) | Self::Stub(StubError::Upload(error)) => {
                Some(error)
            }
            Self::Erase(error) | Self::Program(ProgramError::Erase { source: error, .. }) => {
                erase_command(error)
            }
            Self::Program(ProgramError::Write { source, .. }) => Some(source),
            Self::Verify(error) | Self::Program(ProgramError::Verify(error)) => match error {
                VerifyError::Command { source, .. } => Some(source),
                VerifyError::Read { source, .. } => read_command(source),
            },
            Self::Read(error) => read_command(error),
            _ => None,
        }
    }
}

const fn erase_command(error: &EraseError) -> Option<&CommandError> {
    match error {
        EraseError::Command { source, .. } => Some(source),
        _ => None,
    }
}

const fn read_command(error: &ReadError) -> Option<&CommandError> {
    match error {
        ReadError::Command { source, .. } => Some(source),
        ReadError::Digest { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unplugged_port_and_a_cancellation_are_found_under_every_stage() {
        let gone = TransportError::Gone { port: "p".to_owned() };
        let region = || "r".to_owned();
        let under_every_stage = |source: CommandError| -> Vec<FlasherError> {
            let read = || ReadError::Command { region: region(), offset: 0, source: source.clone() };
            let erase = || EraseError::Command { offset: 0, source: source.clone() };
            let verify = || VerifyError::Command { region: region(), offset: 0, source: source.clone() };
            vec![
                ConnectError::from(source.clone()).into(),
                IdentifyError::Command(source.clone()).into(),
                StubError::Upload(source.clone()).into(),
                StubError::Reconnect(source.clone().into()).into(),
                erase().into(),
                ProgramError::Erase { region: region(), source: erase() }.into(),
                ProgramError::Write { region: region(), offset: 0, source: source.clone() }.into(),
                ProgramError::Verify(verify()).into(),
                verify().into(),
                VerifyError::Read { region: region(), source: read() }.into(),
                read().into(),
            ]
        };
        for error in under_every_stage(gone.clone().into()) {
            assert_eq!(error.transport(), Some(&gone), "{error:?}");
            assert!(!error.is_cancelled(), "{error:?}");
        }
        for error in under_every_stage(CommandError::Cancelled) {
            assert_eq!(error.transport(), None, "{error:?}");
            assert!(error.is_cancelled(), "{error:?}");
        }
        assert_eq!(FlasherError::from(gone.clone()).transport(), Some(&gone));
        assert_eq!(FlasherError::from(BootError::Transport(gone.clone())).transport(), Some(&gone));
        assert!(FlasherError::from(BootError::Cancelled).is_cancelled());
    }
}
