//! A server with the extension: databases of their own for tests, people to connect as, programs to run.

use std::io::Write as _;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use postgres::error::DbError;
use postgres::{Client, Error, NoTls};

use crate::engines::Server;

/// Who may read what of the documents that [`Database::documents`] makes.
pub const POLICY: &str = r#"
    @id("tenant") permit(principal, action == Action::"retrieve", resource)
    when { resource.tenant == principal.tenant && resource.level <= principal.level };
    @id("editors") permit(principal, action == Action::"index", resource)
    when { resource.tenant == principal.tenant && principal.roles.contains("editor") };
"#;

/// The same, but for what is of level 0.
pub const STRICTER: &str = r#"
    permit(principal, action, resource) when { resource.tenant == principal.tenant && resource.level == 0 };
"#;

/// The schema of both.
pub const SCHEMA: &str = r#"
    entity User { tenant: String, level: Long, roles: Set<String> };
    entity Chunk { tenant: String, level: Long };
    action "retrieve", "index" appliesTo { principal: User, resource: Chunk };
"#;

/// The request of a person of `acme`, as SQL has it.
pub fn person(tenant: &str, level: i64, roles: &[&str]) -> String {
    serde_json::json!({"subject": {"type": "User", "id": format!("{tenant}{level}"), "properties":
        {"tenant": tenant, "level": level, "roles": roles}}})
    .to_string()
}

/// A database with the extension, on a server that all tests of a program share.
pub struct Database<'a> {
    server: &'a Server,
    name: String,
}

/// The server of this program.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::postgres_with_tamis)
}

impl<'a> Database<'a> {
    /// A new database, with the extension, and with pgvector if the server has it.
    pub fn new(server: &'a Server) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("db{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let database = Self { server, name };
        database.empty();
        database.admin().batch_execute("CREATE EXTENSION tamis").unwrap();
        if database.has_pgvector() {
            database.admin().batch_execute("CREATE EXTENSION vector").unwrap();
        }
        database
    }

    /// Whether the server has pgvector.
    pub fn has_pgvector(&self) -> bool {
        let available = "SELECT FROM pg_available_extensions WHERE name = 'vector'";
        !self.admin().query(available, &[]).unwrap().is_empty()
    }

    /// Whether a test that wants pgvector is to end here; it says so. Only a server of somebody's choice may lack it.
    pub fn skips_pgvector(&self) -> bool {
        if self.has_pgvector() {
            return false;
        }
        assert!(std::env::var_os("TAMIS_TEST_PG_CONFIG").is_some(), "the server has no pgvector");
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        // Not through what the test runner keeps to itself.
        let _ = writeln!(std::io::stderr(), "skipped, as the server has no pgvector: {test}");
        true
    }

    /// A new database.
    fn empty(&self) {
        let mut postgres = self.connect("postgres", "postgres");
        postgres.batch_execute(&format!("CREATE DATABASE {}", self.name)).unwrap();
        // Roles are the server's, so one test may have made them for all.
        let _ =
            postgres.batch_execute("CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN; CREATE ROLE other LOGIN");
        postgres.batch_execute(&format!("GRANT ALL ON DATABASE {} TO owner", self.name)).unwrap();
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection of a superuser.
    pub fn admin(&self) -> Client {
        self.connect("postgres", &self.name)
    }

    /// A connection of the application, which may read and write documents and set requests.
    pub fn app(&self) -> Client {
        self.connect("app", &self.name)
    }

    /// A connection of who owns the documents.
    pub fn owner(&self) -> Client {
        self.connect("owner", &self.name)
    }

    /// A connection of somebody.
    pub fn connect(&self, user: &str, database: &str) -> Client {
        let config = format!("host={} user={user} dbname={database}", self.server.address());
        Client::connect(&config, NoTls).unwrap_or_else(|error| panic!("{config}: {error}"))
    }

    /// 1000 documents of two tenants with levels from 0 to 9, under protection by [`POLICY`]. Odd ones are of `acme`. Their vectors are there
    /// if pgvector is.
    pub fn documents(&self) -> Client {
        let mut admin = self.admin();
        admin.batch_execute(
            "CREATE SCHEMA IF NOT EXISTS own AUTHORIZATION owner; GRANT ALL ON SCHEMA public TO owner; SET ROLE owner;
             CREATE TABLE docs (id bigint PRIMARY KEY, tenant text, level bigint, title text);
             INSERT INTO docs SELECT n, CASE n % 2 WHEN 1 THEN 'acme' ELSE 'globex' END, n / 2 % 10, 'title ' || n
                 FROM generate_series(1, 1000) AS n;
             GRANT ALL ON docs TO app; RESET ROLE;
             GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app",
        ).unwrap();
        if self.has_pgvector() {
            admin
                .batch_execute(
                    "ALTER TABLE docs ADD embedding vector(3);
                     UPDATE docs SET embedding = ARRAY[sin(id), cos(id), sin(id * 0.7)]::vector",
                )
                .unwrap();
        }
        load(&mut admin, "rag", POLICY).unwrap();
        admin.batch_execute("SELECT tamis.protect('docs', 'rag', id => 'id')").unwrap();
        admin
    }

    /// Runs a program of the server's package on this database.
    pub fn program(&self, name: &str, arguments: &[&str]) -> Output {
        let folder = self.server.address();
        let program = format!("{folder}/bin/{name}");
        // The server does not run as root.
        let mut command = if std::fs::metadata("/proc/self")
            .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
        {
            let mut command = Command::new("runuser");
            command.args(["-u", "nobody", "--", &program]);
            command
        } else {
            Command::new(&program)
        };
        command
            .args(arguments)
            .current_dir(folder)
            .env("PGHOST", folder)
            .env("LOCPATH", folder)
            .env("PGUSER", "postgres")
            .output()
            .unwrap()
    }
}

/// Loads a policy in Cedar.
pub fn load(client: &mut Client, name: &str, policy: &str) -> Result<i64, Error> {
    let row = client.query_one("SELECT tamis.load_policy($1, $2::text, $3)", &[&name, &policy, &SCHEMA])?;
    Ok(row.get(0))
}

/// A JSON web token, signed by Python, which shares no code with what checks it.
pub fn token(header: &str, claims: &str, key: &str) -> String {
    const SIGN: &str = "
import base64, hmac, sys
part = lambda value: base64.urlsafe_b64encode(value).rstrip(b'=').decode()
signed = part(sys.argv[1].encode()) + '.' + part(sys.argv[2].encode())
print(signed + '.' + part(hmac.digest(sys.argv[3].encode(), signed.encode(), 'sha256')), end='')";
    let output = Command::new("python3").args(["-c", SIGN, header, claims, key]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a query answers in a transaction of its own with a request.
pub fn asked(client: &mut Client, request: &str, query: &str) -> Result<Vec<postgres::Row>, Error> {
    let mut transaction = client.transaction()?;
    transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&request])?;
    let rows = transaction.query(query, &[])?;
    transaction.commit()?;
    Ok(rows)
}

/// The number that a query answers with a request.
pub fn count(client: &mut Client, request: &str, query: &str) -> i64 {
    asked(client, request, query).unwrap()[0].get(0)
}

/// What the server says of an error.
pub fn said(error: &Error) -> &DbError {
    error.as_db_error().unwrap_or_else(|| panic!("not the server: {error:?}"))
}

/// The code of the error that a statement ends with.
pub fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    said(&result.unwrap_err()).code().code().to_owned()
}
