//! Plain HTTP, as a client of the gateway's might send it.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use ureq::Agent;
use ureq::http::Request;

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The `result` of an answer.
    pub(super) fn result(&self) -> Json {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["result"].clone()
    }

    /// The ids of the points that it answers.
    pub(super) fn ids(&self) -> Vec<u64> {
        ids(&self.result())
    }
}

/// The ids of points, in the shapes that endpoints answer.
pub(super) fn ids(result: &Json) -> Vec<u64> {
    let points = result.get("points").unwrap_or(result);
    points.as_array().unwrap().iter().map(|point| point["id"].as_u64().unwrap()).collect()
}

/// Sends whatever is wanted.
pub(super) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
    let config = Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
    let agent: Agent = config.max_redirects(0).build().into();
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let sent = match body {
        Some(body) => {
            agent.run(request.header("content-type", "application/json").body(body.to_owned()).unwrap())
        }
        None => agent.run(request.body(()).unwrap()),
    };
    let mut reply = sent.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
    };
    let headers = reply.headers().iter().map(header).collect();
    let text = reply.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
    Reply { status: reply.status().as_u16(), headers, text }
}

/// Somebody who asks for one collection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) base: String,
    name: String,
    token: String,
}

impl Client {
    pub(super) fn new(base: &str, name: &str, token: &str) -> Self {
        Self { base: base.to_owned(), name: name.to_owned(), token: token.to_owned() }
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Sends to a path of the gateway's.
    pub(super) fn send(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        send(method, &format!("{}{path}", self.base), &[("authorization", &self.bearer())], body)
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    /// Asks for points of the collection.
    pub(super) fn points(&self, what: &str, body: &Json) -> Reply {
        self.send("POST", &format!("/collections/{}/points{what}", self.name), Some(&body.to_string()))
    }

    pub(super) fn query(&self, body: &Json) -> Reply {
        self.points("/query", body)
    }

    pub(super) fn put(&self, body: &Json) -> Reply {
        self.send("PUT", &format!("/collections/{}/points?wait=true", self.name), Some(&body.to_string()))
    }
}
