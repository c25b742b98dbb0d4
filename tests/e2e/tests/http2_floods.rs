//! Clients of HTTP/2 that want to wear the proxy out. Each has a well-behaved one beside it that is
//! served all the while, and costs no more memory than a bound.
//!
//! A proxy that has had enough ends the connection; whether its GOAWAY is read is the attacker's
//! luck, since what it sent and nobody read resets the connection.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proxyd_e2e::frames::{
    ACK, END_STREAM, PREFACE, code, data, fields, frame, get, head, kind, number, request, reset,
    setting, settings, window_update,
};
use proxyd_e2e::{Backend, Frames, Outcome, Proxy, Registry, Tuned, wait_for};

const HOST: &str = "a.test";
/// How long the other client may wait for an answer. Both cores may be somebody else's, too.
const BOUND: Duration = Duration::from_secs(5);
/// What an attack may add to the memory of the proxy.
const MEMORY_MAX_KIB: u64 = 96 * 1024;
/// As the proxy has them.
const STREAMS_MAX: u32 = 128;
const GIVEN_UP_MAX: u32 = 256;
const ERROR_RESETS_MAX: u32 = 1024;
const IDLE_FRAMES_MAX: usize = 10_000;

/// A proxy with a backend.
struct Ground {
    proxy: Tuned,
    _lease: Registry,
    backend: Backend,
}

impl Ground {
    fn new() -> Self {
        Self::tuned("body_timeout = \"60s\"")
    }

    /// With a line more in its section `http`.
    fn tuned(line: &str) -> Self {
        let backend = Backend::start("one");
        let proxy = Tuned::start(1, line);
        let mut registry = proxy.registry();
        registry.serve("web", "1", &[(HOST, "/", &backend.url())]);
        Self { proxy, _lease: registry, backend }
    }

    /// Runs an attack while another client is served.
    #[expect(clippy::disallowed_methods, reason = "these tests run in real time")]
    fn attack<T>(&self, attack: impl FnOnce(SocketAddr) -> T) -> T {
        let (stop, largest) = (AtomicBool::new(false), AtomicU64::new(0));
        let before = resident_kib(&self.proxy);
        let got = thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut client = Frames::connect(self.proxy.http()).unwrap();
                let mut slowest = Duration::ZERO;
                let mut stream = 1;
                while !stop.load(Ordering::SeqCst) {
                    let asked = Instant::now();
                    let outcome = client.get(stream, HOST, "/good").unwrap();
                    assert_eq!(outcome.status(), 200, "{outcome:?}");
                    slowest = slowest.max(asked.elapsed());
                    stream += 2;
                    largest.fetch_max(resident_kib(&self.proxy), Ordering::SeqCst);
                }
                slowest
            });
            // Whatever becomes of the attack, the other client has an end.
            let got = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                attack(self.proxy.http())
            }));
            largest.fetch_max(resident_kib(&self.proxy), Ordering::SeqCst);
            stop.store(true, Ordering::SeqCst);
            let slowest = other.join().unwrap();
            assert!(slowest < BOUND, "another client waited for {slowest:?}");
            got
        });
        let got = got.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let more = largest.into_inner().saturating_sub(before);
        assert!(more < MEMORY_MAX_KIB, "{more} KiB more than {before}");
        got
    }
}

