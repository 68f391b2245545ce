use alloc::{format, string::String, vec::Vec};

use super::{Event, REQUEST, run};
use crate::websocket::{WebSocket, WebSocketError, handshake::Handshake};

fn answer(request: &str) -> Vec<Event> {
    run(&mut WebSocket::new(), [request.as_bytes()])
}

/// The request of the standard with `line` in place of the line that begins like it, or at its end.
fn with(line: &str) -> String {
    let (name, _) = line.split_once(':').unwrap();
    let mut lines: Vec<&str> = REQUEST.trim_end().split("\r\n").collect();
    match lines.iter_mut().find(|old| old.starts_with(name)) {
        Some(old) => *old = line,
        None => lines.push(line),
    }
    lines.join("\r\n") + "\r\n\r\n"
}

/// The request of the standard with `line` in place of its first.
fn asking(line: &str) -> String {
    REQUEST.replacen("GET /mqtt HTTP/1.1", line, 1)
}

fn without(name: &str) -> String {
    let mut lines: Vec<&str> = REQUEST.split("\r\n").collect();
    lines.retain(|line| !line.starts_with(name));
    lines.join("\r\n")
}

fn refusal(error: WebSocketError) -> String {
    String::from_utf8(error.answer(&mut [0; 256]).to_vec()).unwrap()
}

#[test]
fn the_example_of_the_standard_is_accepted() {
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    assert_eq!(answer(REQUEST), [Event::Upgraded(expected.into())]);
}

#[test]
fn requests_written_otherwise_mean_the_same() {
    let cookie = format!("Cookie: {}", "x=y; ".repeat(1000));
    let upgrade = REQUEST.replace("Upgrade: websocket", "Upgrade: h2c, WebSocket , x");
    let requests = [
        asking("GET /mqtt?token=a/b?c HTTP/1.1"),
        asking("GET /mqtt? HTTP/1.1"),
        asking("GET http://[fe80::1]:9001/mqtt HTTP/1.1"),
        asking("GET HTTPS://broker.of-the-house.example:9001/mqtt?x HTTP/1.1"),
        asking("GET /mqtt HTTP/1.2"),
        with("Host:"),
        with("Upgrade: WEBSOCKET"),
        upgrade,
        with("Connection: keep-alive, Upgrade"),
        with("Connection: Upgrade, keep-alive,"),
        with("Connection:keep-alive\t,,\tupgrade  "),
        with("Connection: keep-alive\r\nconnection: Upgrade"),
        with("Content-Length: 0"),
        with("Sec-WebSocket-Version:13 "),
        with("Sec-WebSocket-Protocol: mqttv5.0, a protocol, mqtt"),
        with("Sec-WebSocket-Protocol: something-much-longer-than-any-word-that-matters, mqtt"),
        with("Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: mqtt"),
        with("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        with("User-Agent: \"B\u{e4}r\" {1}\t(2)"),
        with("X-!#$%&'*+-.^_`|~:"),
        with(&cookie),
        REQUEST.replace("Sec-WebSocket-", "SEC-websocket-").replace("Host", "hOST"),
    ];
    for request in requests {
        assert_eq!(answer(&request), answer(REQUEST), "{request}");
    }
}

#[test]
fn a_client_of_mqtt_3_1_gets_its_subprotocol_unless_it_takes_mqtt() {
    for (offered, chosen) in [
        ("mqtt", "mqtt"),
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1, mqtt", "mqtt"),
        ("mqtt, mqttv3.1", "mqtt"),
        ("mqttv3.1\r\nSec-WebSocket-Protocol: mqtt", "mqtt"),
    ] {
        let [Event::Upgraded(answer)] = &answer(&with(&format!("Sec-WebSocket-Protocol: {offered}")))[..]
        else {
            panic!("{offered}");
        };
        assert!(answer.ends_with(&format!("\r\nSec-WebSocket-Protocol: {chosen}\r\n\r\n")), "{offered}");
    }
}

#[test]
fn a_key_that_is_no_encoding_of_anything_is_hashed_as_it_is() {
    let [Event::Upgraded(answer)] = &answer(&with("Sec-WebSocket-Key: ABCDEFGHIJKLMNOPQRST+/=="))[..] else {
        panic!();
    };
    // Computed with Python's hashlib.
    assert!(answer.contains("\r\nSec-WebSocket-Accept: /nPO/KyM5EE4BhU7v7RCw034ff0=\r\n"), "{answer}");
}

