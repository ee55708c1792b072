//! A connection that remembers: statements that the server has parsed, and how much of the table a filter matches.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use ::postgres::{Client, Error, Row, Statement as Prepared};
use tamis_dialect::{Parameter, Sql};

use super::statements::{Ranking, Statement};

/// Statements that are kept parsed. Their texts differ by the attributes that are tested, not by the values.
const MAX_STATEMENTS: usize = 256;
/// Filters of which it is known whether they match many.
const MAX_LEARNED: usize = 4096;
/// After so long the table may have become another.
const LEARNED_FOR: Duration = Duration::from_secs(300);
/// So many pages of a table, of 8 kB, show whether many match: some hundred chunks, in a fraction of a millisecond.
const SAMPLED_PAGES: f64 = 32.0;
/// How many chunks the index looks at for a page, at least: pgvector's default of 40 finds nine of the best ten.
const REACH: usize = 200;
/// pgvector takes no more.
const MAX_REACH: usize = 1000;

pub(super) struct Connection {
    client: Client,
    statements: HashMap<String, Prepared>,
    learned: HashMap<u64, Learned>,
    /// Whether the embeddings have an approximate index that goes on until it is told to stop.
    approximate: bool,
    /// The share of the table that a sample is, in percent; `None` if it has no pages of its own to be sampled.
    sample: Option<f64>,
    /// What the session's setting is.
    reach: usize,
}

#[derive(Clone, Copy)]
struct Learned {
    matching: Matching,
    at: Instant,
}

/// How many chunks match a filter, as far as is known. A wrong answer costs time.
#[derive(Clone, Copy)]
pub(super) enum Matching {
    Many,
    /// It was counted.
    Few,
    /// A sample had few, or none was taken.
    MaybeFew,
}

impl Connection {
    pub(super) fn new(mut client: Client, table: &str) -> Result<Self, Error> {
        let row = client.query_one(
            "SELECT (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
                     WHERE i.indrelid = $1::text::regclass AND a.amname IN ('hnsw', 'ivfflat')),
                    (coalesce((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree($1::text::regclass) WHERE isleaf),
                              pg_relation_size($1::text::regclass)) / current_setting('block_size')::bigint)::float8,
                    (SELECT relkind IN ('r', 'p', 'm') FROM pg_class WHERE oid = $1::text::regclass)",
            &[&table],
        )?;
        let (indexes, pages): (i64, Option<f64>) = (row.try_get(0)?, row.try_get(1)?);
        let sample = if row.try_get(2)? {
            pages.map(|pages| 100.0 * SAMPLED_PAGES / pages.max(SAMPLED_PAGES))
        } else {
            None
        };
        let (statements, learned) = (HashMap::new(), HashMap::new());
        let mut connection = Self { client, statements, learned, approximate: false, sample, reach: 0 };
        // Plans must know the values: with the filter's they differ.
        connection.client.batch_execute("SET plan_cache_mode = force_custom_plan")?;
        connection.approximate = indexes > 0 && connection.scans_on()?;
        Ok(connection)
    }

    /// Switches the iterative scan on, and says whether it is: an older pgvector takes any name for a setting.
    fn scans_on(&mut self) -> Result<bool, Error> {
        self.client.batch_execute(
            "SET hnsw.iterative_scan = relaxed_order; SET ivfflat.iterative_scan = relaxed_order; SET ivfflat.probes = 20",
        )?;
        let row = self.client.query_one(
            "SELECT current_setting('hnsw.iterative_scan'), extversion FROM pg_extension WHERE extname = 'vector'",
            &[],
        )?;
        let (setting, version): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
        let mut parts = version.split('.');
        let since = (number(parts.next()), number(parts.next())) >= (0, 8);
        Ok(setting == "relaxed_order" && since)
    }

    pub(super) fn is_approximate(&self) -> bool {
        self.approximate
    }

    pub(super) fn execute(&mut self, text: &str) -> Result<(), Error> {
        self.client.batch_execute(text)
    }

    pub(super) fn query(&mut self, statement: &Statement) -> Result<Vec<Row>, Error> {
        let prepared = match self.statements.get(&statement.text) {
            Some(prepared) => prepared.clone(),
            None => {
                if self.statements.len() >= MAX_STATEMENTS {
                    self.statements.clear();
                }
                let prepared = self.client.prepare_typed(&statement.text, &statement.types())?;
                self.statements.insert(statement.text.clone(), prepared.clone());
                prepared
            }
        };
        self.client.query(&prepared, &statement.values())
    }

    /// The next rows of a cursor.
    pub(super) fn fetch(&mut self, cursor: &str, rows: usize) -> Result<Vec<Row>, Error> {
        self.client.query(&format!("FETCH {rows} FROM {cursor}"), &[])
    }

    /// Makes the index look far enough for a page of so many.
    pub(super) fn reach_for(&mut self, wanted: usize) -> Result<(), Error> {
        let reach = wanted.saturating_mul(2).clamp(REACH, MAX_REACH);
        if reach > self.reach {
            self.client.batch_execute(&format!("SET hnsw.ef_search = {reach}"))?;
            self.reach = reach;
        }
        Ok(())
    }

    /// Whether more chunks match than `most`.
    pub(super) fn matching(&mut self, ranking: &Ranking, most: u32) -> Result<Matching, Error> {
        if let Some(learned) = self.learned.get(&key(ranking.condition()))
            && learned.at.elapsed() < LEARNED_FOR
        {
            return Ok(learned.matching);
        }
        let Some(percent) = self.sample else { return Ok(Matching::MaybeFew) };
        let rows = self.query(&ranking.sample(percent))?;
        let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        if count as f64 * 100.0 / percent <= f64::from(most) {
            return Ok(Matching::MaybeFew);
        }
        self.learn(ranking, Matching::Many);
        Ok(Matching::Many)
    }

    pub(super) fn learn(&mut self, ranking: &Ranking, matching: Matching) {
        if self.learned.len() >= MAX_LEARNED {
            self.learned.clear();
        }
        self.learned.insert(key(ranking.condition()), Learned { matching, at: Instant::now() });
    }
}

/// Two filters with one key only share what is learned of them.
fn key(condition: &Sql) -> u64 {
    let mut hasher = DefaultHasher::new();
    condition.text.hash(&mut hasher);
    for parameter in &condition.parameters {
        match parameter {
            Parameter::Text(text) => text.hash(&mut hasher),
            Parameter::Integer(number) => number.hash(&mut hasher),
            Parameter::Real(number) => number.to_bits().hash(&mut hasher),
        }
    }
    hasher.finish()
}
