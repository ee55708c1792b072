//! The same ten policies as a condition in SQL, over SQLite: on columns, and on a column of JSON.
//!
//! What is measured is a whole query that counts the readable chunks, as a database would with the policy's filter in the query.

use rusqlite::{Connection, params};
use tamis_core::{Chunk, Request};

use crate::rego;

const TABLES: &str = "
    CREATE TABLE chunks (number INTEGER PRIMARY KEY, tenant TEXT, access_level INTEGER, attributes TEXT) STRICT;
    CREATE TABLE chunk_roles (number INTEGER, role TEXT, PRIMARY KEY (number, role)) STRICT, WITHOUT ROWID;";

const ON_COLUMNS: &str = "
    SELECT count(*) FROM chunks WHERE number < ?1 AND tenant = ?2 AND (
        access_level <= ?3 AND EXISTS
            (SELECT 1 FROM chunk_roles WHERE chunk_roles.number = chunks.number AND role IN (?4, ?5, ?6))
        OR 'employee' IN (?4, ?5, ?6) AND access_level BETWEEN 0 AND 6 AND EXISTS
            (SELECT 1 FROM chunk_roles WHERE chunk_roles.number = chunks.number AND role = 'employee'))";

const ON_JSON: &str = "
    SELECT count(*) FROM chunks WHERE number < ?1 AND attributes ->> 'tenant' = ?2 AND (
        attributes ->> 'access_level' <= ?3 AND EXISTS
            (SELECT 1 FROM json_each(attributes, '$.user_roles') WHERE value IN (?4, ?5, ?6))
        OR 'employee' IN (?4, ?5, ?6) AND attributes ->> 'access_level' BETWEEN 0 AND 6 AND EXISTS
            (SELECT 1 FROM json_each(attributes, '$.user_roles') WHERE value = 'employee'))";

/// A database in memory with all chunks, and who asks.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    tenant: String,
    clearance: i64,
    roles: [String; 3],
}

impl Sqlite {
    /// With these chunks.
    pub fn new(request: &Request, chunks: &[Chunk]) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        for (number, chunk) in chunks.iter().enumerate() {
            let number = i64::try_from(number).unwrap();
            let (tenant, level) =
                (chunk.attributes["tenant"].as_str(), chunk.attributes["access_level"].as_i64());
            let json = serde_json::to_string(&chunk.attributes).unwrap();
            connection
                .prepare_cached("INSERT INTO chunks VALUES (?, ?, ?, ?)")
                .and_then(|mut insert| insert.execute(params![number, tenant, level, json]))
                .unwrap();
            for role in chunk.attributes["user_roles"].as_array().unwrap() {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO chunk_roles VALUES (?, ?)")
                    .and_then(|mut insert| insert.execute(params![number, role.as_str()]))
                    .unwrap();
            }
        }
        connection.execute_batch("COMMIT; ANALYZE").unwrap();
        let subject = rego::subject(request);
        let roles = subject["roles"].as_array().unwrap().iter().map(|role| role.as_str().unwrap().to_owned());
        Self {
            connection,
            tenant: subject["tenant"].as_str().unwrap().to_owned(),
            clearance: subject["clearance"].as_i64().unwrap(),
            roles: roles.collect::<Vec<_>>().try_into().unwrap(),
        }
    }

    /// How many of the first `count` chunks may be read, by their columns.
    pub fn on_columns(&self, count: usize) -> usize {
        self.count(ON_COLUMNS, count)
    }

    /// How many of the first `count` chunks may be read, by their JSON.
    pub fn on_json(&self, count: usize) -> usize {
        self.count(ON_JSON, count)
    }

    fn count(&self, sql: &str, count: usize) -> usize {
        let [first, second, third] = &self.roles;
        let asked = params![i64::try_from(count).unwrap(), self.tenant, self.clearance, first, second, third];
        let mut statement = self.connection.prepare_cached(sql).unwrap();
        usize::try_from(statement.query_row(asked, |row| row.get::<_, i64>(0)).unwrap()).unwrap()
    }
}
