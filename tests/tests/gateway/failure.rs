//! What fails hands out nothing, and tells the client no more than that it failed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tamis_tests::hostile::{FOREVER, Module, TRAP};

use super::client::Reply;
use super::people::alice;
use super::setup::{Running, Setup, fill, new_name, usual};

fn query() -> Json {
    json!({"query": [1, 0], "limit": 5, "with_payload": true})
}

fn failed(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text);
    let json = reply.json();
    assert_eq!(json["status"].as_object().unwrap().len(), 1);
    let error = json["status"]["error"].as_str().unwrap();
    let said = [
        "the database did not answer",
        "the request took too long",
        "the request could not be decided on",
        "the gateway is busy",
    ];
    assert!(said.contains(&error), "{error}");
    assert_eq!(json.get("result"), None);
}

/// A server that answers everything in the same way.
fn answering(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            std::thread::spawn(move || {
                let mut buffer = [0; 65_536];
                let _ = stream.read(&mut buffer);
                answer(&mut stream);
            });
        }
    });
    address
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn in_front_of(address: SocketAddr) -> Running {
    let setup = Setup {
        upstream: format!("http://{address}"),
        upstream_more: "timeout_ms = 700".to_owned(),
        ..Setup::default()
    };
    setup.start()
}

#[test]
fn a_database_that_is_down_is_no_answer() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = in_front_of(nobody);
    let client = gateway.client(&alice());
    failed(&client.query(&query()), 502);
    failed(&client.points("/count", &json!({})), 502);
    failed(&client.put(&json!({"points": [{"id": 1, "vector": [1, 0], "payload": {"tenant": "a"}}]})), 502);
    failed(&client.get("/readyz"), 503);
    assert_eq!(client.get("/healthz").status, 200);
    // What need not be asked is answered.
    assert_eq!(client.get("/collections").status, 200);
}

