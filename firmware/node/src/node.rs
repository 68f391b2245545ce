//! [`Node`]: the start-up sequence, and the console on top of everything.

use alloc::{boxed::Box, collections::VecDeque, format, string::String, vec::Vec};

use embedded_storage::nor_flash::NorFlash;
use espbroker_config::{
    model::Config,
    slots::{self, Absence, Loaded},
};
use espbroker_plug::Pins;

use crate::{
    Instant,
    admin::Admin,
    console::{Console, HELP, Request},
    improv::{Improv, Taken},
    interface::{BootInfo, Input, Output},
    keeper::Keeper,
    measure::Measurement,
    online::{Online, say},
    status::{ConfigChoice, Mode, NoConfig, Status},
    trial::Trials,
};

mod change;
mod provision;

/// The whole device above its hardware.
///
/// After [`Node::boot`] and after every [`Node::handle`] the platform carries out what [`Node::poll_output`] gives
/// until that is empty, and feeds [`Input::Tick`] no later than [`Node::poll_at`].
pub struct Node<F> {
    flash: F,
    info: BootInfo,
    stage: Stage,
    /// Status of what the stages before this one have found.
    found: Vec<Status>,
    console: Console,
    improv: Improv,
    /// The config on trial came by Improv.
    is_improved: bool,
    outputs: VecDeque<Output>,
    /// Lines of the status that were put out, while it is asked for.
    listed: Option<usize>,
    /// Keeps retained messages in flash; `None` before there are any, and when the flash cannot be read.
    keeper: Option<Keeper>,
    admin: Admin,
    trials: Trials,
    /// When the device starts again, after what it has to say has gone.
    restart_at: Option<Instant>,
    /// Outputs that have kept their level over the restart.
    kept: Pins,
}

enum Stage {
    /// Digest of the image.
    Measure(Measurement),
    /// Config from flash.
    Load,
    /// All that follows.
    Run(Box<Online>),
}

impl<F: NorFlash> Node<F> {
    /// Starts the device. The flash is read in later steps, never here.
    pub fn boot(flash: F, info: BootInfo) -> Self {
        let mut node = Self {
            flash,
            info,
            stage: Stage::Measure(Measurement::start()),
            found: Vec::new(),
            console: Console::default(),
            improv: Improv::default(),
            is_improved: false,
            outputs: VecDeque::new(),
            listed: None,
            keeper: None,
            admin: Admin::new(info.seed),
            trials: Trials::default(),
            restart_at: None,
            kept: Pins::default(),
        };
        // Ends whatever the boot ROM has left on the line at its own baud rate.
        node.print("\r\n");
        let version = String::from(env!("CARGO_PKG_VERSION"));
        let boot = Status::Boot { version, target: info.target, reset: info.reset, mac: info.mac };
        node.note(boot);
        node
    }

