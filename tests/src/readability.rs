//! A collection of which people may read everything, or next to nothing: what searches find of it, and how long they take.

use postgres::{Client, NoTls};
use serde_json::json;
use tamis_compiler::Named;
use tamis_core::{Chunk, Request};
use tamis_retrieve::Store;
use tamis_runtime::{PolicyHandle, Runtime};

use crate::engines::Server;
use crate::patient;

/// Numbers in a vector.
pub const DIMENSIONS: usize = 96;
/// Chunks lie around so many points.
const CLUSTERS: u64 = 100;

const POLICY: &str = r#"
    @id("readers") permit(principal, action, resource) when { resource.readers.containsAny(principal.groups) };
"#;
const SCHEMA: &str = r#"
    entity User { groups: Set<String> };
    entity Chunk { readers: Set<String> };
    action "retrieve" appliesTo { principal: User, resource: Chunk };
"#;

/// A group of people, and how much of the collection it may read.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// How much it may read, for people.
    pub share: &'static str,
    /// One chunk in so many is readable.
    one_in: u64,
    /// Which one of them; what groups may read does not overlap more than it must.
    rest: u64,
    /// Whether these are only chunks that are far from what is asked.
    far: bool,
}

/// From all chunks to one in ten thousand.
pub const GROUPS: [Group; 7] = [
    Group { name: "all", share: "100 %", one_in: 1, rest: 0, far: false },
    Group { name: "tenth", share: "10 %", one_in: 10, rest: 1, far: false },
    Group { name: "hundredth", share: "1 %", one_in: 100, rest: 2, far: false },
    Group { name: "thousandth", share: "0.1 %", one_in: 1_000, rest: 3, far: false },
    Group { name: "few", share: "0.02 %", one_in: 5_000, rest: 4, far: false },
    Group { name: "fewest", share: "0.01 %", one_in: 10_000, rest: 5, far: false },
    Group { name: "far", share: "1 %, far from the query", one_in: 50, rest: 6, far: true },
];

impl Group {
    fn reads(&self, number: u64) -> bool {
        // Chunks lie in the clusters in turn, and only the first half of these is asked for.
        let (cluster, of_cluster) = (number % CLUSTERS, number / CLUSTERS);
        let spread = cluster + of_cluster * 37;
        spread % self.one_in == self.rest && (!self.far || cluster >= CLUSTERS / 2)
    }

    /// A request of one of its members.
    pub fn request(&self) -> Request {
        let json = json!({
            "subject": {"type": "User", "id": "u", "properties": {"groups": [self.name, "unknown"]}},
            "action": {"name": "retrieve"},
        });
        Request::from_json(&json.to_string()).unwrap()
    }
}

/// The policy of all this.
pub fn handle() -> PolicyHandle {
    let (policies, schema) = (Named { name: "p", text: POLICY }, Named { name: "s", text: SCHEMA });
    let compiled = tamis_compiler::compile("readers", policies, Some(schema)).unwrap();
    PolicyHandle::new(&Runtime::shared().unwrap(), &compiled.component, patient()).unwrap()
}

/// A chunk with as much metadata as chunks usually have.
pub fn chunk(number: u64) -> Chunk {
    let readers: Vec<&str> =
        GROUPS.iter().filter(|group| group.reads(number)).map(|group| group.name).collect();
    let line = json!({
        "id": number.to_string(),
        "attributes": {"readers": readers, "title": format!("Chapter {number}"), "page": number % 300, "source": "handbook"},
        "text": format!("text {number}"),
        "vector": vector(number % CLUSTERS, number),
    });
    Chunk::from_json(&line.to_string()).unwrap()
}

/// What is asked, near to chunks of the first half of the clusters.
pub fn question(number: u64) -> Vec<f32> {
    vector(number * 7 % (CLUSTERS / 2), 1 << 40 | number)
}

/// A point near the middle of a cluster, the same at every run.
fn vector(cluster: u64, seed: u64) -> Vec<f32> {
    let (mut middle, mut random) = (Normal(!cluster << 20), Normal(seed << 20));
    (0..DIMENSIONS).map(|_| (middle.next() + 0.6 * random.next()) as f32).collect()
}

/// Numbers that are normally distributed, near enough: SplitMix64, four of its numbers added.
struct Normal(u64);

impl Normal {
    fn next(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            sum += (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64 - 0.5;
        }
        sum * 3f64.sqrt()
    }
}

/// A connection to a server.
pub fn connect(server: &Server) -> Client {
    let host = server.address();
    Client::connect(&format!("host={host} user=postgres dbname=postgres"), NoTls).unwrap()
}

/// Puts chunks into a table as [`tamis_retrieve::PostgresTable`] has it by default.
pub fn fill_table(client: &mut Client, chunks: &[Chunk]) {
    let dimensions = chunks.first().and_then(|chunk| chunk.vector.as_ref()).map_or(0, Vec::len);
    client
        .batch_execute(&format!(
            "CREATE TABLE chunks (chunk_id text PRIMARY KEY, chunk_type text NOT NULL, ancestors text[] NOT NULL,
                                  attributes jsonb NOT NULL, text text, embedding vector({dimensions}))",
        ))
        .unwrap();
    let mut writer = client.copy_in("COPY chunks FROM STDIN").unwrap();
    for chunk in chunks {
        let ancestors: Vec<String> = chunk.ancestors.iter().map(tamis_dialect::ancestor_key).collect();
        let quoted = ancestors.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(",");
        let columns = [
            chunk.uid.id.clone(),
            chunk.uid.entity_type.clone(),
            format!("{{{quoted}}}"),
            serde_json::to_string(&chunk.attributes).unwrap(),
            chunk.text.clone().unwrap_or_default(),
            serde_json::to_string(chunk.vector.as_ref().unwrap()).unwrap(),
        ];
        let line = columns.map(|column| column.replace('\\', "\\\\")).join("\t") + "\n";
        std::io::Write::write_all(&mut writer, line.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

/// Makes the indexes of a table that was filled: an approximate one of the embeddings, and one of the metadata.
pub fn index_table(client: &mut Client) {
    client
        .batch_execute(
            "SET maintenance_work_mem = '1GB';
             CREATE INDEX ON chunks USING hnsw (embedding vector_cosine_ops);
             CREATE INDEX ON chunks USING gin (attributes jsonb_path_ops);
             ANALYZE chunks",
        )
        .unwrap();
}

/// Puts chunks into the embedded store.
pub fn fill_store(store: &mut Store, chunks: &[Chunk]) {
    let mut transaction = store.begin().unwrap();
    for chunk in chunks {
        transaction.put(chunk).unwrap();
    }
    transaction.commit().unwrap();
}