/// The memory a process has.
fn resident_kib(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Sends the bytes so often, or until the proxy has had enough, and reads all the while; why the
/// connection ended, if it did.
fn flood(
    at: SocketAddr,
    first: &[u8],
    times: u32,
    mut next: impl FnMut(u32) -> Vec<u8> + Send,
) -> Option<Outcome> {
    let mut frames = Frames::connect(at).unwrap();
    frames.send(first).unwrap();
    let mut writer = frames.socket.try_clone().unwrap();
    writer.set_write_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
    thread::scope(|scope| {
        let sent = scope.spawn(move || {
            let mut number = 0;
            while number < times {
                let end = (number + 100).min(times);
                let batch: Vec<u8> = (number..end).flat_map(&mut next).collect();
                if writer.write_all(&batch).is_err() {
                    return;
                }
                number = end;
            }
            // Answered when everything before it was read.
            let _ = writer.write_all(&frame(kind::PING, 0, 0, b"thelast!"));
        });
        let outcome = loop {
            match frames.step() {
                Ok(true) if frames.has_pong(b"thelast!") => break None,
                Ok(true) => {}
                Ok(false) => break Some(frames.goaway().map_or(Outcome::Closed, Outcome::GoAway)),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break Some(Outcome::Closed),
                Err(error) => panic!("{error}"),
            }
        };
        let _ = frames.socket.shutdown(std::net::Shutdown::Both);
        sent.join().unwrap();
        outcome
    })
}

fn is_calmed(outcome: &Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::GoAway(code::ENHANCE_YOUR_CALM) | Outcome::Closed))
}

fn odd(number: u32) -> u32 {
    2 * number + 1
}

/// CVE-2023-44487: requests that are given up at once.
#[test]
fn rapid_reset() {
    let ground = Ground::new();
    let outcome = ground.attack(|at| {
        flood(at, b"", 100_000, |n| {
            [get(odd(n), HOST, "/bad"), reset(odd(n), code::CANCEL)].concat()
        })
    });
    assert!(is_calmed(&outcome), "{outcome:?}");
}

/// The same, slowly enough that each request is looked at first.
#[test]
fn requests_that_are_given_up_later() {
    let ground = Ground::new();
    let backend = Backend::start_slow("slow", Duration::from_secs(60));
    let mut registry = ground.proxy.registry();
    registry.serve("slow", "1", &[("slow.test", "/", &backend.url())]);
    let given_up = ground.attack(|at| {
        let mut frames = Frames::connect(at).unwrap();
        (0..2000).find(|n| {
            let sent = frames.send(&get(odd(*n), "slow.test", "/"));
            // It has been looked at when a PING that came later is answered, or soon after.
            let alive = sent.is_ok() && matches!(frames.is_alive(), Ok(true));
            !alive || frames.send(&reset(odd(*n), code::CANCEL)).is_err()
        })
    });
    let given_up = given_up.expect("the connection ends");
    assert!((GIVEN_UP_MAX..GIVEN_UP_MAX + 64).contains(&given_up), "{given_up}");
}

/// CVE-2025-8671: streams that the proxy has to reset, since their client breaks rules.
#[test]
fn made_you_reset() {
    let ground = Ground::new();
    let post = |n, more: &[(&str, &str)]| head(odd(n), &request("POST", HOST, "/bad", more), false);
    let too_large_a_window = |n| [post(n, &[]), window_update(odd(n), (1 << 31) - 1)].concat();
    let too_long_a_body =
        |n| [post(n, &[("content-length", "1")]), data(odd(n), b"xx", true)].concat();
    let depends_on_itself = |n: u32| {
        let block = request("GET", HOST, "/bad", &[]);
        let payload = [&odd(n).to_be_bytes()[..], &[15], &block].concat();
        frame(kind::HEADERS, 0x25, odd(n), &payload)
    };
    let no_path = |n| {
        head(
            odd(n),
            &fields(&[(":method", "GET"), (":scheme", "http"), (":authority", HOST)]),
            true,
        )
    };
    // What somebody worked on already is given up besides, and that has a bound of its own.
    type Way<'w> = (&'w str, &'w (dyn Fn(u32) -> Vec<u8> + Sync), u32);
    let ways: [Way<'_>; 4] = [
        ("a window too large", &too_large_a_window, GIVEN_UP_MAX),
        ("a body too long", &too_long_a_body, GIVEN_UP_MAX),
        ("a stream that depends on itself", &depends_on_itself, ERROR_RESETS_MAX),
        ("no path", &no_path, ERROR_RESETS_MAX),
    ];
    for (what, way, at_least) in ways {
        let (reset, last) = ground.attack(|at| {
            let mut frames = Frames::connect(at).unwrap();
            for n in 0..=ERROR_RESETS_MAX {
                frames.send(&way(n)).unwrap();
                let outcome = frames.outcome(odd(n)).unwrap();
                if !matches!(outcome, Outcome::Reset(_)) {
                    return (n, outcome);
                }
            }
            (u32::MAX, Outcome::Closed)
        });
        assert!((at_least..=ERROR_RESETS_MAX).contains(&reset), "{what}: {reset}");
        assert_eq!(last, Outcome::GoAway(code::ENHANCE_YOUR_CALM), "{what}");
    }
}

