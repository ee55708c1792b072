//! What goes over the wire: what the database is asked, what clients get beside answers, and requests that a parser might read otherwise.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::client::send;
use super::people::{alice, carol};
use super::setup::{KEY, Running, engine, readable, usual};

/// What the engine was asked of a collection, apart from what the tests themselves ask.
pub(super) fn seen(name: &str) -> Vec<Json> {
    let all = send("GET", &format!("{}/seen", engine().address()), &[("api-key", KEY)], None).json();
    let part = format!("/collections/{name}/");
    let of_this = |seen: &&Json| {
        let headers = seen["headers"].as_object().unwrap();
        let gateways = headers.iter().any(|(_, value)| value.as_str().unwrap().starts_with("tamis-gateway/"));
        gateways && seen["path"].as_str().unwrap().starts_with(&part)
    };
    all.as_array().unwrap().iter().filter(of_this).cloned().collect()
}

#[test]
fn the_database_gets_nothing_of_the_client_s() {
    let gateway = usual();
    let client = gateway.client(&alice());
    let url =
        format!("{}/collections/{}/points/query?timeout=5&consistency=majority", client.base, gateway.name);
    let bearer = client.bearer();
    let headers =
        [("authorization", bearer.as_str()), ("x-mine", "mine"), ("user-agent", "mine"), ("cookie", "mine")];
    let body = json!({
        "prefetch": [{"query": [1, 0], "filter": {"should": [{"has_id": [3]}]}}, {"prefetch": {"query": [0, 1]}, "query": [1, 0]}],
        "query": {"fusion": "rrf"}, "with_payload": false, "with_vector": false,
    });
    let reply = send("POST", &url, &headers, Some(&body.to_string()));
    reply.result();
    let seen = seen(&gateway.name);
    assert!(seen.len() >= 4, "{seen:?}");
    let mut stages = 0;
    for asked in &seen {
        let names: Vec<String> =
            asked["headers"].as_object().unwrap().keys().map(|name| name.to_lowercase()).collect();
        let known = ["accept", "api-key", "content-length", "content-type", "host", "user-agent"];
        assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
        let text = asked.to_string();
        assert!(!text.contains("mine") && !text.contains(&bearer[7..]), "{text}");
        assert_eq!(asked["body"]["with_payload"], true);
        assert!(!asked["path"].as_str().unwrap().contains('?'));
        stages += narrowed(&asked["body"]);
    }
    assert!(stages >= 9, "{stages}");
    // Nor does the client get anything of the database's.
    let known = [
        "cache-control",
        "content-length",
        "content-type",
        "date",
        "tamis-complete",
        "tamis-exact",
        "tamis-generation",
    ];
    assert!(reply.headers.keys().all(|name| known.contains(&name.as_str())), "{:?}", reply.headers);
    assert!(!reply.text.contains(KEY));
}

/// Asserts that the policy's filter is the first in every stage, and counts them.
fn narrowed(stage: &Json) -> usize {
    let must = stage["filter"]["must"].as_array().unwrap_or_else(|| panic!("no filter in {stage}"));
    assert_eq!(stage["filter"].as_object().unwrap().len(), 1);
    let policy = must[0].to_string();
    assert!(policy.contains("tenant") && !policy.contains("has_id"), "{policy}");
    let prefetch = stage.get("prefetch").and_then(Json::as_array);
    1 + prefetch.into_iter().flatten().map(narrowed).sum::<usize>()
}

/// What comes back for bytes as they are, until the connection is closed or nothing more comes.
fn raw(gateway: &Running, request: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answer.get(at + 9..at + 12)).collect()
}