    /// Takes what happened at `now`, the time since the start, which never goes back.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match (&mut self.stage, input) {
            (_, Input::Console(bytes)) => {
                for &byte in bytes {
                    match self.improv.push(byte, now) {
                        Taken::Held => {}
                        Taken::Packet(command) => self.improve(command, now),
                        Taken::Console(before) => {
                            for &byte in before.iter().chain(&[byte]) {
                                let Some(request) = self.console.push(byte) else { continue };
                                let is_last = request == Request::Restart;
                                self.answer(request, now);
                                if is_last {
                                    return;
                                }
                            }
                        }
                    }
                }
            }
            (Stage::Measure(measurement), Input::Tick) => {
                if let Some(check) = measurement.step(&mut self.flash) {
                    self.note(Status::Image(check));
                    self.stage = Stage::Load;
                }
            }
            (Stage::Load, Input::Tick) => {
                let config = self.load(now);
                let mut online = Online::start(&config, &self.info, now, &mut self.outputs);
                match Keeper::open(&mut self.flash, &mut online.server.broker) {
                    Ok(keeper) => self.keeper = Some(keeper),
                    Err(_) => {
                        self.print("store: unreadable, retained messages are not kept over a restart\r\n");
                    }
                }
                online.start_plug(&config, &self.kept, now, &mut self.outputs);
                self.stage = Stage::Run(Box::new(online));
                self.handle(Input::Tick, now);
            }
            (Stage::Run(online), input) => {
                if let Some(frame) = self.admin.handle(&input, online, &self.info, now, &mut self.outputs) {
                    let reply = self.administer(frame, now);
                    self.admin.reply(reply, now, &mut self.outputs);
                    return self.follow_trial(now);
                }
                online.handle(input, now, &mut self.outputs);
                if let Some(keeper) = &mut self.keeper {
                    keeper.tick(&mut self.flash, &mut online.server.broker, now);
                    keeper.note(&online.server.broker, now);
                    if let Some(sectors) = keeper.worn() {
                        self.print(&format!("store: worn out sectors left out: {sectors}\r\n"));
                    }
                }
            }
            (Stage::Measure(_) | Stage::Load, Input::Pin { gpio, level }) => self.kept.note(gpio, level),
            // Nothing was asked of the radio or the network yet.
            (Stage::Measure(_) | Stage::Load, _) => return,
        }
        self.follow_trial(now);
    }

    /// What to do next; `None` until something else is handled.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        // Their places would be held for ever, and more of them for every long list.
        self.outputs = VecDeque::new();
        if let Some(line) = self.list() {
            return Some(line);
        }
        match &mut self.stage {
            Stage::Run(online) => online.server.poll_output(),
            Stage::Measure(_) | Stage::Load => None,
        }
    }

    /// The next line of the status, if it was asked for; one by one, as all of them take some kilobytes.
    fn list(&mut self) -> Option<Output> {
        let listed = self.listed?;
        let mut line = None;
        let mut place = 0;
        let mut tell = |status: &Status| {
            if place == listed {
                line = Some(status.to_line());
            }
            place += 1;
        };
        self.found.iter().for_each(&mut tell);
        self.trials.statuses().for_each(|status| tell(&status));
        if let Stage::Run(online) = &self.stage {
            online.statuses(|status| tell(&status));
        }
        self.listed = line.is_some().then_some(listed + 1);
        line.map(Output::Console)
    }

    /// When to feed [`Input::Tick`]; `None` when only an event can change anything. A time in the past, which start-up
    /// gives until it is done, asks for a tick as soon as the platform has looked after everything else.
    pub fn poll_at(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Measure(_) | Stage::Load => Some(Instant::ZERO),
            Stage::Run(online) => {
                let keeper = self.keeper.as_ref().and_then(Keeper::poll_at);
                let others = [keeper, self.admin.poll_at(), self.trials.poll_at(), self.restart_at];
                online.poll_at().into_iter().chain(others.into_iter().flatten()).min()
            }
        }
    }

    /// Writes what has not been written yet, for a platform that is about to stop. Takes up to seconds on the chip.
    pub fn finish(&mut self) {
        if let (Stage::Run(online), Some(keeper)) = (&mut self.stage, &mut self.keeper) {
            keeper.finish(&mut self.flash, &mut online.server.broker);
        }
    }

    /// The network that the device can be reached through; the station's if there are both.
    pub fn mode(&self) -> Option<Mode> {
        match &self.stage {
            Stage::Run(online) => online.mode(),
            Stage::Measure(_) | Stage::Load => None,
        }
    }

    /// Loads the config; what is wrong with it is said on the console and replaced by defaults that let nobody in.
    fn load(&mut self, now: Instant) -> Config {
        self.trials.read(&mut self.flash);
        let reason = loop {
            match slots::load(&mut self.flash) {
                Ok(Loaded::Config { slot, record }) => match record.config.validate() {
                    Ok(()) => {
                        self.trials.run_on(&mut self.flash, slot, &record, now);
                        self.trials.statuses().for_each(|status| say(&mut self.outputs, &status));
                        return record.config;
                    }
                    Err(invalid) => {
                        // What is shown of a field may hold anything, also line ends.
                        let text = format!("{invalid}");
                        self.print(&format!("config: {}\r\n", text.as_bytes().escape_ascii()));
                        if !self.trials.give_up(&mut self.flash, slot, &record) {
                            break NoConfig::Invalid;
                        }
                    }
                },
                Ok(Loaded::Nothing(Absence::Blank)) => break NoConfig::Blank,
                Ok(Loaded::Nothing(Absence::Damaged(_))) => break NoConfig::Damaged,
                Ok(Loaded::Nothing(Absence::Newer { .. })) => break NoConfig::Newer,
                Err(_) => break NoConfig::Unreadable,
            }
        };
        self.note(Status::Config(ConfigChoice::None { reason }));
        Config::new("espbroker")
    }

    fn answer(&mut self, request: Request, now: Instant) {
        // What was asked for before comes before.
        while let Some(line) = self.list() {
            self.outputs.push_back(line);
        }
        match request {
            Request::Status => self.listed = Some(0),
            Request::Restart => self.restart(now),
            Request::Admin(frame) => self.administer_console(frame, now),
            Request::Help => self.print(HELP),
            Request::Unknown => self.print("unknown command, try help\r\n"),
            Request::TooLong => self.print("line too long, try help\r\n"),
        }
    }

    fn note(&mut self, status: Status) {
        say(&mut self.outputs, &status);
        // There are two or three of them, for ever.
        self.found.reserve_exact(1);
        self.found.push(status);
    }

    fn print(&mut self, text: &str) {
        self.outputs.push_back(Output::Console(text.into()));
    }
}

#[cfg(test)]
mod tests;
