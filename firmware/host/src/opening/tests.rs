use std::{
    io::Read as _,
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use mio::{Events, Poll, Waker};

use super::*;
use crate::lookup::Resolve;

const BRIDGE: BridgeId = BridgeId(3);
const WAKER: Token = Token(0);
const FIRST: usize = 10;
const START: Instant = Instant::from_secs(5);

struct Fixture {
    poll: Poll,
    openings: Openings,
    now: Instant,
    /// A candidate that the network never answers.
    unheard: Option<Token>,
}

impl Fixture {
    fn new(resolve: Resolve) -> Self {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
        let registry = poll.registry().try_clone().unwrap();
        let openings = Openings::new(registry, Lookups::new(waker, resolve), FIRST);
        Self { poll, openings, now: START, unheard: None }
    }

    fn open(&mut self, host: &str, port: u16) {
        self.openings.open(BRIDGE, host.to_owned(), port, self.now);
    }

    /// Waits for whatever happens next, without a time-out of its own.
    fn turn(&mut self) {
        let mut events = Events::with_capacity(8);
        self.poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
        for event in events.iter().filter(|event| Some(event.token()) != self.unheard) {
            self.openings.mark(event);
        }
    }

    fn poll(&mut self) -> Option<Result<TcpStream, OpenFailure>> {
        let opened = self.openings.poll(self.now)?;
        assert_eq!(opened.bridge, BRIDGE);
        Some(opened.result)
    }

    fn result(&mut self) -> Result<TcpStream, OpenFailure> {
        loop {
            if let Some(result) = self.poll() {
                assert_eq!(self.openings.poll_at(), None, "nothing is left");
                return result;
            }
            self.turn();
        }
    }

    /// Goes on until the attempt is as `reached` wants it; it must not end before.
    fn turn_until(&mut self, reached: impl Fn(&Attempt) -> bool) {
        loop {
            assert!(self.poll().is_none());
            if self.openings.attempts.iter().any(&reached) {
                return;
            }
            self.turn();
        }
    }

    fn failure(&mut self) -> OpenFailure {
        self.result().unwrap_err()
    }
}

impl Attempt {
    fn failures(&self) -> &[OpenFailure] {
        match &self.stage {
            Stage::LookUp => &[],
            Stage::Connect { failures, .. } => failures,
        }
    }
}

fn no_resolver(host: &str) -> io::Result<Vec<IpAddr>> {
    panic!("{host} is no name")
}

const fn local(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

fn listen(last: u8) -> (TcpListener, u16) {
    let listener = TcpListener::bind((local(last), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn an_address_is_connected_to_without_a_look_up() {
    let (listener, port) = listen(1);
    let mut fixture = Fixture::new(no_resolver);
    fixture.open("127.0.0.1", port);
    let stream = fixture.result().unwrap();
    assert_eq!(stream.local_addr().unwrap(), listener.accept().unwrap().1);
}

#[test]
fn a_port_that_nobody_listens_on_refuses() {
    let (listener, port) = listen(1);
    drop(listener);
    let mut fixture = Fixture::new(no_resolver);
    fixture.open("127.0.0.1", port);
    assert_eq!(fixture.failure(), OpenFailure::Refused);
}

#[test]
fn every_address_of_a_name_is_tried() {
    let (listener, port) = listen(3);
    let mut fixture = Fixture::new(|_| Ok(vec![local(1), local(2), local(3)]));
    fixture.open("several.example", port);
    assert_eq!(fixture.result().unwrap().peer_addr().unwrap(), listener.local_addr().unwrap());

    fixture.open("several.example", port);
    drop(listener);
    assert_eq!(fixture.failure(), OpenFailure::Refused);
}

#[test]
fn an_address_that_never_answers_costs_its_head_start_only() {
    let (_silent, port) = listen(1);
    let second = TcpListener::bind((local(2), port)).unwrap();
    let mut fixture = Fixture::new(|_| Ok(vec![local(1), local(2)]));
    fixture.unheard = Some(Token(FIRST));
    fixture.open("half.example", port);
    fixture.turn_until(|attempt| attempt.poll_at() == START + HEAD_START);
    fixture.now += HEAD_START;
    assert_eq!(fixture.result().unwrap().peer_addr().unwrap(), second.local_addr().unwrap());
}

#[test]
fn a_host_that_never_answers_times_out() {
    let (_silent, port) = listen(1);
    let mut fixture = Fixture::new(no_resolver);
    fixture.open("127.0.0.1", port);
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.openings.poll_at(), Some(START + TIME_OUT));
    fixture.now += TIME_OUT;
    assert_eq!(fixture.poll().unwrap().unwrap_err(), OpenFailure::TimedOut);
}

#[test]
fn a_resolver_that_never_answers_is_given_up_and_a_late_answer_disturbs_nobody() {
    static ANSWERS: AtomicUsize = AtomicUsize::new(0);
    fn slow(_: &str) -> io::Result<Vec<IpAddr>> {
        while ANSWERS.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        Ok(vec![local(1)])
    }

    let mut fixture = Fixture::new(slow);
    fixture.open("slow.example", 1);
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.openings.poll_at(), Some(START + TIME_OUT));
    fixture.now += TIME_OUT;
    assert_eq!(fixture.poll().unwrap().unwrap_err(), OpenFailure::TimedOut);
    ANSWERS.store(1, Ordering::Release);
    fixture.turn();
    assert!(fixture.poll().is_none() && fixture.openings.poll_at().is_none());
}

#[test]
fn a_name_without_an_address_is_not_found() {
    let mut fixture = Fixture::new(|host| match host {
        "empty.example" => Ok(Vec::new()),
        _ => Err(io::Error::other("failed to lookup address information")),
    });
    for host in ["empty.example", "wrong.example"] {
        fixture.open(host, 1883);
        assert_eq!(fixture.failure(), OpenFailure::NameNotFound);
    }
}

#[test]
fn a_name_is_looked_up_once_for_everybody_who_waits_for_it() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let (listener, port) = listen(1);
    let mut fixture = Fixture::new(|_| {
        ASKED.fetch_add(1, Ordering::AcqRel);
        Ok(vec![local(1)])
    });
    fixture.open("hub.example", port);
    // Given up and asked for again, as often as the bridge likes.
    fixture.openings.abandon(BRIDGE);
    fixture.open("hub.example", port);
    fixture.openings.open(BridgeId(4), "hub.example".to_owned(), port, START);
    let mut bridges = Vec::new();
    while bridges.len() < 2 {
        match fixture.openings.poll(START) {
            Some(Opened { bridge, result }) => bridges.push((bridge, result.unwrap())),
            None => fixture.turn(),
        }
    }
    assert_eq!(ASKED.load(Ordering::Acquire), 1);
    assert_ne!(bridges[0].0, bridges[1].0);
    drop(listener);
}

#[test]
fn what_is_given_up_is_closed() {
    let (listener, port) = listen(1);
    let mut fixture = Fixture::new(no_resolver);
    fixture.open("127.0.0.1", port);
    assert!(fixture.poll().is_none());
    let mut accepted = listener.accept().unwrap().0;
    fixture.openings.abandon(BRIDGE);
    assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
    assert!(fixture.poll().is_none() && fixture.openings.poll_at().is_none());
}

#[test]
fn of_several_failures_the_one_that_says_most_is_told() {
    let (listener, port) = listen(1);
    drop(listener);
    // 127.0.0.1 refuses; the second address is never heard of.
    let second = TcpListener::bind((local(2), port)).unwrap();
    let mut fixture = Fixture::new(|_| Ok(vec![local(1), local(2)]));
    fixture.unheard = Some(Token(FIRST + 1));
    fixture.open("both.example", port);
    fixture.turn_until(|attempt| attempt.failures() == [OpenFailure::Refused]);
    assert_eq!(fixture.openings.poll_at(), Some(START + TIME_OUT));
    fixture.now += TIME_OUT;
    assert_eq!(fixture.poll().unwrap().unwrap_err(), OpenFailure::Refused);
    drop(second);
}

#[test]
fn errors_of_the_system_become_reasons() {
    for (kind, failure) in [
        (ErrorKind::ConnectionRefused, OpenFailure::Refused),
        (ErrorKind::HostUnreachable, OpenFailure::Unreachable),
        (ErrorKind::NetworkUnreachable, OpenFailure::Unreachable),
        (ErrorKind::AddrNotAvailable, OpenFailure::Unreachable),
        (ErrorKind::TimedOut, OpenFailure::TimedOut),
        (ErrorKind::QuotaExceeded, OpenFailure::Other),
    ] {
        assert_eq!(failure_of(&kind.into()), failure);
    }
}
