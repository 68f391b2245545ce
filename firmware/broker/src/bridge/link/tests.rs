use alloc::{vec, vec::Vec};

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const START: Instant = Instant(1_000_000);

fn settings() -> BridgeSettings {
    BridgeSettings::new("cloud", "example.org", "dev.cloud")
}

/// A link and its clock.
struct Script {
    link: Link,
    now: Instant,
}

impl Script {
    fn new(settings: &BridgeSettings) -> Self {
        Self { link: Link::new(settings, 1, START), now: START }
    }

    fn event(&mut self, event: Event) -> Option<Step> {
        self.link.handle(event, self.now)
    }

    fn after(&mut self, milliseconds: u64, event: Event) -> Option<Step> {
        self.now = self.now.after(milliseconds);
        self.event(event)
    }

    /// Goes on to the next deadline; returns how long that took, and the step.
    fn due(&mut self) -> (u64, Option<Step>) {
        let before = self.now;
        self.now = self.link.poll_at().unwrap().max(before);
        (self.now.0 - before.0, self.event(Event::Tick))
    }

    /// The next attempt, until its CONNECT; returns the wait before it and the level.
    fn attempt(&mut self) -> (u64, Level) {
        let (wait, step) = self.due();
        assert_eq!(step, Some(Step::Open));
        match self.after(100, Event::Opened) {
            Some(Step::Connect(level)) => (wait, level),
            step => panic!("{step:?}"),
        }
    }

    fn up(&mut self) {
        self.attempt();
        assert_eq!(self.after(100, Event::Connack(ConnectReturnCode::Accepted)), Some(Step::Greet));
    }

    fn news(&mut self) -> Option<BridgeState> {
        self.link.news()
    }
}

fn failed(failure: BridgeFailure) -> Option<BridgeState> {
    Some(BridgeState::Failed(failure))
}

#[test]
fn a_link_opens_at_once_and_greets_when_it_is_accepted() {
    let mut script = Script::new(&settings());
    assert_eq!(script.news(), Some(BridgeState::Connecting));
    assert_eq!(script.due(), (0, Some(Step::Open)));
    assert_eq!(script.after(50, Event::Opened), Some(Step::Connect(Level::Private)));
    assert_eq!(script.news(), None);
    assert_eq!(script.after(50, Event::Connack(ConnectReturnCode::Accepted)), Some(Step::Greet));
    assert_eq!(script.news(), Some(BridgeState::Connected { private: true }));
    assert_eq!(script.link.state(), BridgeState::Connected { private: true });
    assert_eq!(script.news(), None);
}

#[test]
fn a_tick_before_its_time_does_nothing() {
    let mut script = Script::new(&settings());
    script.up();
    assert_eq!(script.after(59_999, Event::Tick), None);
    assert_eq!(script.after(1, Event::Tick), Some(Step::Ping));
    assert_eq!(script.event(Event::Tick), None);
}

#[test]
fn a_bridge_with_tls_is_never_opened() {
    let mut script = Script::new(&BridgeSettings { tls: true, ..settings() });
    assert_eq!(script.news(), failed(BridgeFailure::TlsNotSupported));
    assert_eq!(script.link.poll_at(), None);
    assert_eq!(script.after(1 << 40, Event::Tick), None);
    assert_eq!(script.event(Event::Opened), Some(Step::Close));
    assert_eq!(script.event(Event::Closed), None);
    assert_eq!(script.link.poll_at(), None);
}

#[test]
fn a_wrong_password_is_told_and_tried_again_only_after_the_longest_wait() {
    for (code, failure) in [
        (ConnectReturnCode::BadUserNameOrPassword, BridgeFailure::BadCredentials),
        (ConnectReturnCode::NotAuthorized, BridgeFailure::NotAuthorized),
        (ConnectReturnCode::IdentifierRejected, BridgeFailure::IdentifierRejected),
    ] {
        let mut script = Script::new(&settings());
        script.news();
        script.attempt();
        for _ in 0..5 {
            assert_eq!(script.event(Event::Connack(code)), Some(Step::Close));
            assert_eq!(script.attempt(), (30_000, Level::Private));
        }
        assert_eq!(script.news(), failed(failure));
        assert_eq!(script.news(), None);
    }
}

#[test]
fn a_broker_without_room_is_tried_again_sooner() {
    let mut script = Script::new(&settings());
    script.attempt();
    assert_eq!(script.event(Event::Connack(ConnectReturnCode::ServerUnavailable)), Some(Step::Close));
    assert!((5_000..15_000).contains(&script.attempt().0));
    assert_eq!(script.news(), failed(BridgeFailure::ServerUnavailable));
}