#[test]
fn what_is_wrong_with_the_contents_is_told_at_the_end_of_the_request() {
    for (request, error) in [
        (asking("POST /mqtt HTTP/1.1"), WebSocketError::Method),
        (asking("get /mqtt HTTP/1.1"), WebSocketError::Method),
        (asking("GETS /mqtt HTTP/1.1"), WebSocketError::Method),
        (asking("PUT / HTTP/1.0"), WebSocketError::Method),
        (asking("GET / HTTP/1.1"), WebSocketError::Path),
        (asking("GET /mqtt/ HTTP/1.1"), WebSocketError::Path),
        (asking("GET /MQTT HTTP/1.1"), WebSocketError::Path),
        (asking("GET /mqttx HTTP/1.1"), WebSocketError::Path),
        (asking("GET //mqtt HTTP/1.1"), WebSocketError::Path),
        (asking("GET /?/mqtt HTTP/1.1"), WebSocketError::Path),
        (asking("GET mqtt HTTP/1.1"), WebSocketError::Path),
        (asking("GET http://server HTTP/1.1"), WebSocketError::Path),
        (asking("GET http://server?/mqtt HTTP/1.1"), WebSocketError::Path),
        (asking("GET ftp://server/mqtt HTTP/1.1"), WebSocketError::Path),
        (asking(&format!("GET /{} HTTP/1.1", "mqtt".repeat(500))), WebSocketError::Path),
        (asking("GET /mqtt HTTP/1.0"), WebSocketError::HttpVersion),
        (asking("GET /mqtt HTTP/0.9"), WebSocketError::HttpVersion),
        (without("Host"), WebSocketError::Host),
        (with("Host: a\r\nHost: a"), WebSocketError::Host),
        (with("Content-Length: 1"), WebSocketError::Body),
        (with("Content-Length: 0, 1"), WebSocketError::Body),
        (with("Content-Length:"), WebSocketError::Body),
        (with("Transfer-Encoding: chunked"), WebSocketError::Body),
        (without("Upgrade"), WebSocketError::NotUpgrade),
        (without("Connection"), WebSocketError::NotUpgrade),
        (with("Upgrade: websocket2"), WebSocketError::NotUpgrade),
        (with("Connection: close, upgrade it"), WebSocketError::NotUpgrade),
        (without("Sec-WebSocket-Version"), WebSocketError::Version),
        (with("Sec-WebSocket-Version: 8"), WebSocketError::Version),
        (with("Sec-WebSocket-Version: 13, 8"), WebSocketError::Version),
        (with("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"), WebSocketError::Version),
        (without("Sec-WebSocket-Key"), WebSocketError::Key),
        (with("Sec-WebSocket-Key:"), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j=="), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=a"), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWE="), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==A"), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25-ZQ=="), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBs ZSBub25jQ=="), WebSocketError::Key),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, x"), WebSocketError::Key),
        (without("Sec-WebSocket-Protocol"), WebSocketError::Subprotocol),
        (with("Sec-WebSocket-Protocol:"), WebSocketError::Subprotocol),
        (with("Sec-WebSocket-Protocol: MQTT, amqp, mqtt v3.1"), WebSocketError::Subprotocol),
    ] {
        assert_eq!(answer(&request), [Event::Failed(error)], "{request}");
        let beginning = &request.as_bytes()[..request.len() - 1];
        assert_eq!(run(&mut WebSocket::new(), [beginning]), [], "{request}");
    }
}

#[test]
fn what_is_not_http_ends_at_the_byte_that_shows_it() {
    for beginning in [
        // CONNECT of MQTT, and the ClientHello of TLS.
        "\x10",
        "\x16",
        "\n",
        "\r",
        " ",
        "G(",
        "GET\t",
        "GET /\r",
        "GET /mqtt\n",
        "GET /mqtt  ",
        "GET /mqtt HTTP/1.1\n",
        "GET /mqtt HTTP/1.1 ",
        "GET /mqtt HTTP/11\r",
        "GET /mqtt HTTP/1.1.1\r",
        "GET /mqtt HTTP/1.x\r",
        "GET /mqtt http/1.1\r",
        "GET /mqtt \r",
        "GET /mqtt?\x7f",
        "GET http://\0",
        "GET /mqtt HTTP/1.1\rH",
        "GET /mqtt HTTP/1.1\r\n ",
        "GET /mqtt HTTP/1.1\r\n:",
        "GET /mqtt HTTP/1.1\r\nHost\r",
        "GET /mqtt HTTP/1.1\r\nHost ",
        "GET /mqtt HTTP/1.1\r\nH\u{1}",
        "GET /mqtt HTTP/1.1\r\nHost: \0",
        "GET /mqtt HTTP/1.1\r\nHost: a\n",
        "GET /mqtt HTTP/1.1\r\nHost: a\r\r",
        "GET /mqtt HTTP/1.1\r\n\r\r",
    ] {
        let (last, before) = beginning.as_bytes().split_last().unwrap();
        let mut websocket = WebSocket::new();
        assert_eq!(run(&mut websocket, [before]), [], "{beginning:?}");
        assert_eq!(
            run(&mut websocket, [&[*last][..]]),
            [Event::Failed(WebSocketError::NotHttp)],
            "{beginning:?}"
        );
    }
}