/// Frames that say nothing: as many as the stock has, and one more.
#[test]
fn frames_that_say_nothing() {
    let ground = Ground::new();
    let ping = || frame(kind::PING, 0, 0, &[0; 8]);
    let pong = || frame(kind::PING, ACK, 0, &[0; 8]);
    let setting = || settings(&[(setting::INITIAL_WINDOW_SIZE, 65_535)]);
    let priority = || frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 5, 1]);
    let unknown = || frame(0xfa, 0, 0, &[0; 100]);
    let ways: [(&str, &(dyn Fn() -> Vec<u8> + Sync)); 5] = [
        ("PING", &ping),
        ("PING acknowledged", &pong),
        ("SETTINGS", &setting),
        ("PRIORITY", &priority),
        ("a kind nobody knows", &unknown),
    ];
    for (what, way) in ways {
        let outcome = ground.attack(|at| flood(at, b"", 200_000, |_| way()));
        assert!(is_calmed(&outcome), "{what}: {outcome:?}");
    }
    // A stock that fills up with time is not exactly as large as it was.
    let fewer = IDLE_FRAMES_MAX as u32 - 100;
    let outcome = ground.attack(|at| flood(at, b"", fewer, |_| ping()));
    assert_eq!(outcome, None, "as many as there may be");
    // With requests in between there may be any number.
    let mut frames = Frames::connect(ground.proxy.http()).unwrap();
    let asked = 2 * IDLE_FRAMES_MAX as u32 / 10;
    for n in 0..asked {
        frames.send(&[ping().repeat(10), get(odd(n), HOST, "/")].concat()).unwrap();
        assert_eq!(frames.outcome(odd(n)).unwrap().status(), 200, "{n}");
    }
}

/// CVE-2024-27316 and its like: a head that does not end.
#[test]
fn continuation_flood() {
    let ground = Ground::new();
    let first = frame(kind::HEADERS, END_STREAM, 1, &request("GET", HOST, "/bad", &[]));
    for (what, payload) in [
        ("empty", vec![]),
        ("small", fields(&[("x-a", "1")])),
        ("large", fields(&[("x-a", &*"1".repeat(16_000))])),
    ] {
        let more = || frame(kind::CONTINUATION, 0, 1, &payload);
        let outcome = ground.attack(|at| flood(at, &first, 20_000, |_| more()));
        assert!(outcome.is_some(), "{what}: {outcome:?}");
    }
}

/// Payload in the smallest pieces there are, to a backend that does not read.
#[test]
fn tiny_data() {
    let ground = Ground::new();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let mut registry = ground.proxy.registry();
    registry.serve("deaf", "1", &[("deaf.test", "/", &url)]);
    let post = head(1, &request("POST", "deaf.test", "/", &[]), false);
    let outcome = ground.attack(|at| flood(at, &post, 200_000, |_| data(1, b"", false)));
    assert!(outcome.is_some(), "empty: {outcome:?}");
    // As small as they are, they fit into the window: memory is what is at stake.
    let mut frames = Frames::connect(ground.proxy.http()).unwrap();
    ground.attack(|_| {
        let posts =
            (0..2).flat_map(|n| head(odd(n), &request("POST", "deaf.test", "/", &[]), false));
        frames.send(&posts.collect::<Vec<u8>>()).unwrap();
        for _ in 0..1000 {
            let tiny: Vec<u8> =
                (0..2).flat_map(|n| data(odd(n), b"x", false).repeat(200)).collect();
            if frames.send(&tiny).is_err() {
                break;
            }
        }
        let _ = frames.is_alive();
    });
}