#[test]
fn a_broker_that_refuses_the_bridge_bit_is_asked_without_it() {
    let mut script = Script::new(&settings());
    script.news();
    assert_eq!(script.attempt().1, Level::Private);
    let refusal = Event::Connack(ConnectReturnCode::UnacceptableProtocolVersion);
    assert_eq!(script.event(refusal), Some(Step::Close));
    // That is nothing to worry a reader of status lines with.
    assert_eq!(script.news(), None);
    let (wait, level) = script.attempt();
    assert!(wait < 30_000 && level == Level::Plain);
    assert_eq!(script.event(Event::Connack(ConnectReturnCode::Accepted)), Some(Step::Greet));
    assert_eq!(script.news(), Some(BridgeState::Connected { private: false }));
    script.event(Event::Closed);
    assert_eq!(script.attempt().1, Level::Plain);
}

#[test]
fn a_broker_that_refuses_every_level_is_reported() {
    let mut script = Script::new(&settings());
    let refusal = Event::Connack(ConnectReturnCode::UnacceptableProtocolVersion);
    script.attempt();
    script.event(refusal);
    script.attempt();
    assert_eq!(script.event(refusal), Some(Step::Close));
    assert_eq!(script.news(), failed(BridgeFailure::ProtocolRefused));
    assert_eq!(script.attempt(), (30_000, Level::Plain));
}

#[test]
fn a_broker_that_closes_over_the_bridge_bit_is_asked_without_it() {
    let mut script = Script::new(&settings());
    script.news();
    script.attempt();
    assert_eq!(script.event(Event::Closed), None);
    assert_eq!(script.news(), None);
    assert_eq!(script.attempt().1, Level::Plain);
    assert_eq!(script.event(Event::Closed), None);
    assert_eq!(script.news(), failed(BridgeFailure::ClosedBeforeConnack));
    assert_eq!(script.attempt().1, Level::Private);
}

#[test]
fn a_bridge_told_not_to_never_says_that_it_is_one() {
    let mut script = Script::new(&BridgeSettings { try_private: false, ..settings() });
    for _ in 0..3 {
        assert_eq!(script.attempt().1, Level::Plain);
        script.event(Event::Closed);
        assert_eq!(script.link.state(), BridgeState::Failed(BridgeFailure::ClosedBeforeConnack));
    }
}

#[test]
fn an_opening_that_fails_or_takes_too_long_is_told_and_repeated() {
    let mut script = Script::new(&settings());
    for (failure, expected) in [
        (OpenFailure::NameNotFound, BridgeFailure::NameNotFound),
        (OpenFailure::Refused, BridgeFailure::Refused),
        (OpenFailure::Unreachable, BridgeFailure::Unreachable),
        (OpenFailure::TimedOut, BridgeFailure::TimedOut),
        (OpenFailure::Other, BridgeFailure::NotOpened),
    ] {
        assert_eq!(script.due().1, Some(Step::Open));
        assert_eq!(script.event(Event::OpenFailed(failure)), None);
        assert_eq!(script.news(), failed(expected));
    }
    assert_eq!(script.due().1, Some(Step::Open));
    assert_eq!(script.due(), (30_000, Some(Step::Abandon)));
    assert_eq!(script.news(), failed(BridgeFailure::TimedOut));
    // The answer that nobody wants any more.
    assert_eq!(script.event(Event::OpenFailed(OpenFailure::Refused)), None);
    assert_eq!(script.event(Event::Opened), Some(Step::Close));
    assert_eq!(script.news(), None);
    assert_eq!(script.due().1, Some(Step::Open));
}

#[test]
fn a_connack_that_does_not_come_within_twenty_seconds_ends_the_attempt() {
    let mut script = Script::new(&BridgeSettings { try_private: false, ..settings() });
    script.attempt();
    assert_eq!(script.due(), (20_000, Some(Step::Close)));
    assert_eq!(script.news(), failed(BridgeFailure::TimedOut));
    assert_eq!(script.due().1, Some(Step::Open));
}

#[test]
fn a_silent_link_is_pinged_at_its_keep_alive_and_closed_after_half_of_it_more() {
    let mut script = Script::new(&settings());
    script.up();
    assert_eq!(script.due(), (60_000, Some(Step::Ping)));
    script.after(100, Event::Heard);
    assert_eq!(script.due(), (59_900, Some(Step::Ping)));
    // What is sent shows nothing.
    script.after(100, Event::Sent);
    assert_eq!(script.due(), (29_900, Some(Step::Close)));
    assert_eq!(script.news(), failed(BridgeFailure::TimedOut));
}

#[test]
fn a_link_that_only_hears_or_only_sends_is_pinged_too() {
    for event in [Event::Heard, Event::Sent] {
        let mut script = Script::new(&settings());
        script.up();
        for _ in 0..5 {
            assert_eq!(script.after(10_000, event), None);
        }
        assert_eq!(script.due(), (10_000, Some(Step::Ping)));
    }
}

#[test]
fn a_busy_link_is_not_pinged() {
    let mut script = Script::new(&settings());
    script.up();
    for _ in 0..100 {
        script.after(10_000, Event::Heard);
        script.event(Event::Sent);
        assert_eq!(script.event(Event::Tick), None);
    }
}