#[test]
fn a_request_of_8192_bytes_is_read_and_a_longer_one_is_not() {
    let padding = 8192 - REQUEST.len() - "X: \r\n".len();
    let longest = with(&format!("X: {}", "x".repeat(padding)));
    assert_eq!(longest.len(), 8192);
    assert_eq!(answer(&longest), answer(REQUEST));
    let longer = with(&format!("X: {}", "x".repeat(padding + 1)));
    assert_eq!(answer(&longer), [Event::Failed(WebSocketError::RequestTooLong)]);
}

#[test]
fn a_request_costs_the_same_memory_however_long_it_is() {
    let mut websocket = WebSocket::new();
    let memory = size_of::<WebSocket>() + size_of::<Handshake>();
    for byte in REQUEST[..REQUEST.len() - 1].bytes() {
        assert_eq!(websocket.memory(), memory);
        assert_eq!(run(&mut websocket, [&[byte][..]]), []);
    }
    assert_eq!(run(&mut websocket, [&b"\n"[..]]).len(), 1);
    assert_eq!(websocket.memory(), size_of::<WebSocket>());
}

#[test]
fn a_websocket_takes_24_bytes_and_its_handshake_80_more() {
    assert!(size_of::<WebSocket>() <= 24);
    assert!(size_of::<Handshake>() <= 80);
}

#[test]
fn bytes_behind_the_request_are_frames() {
    let bytes = [REQUEST.as_bytes(), b"\x82\x82\0\0\0\0\xc0\0"].concat();
    let events = run(&mut WebSocket::new(), [&bytes[..]]);
    assert!(matches!(&events[..], [Event::Upgraded(_), Event::Data(data)] if data == b"\xc0\0"));
}

#[test]
fn bytes_behind_a_refusal_are_dropped() {
    let bytes = [REQUEST, REQUEST].concat().replacen("GET", "PUT", 1);
    assert_eq!(answer(&bytes), [Event::Failed(WebSocketError::Method)]);
}

#[test]
fn a_browser_that_asks_for_a_page_is_told_what_this_is() {
    let request =
        "GET / HTTP/1.1\r\nHost: 192.168.4.1:9001\r\nConnection: keep-alive\r\nAccept: text/html\r\n\r\n";
    assert_eq!(answer(request), [Event::Failed(WebSocketError::Path)]);
    let expected = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: text/plain\r\n\
                    Content-Length: 56\r\n\r\npath is not /mqtt; this is MQTT over WebSocket at /mqtt\n";
    assert_eq!(refusal(WebSocketError::Path), expected);
}

#[test]
fn a_refusal_has_the_status_of_its_reason() {
    for (error, head, reason) in [
        (WebSocketError::NotHttp, "400 Bad Request", "not an HTTP request"),
        (
            WebSocketError::RequestTooLong,
            "431 Request Header Fields Too Large",
            "request longer than 8192 bytes",
        ),
        (WebSocketError::Method, "405 Method Not Allowed\r\nAllow: GET", "method is not GET"),
        (WebSocketError::Path, "404 Not Found", "path is not /mqtt"),
        (WebSocketError::HttpVersion, "400 Bad Request", "older than HTTP/1.1"),
        (WebSocketError::Host, "400 Bad Request", "not exactly one Host"),
        (WebSocketError::Body, "400 Bad Request", "request with a body"),
        (
            WebSocketError::NotUpgrade,
            "426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13",
            "no upgrade to websocket",
        ),
        (
            WebSocketError::Version,
            "426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13",
            "version of WebSocket is not 13",
        ),
        (WebSocketError::Key, "400 Bad Request", "Sec-WebSocket-Key is not 16 bytes in base64"),
        (WebSocketError::Subprotocol, "400 Bad Request", "subprotocol mqtt is not offered"),
    ] {
        assert_eq!(format!("{error}"), reason);
        let body = format!("{reason}; this is MQTT over WebSocket at /mqtt\n");
        let length = body.len();
        let expected = format!(
            "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        assert_eq!(refusal(error), expected);
    }
}

#[test]
fn before_the_end_of_the_handshake_there_is_no_closing_frame() {
    let mut websocket = WebSocket::new();
    assert_eq!(run(&mut websocket, [&b"GET /mq"[..]]), []);
    assert_eq!(websocket.close(1001), None);
    assert_eq!(run(&mut websocket, [REQUEST.as_bytes()]), []);
}
