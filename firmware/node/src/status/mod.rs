//! Status lines: what the device says of itself on its serial port, written and read by the same code.
//!
//! One ASCII line each, `@eb <kind> <key>=<value>... *<crc>\r\n`; the syntax is in `line.rs`. The host's set-up waits
//! for these lines, so a device never writes one that is not true at that moment. No line carries a secret.
//!
//! A reader must outlive the writer: unknown kinds, and known kinds whose fields this version cannot make sense of,
//! come out as [`Status::Unknown`]; unknown keys are ignored.

use alloc::{format, string::String, vec::Vec};
use core::net::IpAddr;

use espbroker_admin::console;
use espbroker_broker::BridgeState;
use espbroker_config::image::Target;
use espbroker_plug::State;

use self::line::{Fields, hex};
pub use self::{
    line::StatusError,
    trial::TrialReport,
    words::{
        AddressSource, BridgeReason, ListenFailure, Mode, NoConfig, ResetCause, Service, SlotName, Stated,
        WifiReason,
    },
};

pub(crate) mod line;
mod trial;
mod words;

/// One thing the device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// `boot`: the firmware has started.
    Boot {
        /// Firmware version.
        version: String,
        /// Machine the firmware was built for.
        target: Target,
        /// Why it started.
        reset: ResetCause,
        /// Station MAC address.
        mac: [u8; 6],
    },
    /// `image`: the firmware's digest of its own image, read back from flash.
    Image(ImageCheck),
    /// `config`: which config slot is in use.
    Config(ConfigChoice),
    /// `trial`: a config that came over the network or the console is tried, or was.
    Trial(TrialReport),
    /// `admin`: a part of the answer to the command `admin`.
    Admin {
        /// Counts from 1.
        part: u16,
        /// How many parts there are.
        of: u16,
        /// Bytes of the frame.
        data: Vec<u8>,
    },
    /// `wifi`: the station's state has changed.
    Wifi(WifiState),
    /// `address`: the station can be reached.
    Address {
        /// Own address.
        ip: IpAddr,
        /// Where it comes from.
        source: AddressSource,
    },
    /// `ap`: the device's own access point has opened or closed.
    AccessPoint(AccessPointState),
    /// `listening`: clients can connect.
    Listening {
        /// To what.
        service: Service,
        /// The real TCP port, also where the platform was asked for any free one.
        port: u16,
    },
    /// `listen-failed`: clients cannot connect; tried again every [`LISTEN_RETRY`](crate::listeners::LISTEN_RETRY) unless
    /// this firmware does not have the service.
    ListenFailed {
        /// To what.
        service: Service,
        /// TCP port that was asked for.
        port: u16,
        /// Why.
        reason: ListenFailure,
    },
    /// `bridge`: a bridge's state has changed.
    Bridge {
        /// The bridge's name in the config.
        name: String,
        /// How it is doing.
        report: BridgeReport,
    },
    /// `relay`: the state of a relay, said whenever it may have changed.
    Relay {
        /// From 1 on, in the order of the profile.
        number: u8,
        /// Whether current flows.
        state: State,
        /// Messages to the plug so far that were no commands.
        ignored: u32,
    },
    /// `heap`: memory left.
    Heap {
        /// Bytes free now.
        free: u32,
        /// Fewest bytes ever free since the start.
        lowest: u32,
    },
    /// `ready`: start-up is over and every configured service listens.
    Ready {
        /// On which network.
        mode: Mode,
    },
    /// A line of a newer device.
    Unknown {
        /// First word.
        kind: String,
        /// Keys and decoded values, in order.
        fields: Vec<(String, Vec<u8>)>,
    },
}

