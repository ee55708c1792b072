//! A gateway in front of the engine, with a collection of its own for each test.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use serde_json::{Value as Json, json};
use tamis_gateway::{Config, Gateway, serve};
use tamis_tests::engines::Server;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::client::{Client, Reply, send};
use super::people;

/// The key of the database, which no client has.
pub(super) const KEY: &str = "a key";

/// Only the `hr` group sees salaries, and the texts beside them. A title is beyond what Qdrant's filters can say, so that what is secret is
/// left to the filter gate.
pub(super) const POLICY: &str = r#"
    @id("whole")
    permit(principal in Group::"hr", action == Action::"retrieve", resource) when { resource.tenant == principal.tenant };
    @id("brief") @redact("salary, text")
    permit(principal, action == Action::"retrieve", resource) when { resource.tenant == principal.tenant && resource has salary };
    @id("plain")
    permit(principal, action == Action::"retrieve", resource) when { resource.tenant == principal.tenant && !(resource has salary) };
    @id("secret")
    forbid(principal, action, resource) when { resource has title && resource.title like "*secret*" };
    @id("index")
    permit(principal, action == Action::"index", resource) when { resource.tenant == principal.tenant };
"#;

/// So many points, in a quarter of a circle: those with lower numbers are nearer to `[1, 0]`.
pub(super) const POINTS: u64 = 60;

/// Where the points keep what the policy reads.
const FIELDS: &str = r#"fields = { id = { absent = true }, entity_type = { constant = "Chunk" }, ancestors = { absent = true } }"#;

/// The engine, one for all tests.
pub(super) fn engine() -> &'static Server {
    static ENGINE: OnceLock<Server> = OnceLock::new();
    ENGINE.get_or_init(Server::qdrant)
}

/// What the engine itself says, to whom it trusts.
pub(super) fn behind(method: &str, path: &str, body: &Json) -> Json {
    let url = format!("{}{path}", engine().address());
    let reply = send(method, &url, &[("api-key", KEY)], Some(&body.to_string()));
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()
}

/// A point's vector.
pub(super) fn vector(number: u64) -> Json {
    let angle = number as f64 * 0.025;
    json!([angle.cos(), angle.sin()])
}

pub(super) fn payload(number: u64) -> Json {
    let mut payload = json!({
        "tenant": if number.is_multiple_of(2) { "a" } else { "b" },
        "number": number,
        "text": format!("text of {number}"),
        "owner": {"name": format!("n{number}"), "mail": "m"},
    });
    if number.is_multiple_of(3) {
        payload["salary"] = json!(1000 + number);
    }
    if is_secret(number) {
        payload["title"] = json!("a secret title");
    }
    payload
}

/// What only the filter gate keeps back.
pub(super) fn is_secret(number: u64) -> bool {
    number % 5 == 1 || number == 0
}

/// Points of a tenant that may be read, nearest to `[1, 0]` first.
pub(super) fn readable(tenant: &str) -> Vec<u64> {
    let of_tenant = |number: &u64| payload(*number)["tenant"] == tenant;
    (0..POINTS).filter(of_tenant).filter(|number| !is_secret(*number)).collect()
}

/// A gateway, which ends with this.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) figures: SocketAddr,
    /// The collection of this test.
    pub(super) name: String,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What differs from the usual.
pub(super) struct Setup {
    pub(super) upstream: String,
    pub(super) policy: Vec<u8>,
    /// `policy.cedar` or `policy.wasm`.
    pub(super) policy_file: &'static str,
    pub(super) tokens: String,
    pub(super) limits: String,
    pub(super) upstream_more: String,
    pub(super) fields: String,
    /// The member that is the text.
    pub(super) text: &'static str,
    pub(super) schema: Option<&'static str>,
    /// Milliseconds for one call of the policy.
    pub(super) deadline: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            upstream: engine().address().to_owned(),
            policy: POLICY.as_bytes().to_vec(),
            policy_file: "policy.cedar",
            tokens: people::RS256.to_owned(),
            limits: String::new(),
            upstream_more: String::new(),
            fields: FIELDS.to_owned(),
            text: "text",
            schema: None,
            deadline: 20_000,
        }
    }
}