/// Few bytes that are many: a large field in the table, and heads that refer to it.
#[test]
fn hpack_bomb() {
    let ground = Ground::new();
    // A literal that is indexed (RFC 7541, 6.2.1), as large as the table takes.
    let mut first = request("GET", HOST, "/bad", &[]);
    first.push(0x40);
    for text in ["x-bomb".to_owned(), "b".repeat(4000)] {
        number(&mut first, text.len(), 7, 0);
        first.extend_from_slice(text.as_bytes());
    }
    let bomb = [request("GET", HOST, "/bad", &[]), vec![0xbe; 16_000]].concat();
    let outcome = ground
        .attack(|at| flood(at, &head(1, &first, true), 1000, |n| head(odd(n + 1), &bomb, true)));
    assert!(outcome.is_some(), "{outcome:?}");
}

/// Heads at the bounds, and one past them.
#[test]
fn heads_as_large_as_may_be() {
    let ground = Ground::new();
    let mut asked = 0;
    let mut frames = Frames::connect(ground.proxy.http()).unwrap();
    let mut ask = |block: &[u8]| {
        let stream = odd(asked);
        asked += 1;
        frames.send(&head(stream, block, true)).unwrap();
        frames.outcome(stream).unwrap().status()
    };
    let with = |more: &[(&str, &str)]| request("GET", HOST, "/", more);
    // Fields count their names, their values and 32 (RFC 9113, 6.5.2).
    let size = |fields: &[(&str, &str)]| -> usize {
        fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    };
    let start = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/")];
    let room = 64 * 1024 - size(&start);
    let large = |bytes: usize| "v".repeat(bytes - "x-a".len() - 32);
    assert_eq!(ask(&with(&[("x-a", &large(room - 1))])), 200, "a head of nearly 64 KiB");
    assert_eq!(ask(&with(&[("x-a", &large(room + 1))])), 431, "and a larger one");
    let names: Vec<String> = (0..101).map(|n| format!("x-{n}")).collect();
    let many = |count: usize| -> Vec<u8> {
        let more: Vec<(&str, &str)> = names[..count].iter().map(|name| (&**name, "1")).collect();
        with(&more)
    };
    assert_eq!(ask(&many(100)), 200, "100 fields");
    assert_eq!(ask(&many(101)), 431, "and one more");
    let path = |bytes: usize| request("GET", HOST, &format!("/{}", "p".repeat(bytes - 1)), &[]);
    assert_eq!(ask(&path(16 * 1024)), 200, "a path of 16 KiB");
    assert_eq!(ask(&path(16 * 1024 + 1)), 414, "and a longer one");
    assert_eq!(ask(&with(&[])), 200, "the connection goes on");
}

/// As many streams as were announced, and one more.
#[test]
fn one_stream_too_many() {
    let ground = Ground::new();
    let backend = Backend::start_slow("slow", Duration::from_secs(2));
    let mut registry = ground.proxy.registry();
    registry.serve("slow", "1", &[("slow.test", "/", &backend.url())]);
    ground.attack(|at| {
        let mut frames = Frames::connect(at).unwrap();
        assert_eq!(frames.settings.get(&setting::MAX_CONCURRENT_STREAMS), Some(&STREAMS_MAX));
        let all: Vec<u8> = (0..=STREAMS_MAX).flat_map(|n| get(odd(n), "slow.test", "/")).collect();
        frames.send(&all).unwrap();
        let refused = frames.outcome(odd(STREAMS_MAX)).unwrap();
        assert_eq!(refused, Outcome::Reset(code::REFUSED_STREAM));
        for n in 0..STREAMS_MAX {
            assert_eq!(frames.outcome(odd(n)).unwrap().status(), 200, "{n}");
        }
        // When they have ended there is room again.
        assert_eq!(frames.get(odd(STREAMS_MAX + 1), HOST, "/").unwrap().status(), 200);
    });
    assert_eq!(backend.requests(), STREAMS_MAX as usize);
}