/// How the image in flash compares with its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageCheck {
    /// Digest calculated over the length that the descriptor states.
    Measured {
        /// Bytes of the image.
        length: u32,
        /// SHA-256 as laid down in [`espbroker_config::image`].
        sha256: [u8; 32],
        /// Against the digest in the descriptor.
        stated: Stated,
    },
    /// `stated=none`: no sound descriptor in the boot sector and the first slot, or one that claims more than they hold.
    NoDescriptor,
    /// `stated=unreadable`: the flash failed while it was read.
    Unreadable,
}

/// Where the config in use comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigChoice {
    /// The newest valid slot.
    Loaded {
        /// Which sector.
        slot: SlotName,
        /// Its sequence number.
        sequence: u32,
        /// Its CRC-32, which tells the host that this is what it wrote.
        crc: u32,
    },
    /// `slot=none`: neither sector is valid; the device runs on defaults that let nobody in.
    None {
        /// The better of the two sectors' states.
        reason: NoConfig,
    },
}

/// State of the station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WifiState {
    /// Trying to join.
    Joining {
        /// Network name, any bytes.
        ssid: Vec<u8>,
        /// Counts from 1 since the start or the last time the station was joined.
        attempt: u32,
    },
    /// The attempt failed; the next one follows after a pause.
    Failed {
        /// What it means.
        reason: WifiReason,
        /// The SDK's disconnect code, 0 if it gave none.
        code: u16,
        /// Which attempt.
        attempt: u32,
    },
    /// Associated with the access point; an address may still be missing.
    Joined {
        /// 1-14, or 0 where there is no radio.
        channel: u8,
        /// Signal strength, dBm.
        rssi: i8,
    },
    /// The access point is gone; every client over it has been disconnected.
    Lost {
        /// What it means.
        reason: WifiReason,
        /// The SDK's disconnect code, 0 if it gave none.
        code: u16,
    },
}

/// State of the device's own access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessPointState {
    /// Open.
    Up {
        /// Network name, any bytes.
        ssid: Vec<u8>,
        /// The device's address in it.
        ip: IpAddr,
    },
    /// Closed again, since the station has joined, or it could not be opened.
    Down,
}

/// How a bridge is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeReport {
    /// The first attempt is under way.
    Connecting,
    /// The other broker has accepted the bridge.
    Connected,
    /// The last attempt or link has failed; unless TLS was asked for, there will be another attempt.
    Failed {
        /// What it means.
        reason: BridgeReason,
    },
}

impl From<BridgeState> for BridgeReport {
    fn from(state: BridgeState) -> Self {
        match state {
            BridgeState::Connecting => Self::Connecting,
            BridgeState::Connected { .. } => Self::Connected,
            BridgeState::Failed(failure) => Self::Failed { reason: failure.into() },
        }
    }
}