#[test]
fn without_a_keep_alive_there_are_no_pings() {
    let mut script = Script::new(&BridgeSettings { keep_alive: 0, ..settings() });
    script.up();
    assert_eq!(script.link.poll_at(), None);
    assert_eq!(script.after(1 << 40, Event::Tick), None);
}

#[test]
fn a_lost_link_is_opened_again_and_soon_if_it_had_stayed_up() {
    let mut script = Script::new(&BridgeSettings { restart_base: 1, restart_cap: 3_600, ..settings() });
    // Accepted and thrown out at once, again and again: the waits grow.
    let mut longest = 0;
    for _ in 0..30 {
        script.up();
        script.news();
        script.after(29_999, Event::Closed);
        assert_eq!(script.news(), failed(BridgeFailure::ConnectionLost));
        longest = longest.max(script.link.poll_at().unwrap().0 - script.now.0);
    }
    assert!(longest > 60_000, "{longest}");
    script.up();
    script.after(30_000, Event::Closed);
    assert!(script.attempt().0 <= 3_000);
}

#[test]
fn a_failure_is_shown_until_the_next_attempt_is_over() {
    let mut script = Script::new(&settings());
    script.up();
    script.news();
    script.event(Event::Closed);
    assert_eq!(script.news(), failed(BridgeFailure::ConnectionLost));
    script.attempt();
    assert_eq!(script.news(), None);
    script.event(Event::Connack(ConnectReturnCode::Accepted));
    assert_eq!(script.news(), Some(BridgeState::Connected { private: true }));
}

#[test]
fn refused_subscriptions_are_counted_for_each_link() {
    let mut script = Script::new(&settings());
    script.up();
    assert_eq!(script.event(Event::Suback { refused: 2 }), None);
    assert_eq!(script.event(Event::Suback { refused: 254 }), None);
    assert_eq!(script.link.refused_subscriptions(), 255);
    script.event(Event::Closed);
    script.up();
    assert_eq!(script.link.refused_subscriptions(), 0);
}

#[test]
fn packets_out_of_turn_end_the_connection() {
    let closes = |before: &[Event], last: Event| {
        let mut script = Script::new(&BridgeSettings { try_private: false, ..settings() });
        script.attempt();
        for event in before {
            script.event(*event);
        }
        assert_eq!(script.event(last), Some(Step::Close));
        assert_eq!(script.news(), failed(BridgeFailure::ProtocolViolated));
    };
    let accepted = Event::Connack(ConnectReturnCode::Accepted);
    closes(&[], Event::Heard);
    closes(&[], Event::Suback { refused: 0 });
    closes(&[], Event::Violated);
    closes(&[accepted], accepted);
    closes(&[accepted], Event::Violated);
}

fn event() -> impl Strategy<Value = Event> {
    select(vec![
        Event::Tick,
        Event::Tick,
        Event::Opened,
        Event::Opened,
        Event::OpenFailed(OpenFailure::Refused),
        Event::Connack(ConnectReturnCode::Accepted),
        Event::Connack(ConnectReturnCode::UnacceptableProtocolVersion),
        Event::Connack(ConnectReturnCode::BadUserNameOrPassword),
        Event::Suback { refused: 1 },
        Event::Heard,
        Event::Sent,
        Event::Violated,
        Event::Closed,
    ])
}

proptest! {
    /// The network as the steps make it: any events, in any order, also those that make no sense.
    #[test]
    fn steps_fit_the_connection_that_there_is(events in vec((event(), 0..40_000_u64), 0..60), seed: u64) {
        let mut link = Link::new(&settings(), seed, START);
        let mut now = START;
        // Openings under way, and open connections. The link may have one of the two.
        let (mut opening, mut open) = (0, 0);
        let mut waits = Vec::new();
        for (event, pause) in events {
            now = now.after(pause);
            let stray = match event {
                Event::Opened if opening == 0 => true,
                Event::Opened => {
                    opening -= 1;
                    open += 1;
                    false
                }
                Event::OpenFailed(_) => {
                    opening = 0;
                    false
                }
                Event::Closed => {
                    open = 0;
                    false
                }
                // Nothing comes from a connection that there is not.
                Event::Tick => false,
                _ if open == 0 => continue,
                _ => false,
            };
            match link.handle(event, now) {
                Some(Step::Open) => {
                    prop_assert_eq!((opening, open), (0, 0));
                    opening += 1;
                    waits.push(now);
                }
                Some(Step::Abandon) => {
                    prop_assert_eq!((opening, open), (1, 0));
                    opening = 0;
                }
                Some(Step::Connect(_) | Step::Greet | Step::Ping) => prop_assert_eq!((opening, open), (0, 1)),
                Some(Step::Close) if stray => {}
                Some(Step::Close) => {
                    prop_assert_eq!((opening, open), (0, 1));
                    open = 0;
                }
                None => {}
            }
            prop_assert!(opening + open <= 1);
            // There is always a next attempt, or a link that is up.
            prop_assert!(link.poll_at().is_some());
        }
        for pair in waits.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= 5_000);
        }
    }
}