#[test]
fn a_database_that_is_slow_is_not_waited_for() {
    let gateway = in_front_of(answering(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{");
        std::thread::sleep(Duration::from_secs(20));
    }));
    let begun = Instant::now();
    failed(&gateway.client(&alice()).query(&query()), 504);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn answers_that_are_not_understood_are_none() {
    let point = |payload: &str| format!(r#"{{"id":2,"score":1.0,"version":1,"payload":{payload}}}"#);
    let points = |points: &str| format!(r#"{{"result":{{"points":[{points}]}},"status":"ok"}}"#);
    let good = point(r#"{"tenant":"a"}"#);
    for (body, status) in [
        (points(&good), 200),
        (points(""), 200),
        (String::new(), 502),
        ("{}".to_owned(), 502),
        ("[]".to_owned(), 502),
        ("<html>".to_owned(), 502),
        (r#"{"result":{}}"#.to_owned(), 502),
        (r#"{"result":{"points":{}}}"#.to_owned(), 502),
        (format!(r#"{{"result":[{good}]}}"#), 502),
        (points("5"), 502),
        (points(r#"{"payload":{"tenant":"a"}}"#), 502),
        (points(r#"{"id":{},"payload":{"tenant":"a"}}"#), 502),
        // Nobody could read any of it.
        (points(r#"{"id":2,"payload":[]}"#), 502),
        // Which of two tenants?
        (points(&point(r#"{"tenant":"b","tenant":"a"}"#)), 502),
        (points(&vec![good.clone(); 40].join(",")), 502),
        (points(&good).replace('}', "} "), 200),
        (format!("{} x", points(&good)), 502),
    ] {
        let answer = http("200 OK", "content-type: application/json\r\nx-secret: x\r\n", &body);
        let gateway = in_front_of(answering(move |stream| drop(stream.write_all(answer.as_bytes()))));
        let reply = gateway.client(&alice()).query(&query());
        assert_eq!(reply.status, status, "{body}: {}", reply.text);
        if status != 200 {
            failed(&reply, status);
        }
        assert!(!reply.headers.contains_key("x-secret"));
    }
}

#[test]
fn a_database_that_is_broken_into_widens_nothing() {
    // It ignores every filter, and answers points that nobody asked for. A version counts what others wrote.
    let points = r#"{"result":{"points":[{"id":3,"score":1.0,"version":4711,"payload":{"tenant":"b","text":"hidden"}},
        {"id":2,"score":0.5,"version":4712,"payload":{"tenant":"a","salary":1},"more":"hidden","shard_key":"hidden"}]},"status":"ok"}"#;
    let answer = http("200 OK", "", points);
    let gateway = in_front_of(answering(move |stream| drop(stream.write_all(answer.as_bytes()))));
    let reply = gateway.client(&alice()).query(&query());
    assert_eq!(
        reply.result(),
        json!({"points": [{"id": 2, "score": 0.5, "version": 0, "payload": {"tenant": "a", "salary": 1}}]})
    );
    assert!(!reply.text.contains("hidden"));
}

#[test]
fn errors_and_redirects_of_the_database_are_not_passed_on() {
    let elsewhere = answering(|_| panic!("somebody followed"));
    let location = format!("location: http://{elsewhere}/collections\r\n");
    for (status, headers, expected) in [
        ("301 Moved", location.as_str(), 502),
        ("307 Moved", location.as_str(), 502),
        ("308 Moved", location.as_str(), 502),
        ("500 Broken", "", 502),
        ("503 Busy", "", 502),
        ("401 Unauthorized", "", 502),
        ("403 Forbidden", "", 502),
        ("204 Nothing", "", 502),
        ("400 Bad", "", 400),
        ("422 Bad", "", 400),
        ("404 Missing", "", 404),
    ] {
        let answer =
            http(status, headers, r#"{"status":{"error":"hidden text of tenant b"},"result":{"points":[]}}"#);
        let gateway = in_front_of(answering(move |stream| drop(stream.write_all(answer.as_bytes()))));
        let reply = gateway.client(&alice()).query(&query());
        assert_eq!(reply.status, expected, "{status}: {}", reply.text);
        assert!(!reply.text.contains("hidden") && !reply.headers.contains_key("location"), "{reply:?}");
    }
}

#[test]
fn a_request_that_the_database_refuses_is_the_client_s_to_mend() {
    let gateway = usual();
    let client = gateway.client(&alice());
    assert_eq!(client.query(&json!({"query": [1, 0, 0]})).status, 400);
    // And the gateway goes on.
    assert_eq!(client.query(&query()).status, 200);
}

#[test]
fn a_policy_that_fails_shows_nothing() {
    let third = |body: &str| {
        let text = format!(
            "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
             (if (i32.gt_u (global.get $calls) (i32.const 2)) (then {body})) (global.get $allow)"
        );
        // A test's own module lives as long as the test.
        Module::filtering(text.leak()).component()
    };
    let name = new_name();
    fill(&name);
    for policy in [third(TRAP), third(FOREVER)] {
        let setup = Setup { policy, policy_file: "policy.wasm", deadline: 1_000, ..Setup::default() };
        let gateway = setup.start_with(&name);
        let client = gateway.client(&alice());
        // Two it decides on, and then it fails: what it decided is not shown.
        failed(&client.query(&query()), 500);
        failed(&client.points("/scroll", &json!({})), 500);
        failed(&client.points("", &json!({"ids": [1, 2, 3]})), 500);
        failed(&client.points("/count", &json!({})), 500);
        let batch = json!({"searches": [{"query": [1, 0], "limit": 1}, {"query": [1, 0], "limit": 5}]});
        failed(&client.points("/query/batch", &batch), 500);
        let points: Vec<Json> =
            (200..205).map(|id| json!({"id": id, "vector": [1, 0], "payload": {}})).collect();
        failed(&client.put(&json!({"points": points})), 500);
        let one = json!({"query": [1, 0], "filter": {"must": [{"has_id": [1]}]}});
        assert_eq!(client.query(&one).ids(), [1], "a session of its own goes on");
    }
}

#[test]
fn more_at_a_time_than_may_be_is_refused() {
    let setup = |address: SocketAddr| Setup {
        upstream: format!("http://{address}"),
        upstream_more: "timeout_ms = 3000".to_owned(),
        limits: "requests = 2".to_owned(),
        ..Setup::default()
    };
    let gateway = setup(answering(|stream| {
        std::thread::sleep(Duration::from_secs(2));
        let _ = stream.write_all(http("200 OK", "", r#"{"result":{"points":[]}}"#).as_bytes());
    }))
    .start();
    let client = gateway.client(&alice());
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(|| client.query(&query()))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let busy: Vec<&Reply> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert_eq!(busy.len(), 4);
    busy.iter().for_each(|reply| failed(reply, 503));
}