impl Status {
    /// The whole line with check sum and line end.
    pub fn to_line(&self) -> String {
        let mut line = line::Writer::new(self.kind());
        match self {
            Self::Boot { version, target, reset, mac } => {
                line.field("version", version);
                line.field("target", target.word());
                line.field("reset", reset.word());
                line.field("mac", hex::to_text(mac));
            }
            Self::Image(ImageCheck::Measured { length, sha256, stated }) => {
                line.field("length", format!("{length}"));
                line.field("sha256", hex::to_text(sha256));
                line.field("stated", stated.word());
            }
            Self::Image(ImageCheck::NoDescriptor) => line.field("stated", "none"),
            Self::Image(ImageCheck::Unreadable) => line.field("stated", "unreadable"),
            Self::Config(ConfigChoice::Loaded { slot, sequence, crc }) => {
                line.field("slot", slot.word());
                line.field("sequence", format!("{sequence}"));
                line.field("crc", format!("{crc:08x}"));
            }
            Self::Config(ConfigChoice::None { reason }) => {
                line.field("slot", "none");
                line.field("reason", reason.word());
            }
            Self::Trial(report) => report.write(&mut line),
            Self::Admin { part, of, data } => {
                line.field("part", format!("{part}"));
                line.field("of", format!("{of}"));
                line.field("data", console::text(data));
            }
            Self::Wifi(state) => state.write(&mut line),
            Self::Address { ip, source } => {
                line.field("ip", format!("{ip}"));
                line.field("source", source.word());
            }
            Self::AccessPoint(AccessPointState::Up { ssid, ip }) => {
                line.field("state", "up");
                line.field("ssid", ssid);
                line.field("ip", format!("{ip}"));
            }
            Self::AccessPoint(AccessPointState::Down) => line.field("state", "down"),
            Self::Listening { service, port } => {
                line.field("service", service.word());
                line.field("port", format!("{port}"));
            }
            Self::ListenFailed { service, port, reason } => {
                line.field("service", service.word());
                line.field("port", format!("{port}"));
                line.field("reason", reason.word());
            }
            Self::Bridge { name, report } => {
                line.field("name", name);
                match report {
                    BridgeReport::Connecting => line.field("state", "connecting"),
                    BridgeReport::Connected => line.field("state", "connected"),
                    BridgeReport::Failed { reason } => {
                        line.field("state", "failed");
                        line.field("reason", reason.word());
                    }
                }
            }
            Self::Relay { number, state, ignored } => {
                line.field("number", format!("{number}"));
                line.field("state", state.word());
                line.field("ignored", format!("{ignored}"));
            }
            Self::Heap { free, lowest } => {
                line.field("free", format!("{free}"));
                line.field("lowest", format!("{lowest}"));
            }
            Self::Ready { mode } => line.field("mode", mode.word()),
            Self::Unknown { fields, .. } => {
                for (key, value) in fields {
                    line.field(key, value);
                }
            }
        }
        line.finish()
    }

    /// Reads one line, with or without its line end; bytes before the marker (a cut boot log) are skipped.
    ///
    /// `Ok(None)` is any other text, a status line never is.
    ///
    /// # Errors
    /// The line has the marker of a status line and did not arrive whole.
    pub fn parse(line: impl AsRef<[u8]>) -> Result<Option<Self>, StatusError> {
        let Some((kind, fields)) = line::read(line.as_ref())? else { return Ok(None) };
        let known = Self::from_fields(&kind, &Fields(&fields));
        Ok(Some(known.unwrap_or(Self::Unknown { kind, fields })))
    }

    fn kind(&self) -> &str {
        match self {
            Self::Boot { .. } => "boot",
            Self::Image(_) => "image",
            Self::Config(_) => "config",
            Self::Trial(_) => "trial",
            Self::Admin { .. } => "admin",
            Self::Wifi(_) => "wifi",
            Self::Address { .. } => "address",
            Self::AccessPoint(_) => "ap",
            Self::Listening { .. } => "listening",
            Self::ListenFailed { .. } => "listen-failed",
            Self::Bridge { .. } => "bridge",
            Self::Relay { .. } => "relay",
            Self::Heap { .. } => "heap",
            Self::Ready { .. } => "ready",
            Self::Unknown { kind, .. } => kind,
        }
    }