/// A name that no other test has.
pub(super) fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("docs-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A collection of the usual points.
pub(super) fn fill(name: &str) {
    behind("PUT", &format!("/collections/{name}"), &json!({"vectors": {"size": 2, "distance": "Cosine"}}));
    let point = |number| json!({"id": number, "vector": vector(number), "payload": payload(number)});
    let points: Vec<Json> = (0..POINTS).map(point).collect();
    behind("PUT", &format!("/collections/{name}/points"), &json!({"points": points}));
    for (field, schema) in [("number", "integer"), ("salary", "integer")] {
        let index = json!({"field_name": field, "field_schema": schema});
        behind("PUT", &format!("/collections/{name}/index"), &index);
    }
}

/// The usual gateway, over the usual points.
pub(super) fn usual() -> Running {
    let name = new_name();
    fill(&name);
    Setup::default().start_with(&name)
}

impl Setup {
    /// A policy with a schema, which has no groups.
    pub(super) fn of(policy: &str, schema: &'static str, fields: &str) -> Self {
        Self {
            policy: policy.as_bytes().to_vec(),
            schema: Some(schema),
            fields: fields.to_owned(),
            tokens: people::RS256.replace("properties", "groups = []\nproperties"),
            ..Self::default()
        }
    }

    pub(super) fn start(self) -> Running {
        let name = new_name();
        self.start_with(&name)
    }

    /// The configuration in a folder, with everything that it names.
    pub(super) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let write = |file: &str, bytes: &[u8]| std::fs::write(folder.join(file), bytes).unwrap();
        write(self.policy_file, &self.policy);
        write("jwks.json", people::jwks().to_string().as_bytes());
        write("secret", people::SECRET.as_bytes());
        write("key", format!("{KEY}\n").as_bytes());
        let schema = match self.schema {
            None => "",
            Some(schema) => {
                write("policy.cedarschema", schema.as_bytes());
                "schema = \"policy.cedarschema\""
            }
        };
        let Self { upstream, tokens, limits, fields, text, policy_file, upstream_more, deadline, .. } = self;
        let config = format!(
            "listen = \"127.0.0.1:0\"\n\
             [upstream]\nurl = \"{upstream}\"\napi_key_file = \"key\"\n{upstream_more}\n\
             [policy]\npath = \"{policy_file}\"\ndeadline_ms = {deadline}\n{schema}\n\
             [tokens]\n{tokens}\n\
             [limits]\nrequest_ms = 60000\n{limits}\n\
             [collections.{name}]\ntext = \"{text}\"\n{fields}\n"
        );
        write("gateway.toml", config.as_bytes());
        folder.join("gateway.toml")
    }

    pub(super) fn start_with(self, name: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::read(&self.write(folder.path(), name)).unwrap();
        let listen = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let (clients, figures) = (listen(), listen());
        let addresses = (clients.local_addr().unwrap(), figures.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let (told, begun) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let gateway = Arc::new(Gateway::new(&config).unwrap());
                told.send(()).unwrap();
                let listener = |listener| tokio::net::TcpListener::from_std(listener).unwrap();
                let stopped = async {
                    let _ = stopped.await;
                };
                serve(gateway, listener(clients), Some(listener(figures)), stopped).await;
            });
        });
        // What is written from here on is another policy.
        begun.recv().unwrap();
        Running {
            address: addresses.0,
            figures: addresses.1,
            name: name.to_owned(),
            folder,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Running {
    /// A client of somebody's.
    pub(super) fn client(&self, token: &str) -> Client {
        Client::new(&format!("http://{}", self.address), &self.name, token)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The value of one figure.
    pub(super) fn figure(&self, name: &str) -> f64 {
        let reply = self.figures();
        let line = reply.text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("{name} is not in {}", reply.text))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    pub(super) fn figures(&self) -> Reply {
        send("GET", &format!("http://{}/metrics", self.figures), &[], None)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, None | Some(Ok(()))), "the gateway panicked");
        }
    }
}