fn request(gateway: &Running, line: &str, headers: &str, body: &str) -> String {
    let bearer = gateway.client(&carol()).bearer();
    format!(
        "{line} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

#[test]
fn paths_are_not_what_they_are_not() {
    let gateway = usual();
    let name = &gateway.name;
    let body = r#"{"query":[1,0]}"#;
    let length = format!("content-length: {}\r\n", body.len());
    let fine =
        raw(&gateway, &request(&gateway, &format!("POST /collections/{name}/points/query"), &length, body));
    assert_eq!(statuses(&fine), ["200"]);
    for path in [
        format!("/collections/{name}/points/query/"),
        format!("//collections/{name}/points/query"),
        format!("/collections//{name}/points/query"),
        format!("/collections/other/../{name}/points/query"),
        format!("/collections/other/%2e%2e/{name}/points/query"),
        format!("/collections/{name}%2fpoints/query"),
        format!("/collections/{name}/points/%71uery"),
        format!("/collections/{name}/points/query;x"),
        format!("/collections/{name}/points/query%00"),
        format!("/collections/{name}\\points\\query"),
        format!("/./collections/{name}/points/query"),
        format!("http://127.0.0.1/collections/{name}/points/query"),
        format!("{}/collections/{name}/points/query", engine().address()),
        "http://127.0.0.1:1/".to_owned(),
        "*".to_owned(),
    ] {
        let answer = raw(&gateway, &request(&gateway, &format!("POST {path}"), &length, body));
        assert_eq!(statuses(&answer), ["400"], "{path}: {answer}");
    }
    // Letters that differ are others.
    for path in [format!("/Collections/{name}/points/query"), format!("/collections/{name}/POINTS/query")] {
        let answer = raw(&gateway, &request(&gateway, &format!("POST {path}"), &length, body));
        assert_eq!(statuses(&answer), ["403"], "{path}");
    }
    for method in ["CONNECT", "TRACE", "OPTIONS", "HEAD", "post", "QUERY"] {
        let answer = raw(
            &gateway,
            &request(&gateway, &format!("{method} /collections/{name}/points/query"), &length, body),
        );
        assert!(!statuses(&answer).contains(&"200"), "{method}: {answer}");
    }
}

#[test]
fn a_body_has_one_length() {
    let gateway = usual();
    let line = format!("POST /collections/{}/points/query", gateway.name);
    let body = r#"{"query":[1,0],"limit":1}"#;
    let length = body.len();
    let hidden = format!(
        "GET /collections HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\r\n",
        gateway.client(&alice()).bearer()
    );
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let one_chunk = raw(&gateway, &request(&gateway, &line, "transfer-encoding: chunked\r\n", &chunked));
    assert_eq!(statuses(&one_chunk), ["200"]);
    for (headers, body) in [
        (format!("content-length: {length}\r\ncontent-length: 0\r\n"), format!("{body}{hidden}")),
        (format!("content-length: 0\r\ncontent-length: {length}\r\n"), body.to_owned()),
        (format!("content-length: {length}, {length}\r\n"), body.to_owned()),
        (format!("content-length: +{length}\r\n"), body.to_owned()),
        (format!("content-length : {length}\r\n"), body.to_owned()),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(), chunked.clone()),
        ("transfer-encoding: xchunked\r\n".to_owned(), chunked.clone()),
        (format!("content-length: {length}\r\ncontent-encoding: gzip\r\n"), body.to_owned()),
    ] {
        let answer = raw(&gateway, &request(&gateway, &line, &headers, &body));
        assert_eq!(statuses(&answer), ["400"], "{headers}: {answer}");
    }
}

/// Two lengths of which one is chunked: that one counts, and nothing that comes after is a request.
#[test]
fn what_follows_a_body_with_two_lengths_is_no_request() {
    let gateway = usual();
    let line = format!("POST /collections/{}/points/query", gateway.name);
    let body = r#"{"query":[1,0],"limit":1}"#;
    let bearer = gateway.client(&alice()).bearer();
    let hidden = format!("GET /collections HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\n\r\n");
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = chunked.len() + hidden.len();
    for headers in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        "transfer-encoding: chunked\r\n".to_owned(),
    ] {
        let sent = request(&gateway, &line, &headers, &format!("{chunked}{hidden}"))
            .replace("connection: close\r\n", "");
        let answer = raw(&gateway, &sent);
        assert_eq!(statuses(&answer), ["200"], "{headers}: {answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let limits = super::setup::Setup { limits: "connections = 4".to_owned(), ..Default::default() };
    let name = super::setup::new_name();
    super::setup::fill(&name);
    let gateway = limits.start_with(&name);
    // Idle connections take the room until they are closed; then there is room again.
    let idle: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(gateway.address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
    drop(idle);
    assert_eq!(
        gateway.client(&carol()).query(&json!({"query": [1, 0], "limit": 3})).ids(),
        readable("b")[..3]
    );
}