/// A client that never takes what it asked for: its stream ends, and the backend is free.
#[test]
fn windows_that_never_open() {
    let ground = Ground::tuned("body_timeout = \"1s\"");
    for connection in [false, true] {
        ground.attack(|at| {
            let window = if connection { 1 << 20 } else { 0 };
            let ours = [(setting::INITIAL_WINDOW_SIZE, window)];
            let mut frames = Frames::connect_with(at, &ours).unwrap();
            frames.grant_nothing();
            // 65 535 bytes of the connection's window are there from the start.
            let path = format!("/{}", "p".repeat(16_000));
            let asked = if connection { 8 } else { 1 };
            let all: Vec<u8> = (0..asked).flat_map(|n| get(odd(n), HOST, &path)).collect();
            frames.send(&all).unwrap();
            let outcomes: Vec<_> = (0..asked).map(|n| frames.outcome(odd(n)).unwrap()).collect();
            assert!(
                outcomes.iter().any(|outcome| matches!(outcome, Outcome::Reset(_))),
                "{outcomes:?}"
            );
            assert!(frames.is_alive().unwrap());
        });
    }
}

/// Who says too little, too late.
#[test]
fn clients_that_take_their_time() {
    let ground =
        Ground::tuned("header_timeout = \"1s\"\\nbody_timeout = \"1s\"\\nidle_timeout = \"2s\"");
    let ends = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(ground.proxy.http()).unwrap();
        stream.set_read_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got);
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    };
    let begun = [PREFACE, &settings(&[])].concat();
    let half = frame(kind::HEADERS, END_STREAM, 1, &request("GET", HOST, "/", &[]));
    ground.attack(|_| {
        thread::scope(|scope| {
            for bytes in [b"", &PREFACE[..3], &PREFACE[..20], PREFACE, &begun] {
                scope.spawn(|| ends(bytes));
            }
            // Half of a head, and half of a frame.
            scope.spawn(|| ends(&[&begun[..], &half].concat()));
            scope.spawn(|| ends(&[&begun[..], &half[..20]].concat()));
        });
    });
    // A body that does not come is answered, or its stream ends; the connection goes on.
    ground.attack(|at| {
        let mut frames = Frames::connect(at).unwrap();
        frames
            .send(&head(1, &request("POST", HOST, "/", &[("content-length", "5")]), false))
            .unwrap();
        let outcome = frames.outcome(1).unwrap();
        assert!(matches!(outcome.status(), 0 | 408), "{outcome:?}");
        assert_eq!(frames.get(3, HOST, "/").unwrap().status(), 200);
        // Quiet for too long: told to go, in peace.
        assert_eq!(frames.end().unwrap(), Outcome::GoAway(code::NO_ERROR));
    });
}

/// A client whose uploads are answered early again and again is no attacker, although its payload
/// comes when its streams are gone.
#[test]
fn uploads_that_are_answered_early() {
    let ground = Ground::new();
    let mut frames = Frames::connect(ground.proxy.http()).unwrap();
    for n in 0..400 {
        frames.send(&head(odd(n), &request("POST", "nobody.test", "/", &[]), false)).unwrap();
        let outcome = frames.outcome(odd(n)).unwrap();
        assert_eq!(outcome.status(), 404, "{n}: {outcome:?}");
        frames.send(&data(odd(n), &[b'x'; 100], true)).unwrap();
    }
    assert!(frames.is_alive().unwrap());
    assert_eq!(frames.get(odd(400), HOST, "/").unwrap().status(), 200);
    wait_for("the backend", || (ground.backend.requests() == 1).then_some(()));
}