    fn from_fields(kind: &str, fields: &Fields<'_>) -> Option<Self> {
        Some(match kind {
            "boot" => Self::Boot {
                version: fields.parsed("version")?,
                target: fields.parsed("target")?,
                reset: ResetCause::from_word(fields.value("reset")?)?,
                mac: hex::from_text(fields.value("mac")?)?,
            },
            "image" if fields.is("stated", "none") => Self::Image(ImageCheck::NoDescriptor),
            "image" if fields.is("stated", "unreadable") => Self::Image(ImageCheck::Unreadable),
            "image" => Self::Image(ImageCheck::Measured {
                length: fields.parsed("length")?,
                sha256: hex::from_text(fields.value("sha256")?)?,
                stated: Stated::from_word(fields.value("stated")?)?,
            }),
            "config" if fields.is("slot", "none") => {
                Self::Config(ConfigChoice::None { reason: NoConfig::from_word(fields.value("reason")?)? })
            }
            "config" => Self::Config(ConfigChoice::Loaded {
                slot: SlotName::from_word(fields.value("slot")?)?,
                sequence: fields.parsed("sequence")?,
                crc: u32::from_be_bytes(hex::from_text(fields.value("crc")?)?),
            }),
            "trial" => Self::Trial(TrialReport::from_fields(fields)?),
            "admin" => Self::Admin {
                part: fields.parsed("part")?,
                of: fields.parsed("of")?,
                data: console::bytes(fields.value("data")?)?,
            },
            "wifi" => Self::Wifi(WifiState::from_fields(fields)?),
            "address" => Self::Address {
                ip: fields.parsed("ip")?,
                source: AddressSource::from_word(fields.value("source")?)?,
            },
            "ap" if fields.is("state", "up") => Self::AccessPoint(AccessPointState::Up {
                ssid: fields.value("ssid")?.into(),
                ip: fields.parsed("ip")?,
            }),
            "ap" if fields.is("state", "down") => Self::AccessPoint(AccessPointState::Down),
            "listening" => Self::Listening {
                service: Service::from_word(fields.value("service")?)?,
                port: fields.parsed("port")?,
            },
            "listen-failed" => Self::ListenFailed {
                service: Service::from_word(fields.value("service")?)?,
                port: fields.parsed("port")?,
                // A reason that only a newer device knows is still a failure.
                reason: ListenFailure::from_word(fields.value("reason")?).unwrap_or(ListenFailure::Other),
            },
            "bridge" => Self::Bridge {
                name: fields.parsed("name")?,
                report: match fields.value("state")? {
                    b"connecting" => BridgeReport::Connecting,
                    b"connected" => BridgeReport::Connected,
                    b"failed" => BridgeReport::Failed {
                        reason: BridgeReason::from_word(fields.value("reason")?)
                            .unwrap_or(BridgeReason::Other),
                    },
                    _ => return None,
                },
            },
            "relay" => Self::Relay {
                number: fields.parsed("number")?,
                state: State::from_word(fields.value("state")?)?,
                ignored: fields.parsed("ignored")?,
            },
            "heap" => Self::Heap { free: fields.parsed("free")?, lowest: fields.parsed("lowest")? },
            "ready" => Self::Ready { mode: Mode::from_word(fields.value("mode")?)? },
            _ => return None,
        })
    }
}

impl WifiState {
    fn write(&self, line: &mut line::Writer) {
        match self {
            Self::Joining { ssid, attempt } => {
                line.field("state", "joining");
                line.field("ssid", ssid);
                line.field("attempt", format!("{attempt}"));
            }
            Self::Failed { reason, code, attempt } => {
                line.field("state", "failed");
                line.field("reason", reason.word());
                line.field("code", format!("{code}"));
                line.field("attempt", format!("{attempt}"));
            }
            Self::Joined { channel, rssi } => {
                line.field("state", "joined");
                line.field("channel", format!("{channel}"));
                line.field("rssi", format!("{rssi}"));
            }
            Self::Lost { reason, code } => {
                line.field("state", "lost");
                line.field("reason", reason.word());
                line.field("code", format!("{code}"));
            }
        }
    }

    fn from_fields(fields: &Fields<'_>) -> Option<Self> {
        let reason = || Some(WifiReason::from_word(fields.value("reason")?).unwrap_or(WifiReason::Other));
        Some(match fields.value("state")? {
            b"joining" => {
                Self::Joining { ssid: fields.value("ssid")?.into(), attempt: fields.parsed("attempt")? }
            }
            b"failed" => Self::Failed {
                reason: reason()?,
                code: fields.parsed("code")?,
                attempt: fields.parsed("attempt")?,
            },
            b"joined" => Self::Joined { channel: fields.parsed("channel")?, rssi: fields.parsed("rssi")? },
            b"lost" => Self::Lost { reason: reason()?, code: fields.parsed("code")? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
