//! A library that is missing, or not the one that the database's SQL and policies are of: an error, no row, and nothing is lost.

use std::path::{Path, PathBuf};

use postgres::Client;
use tamis_tests::engines::Server;
use tamis_tests::extension::{Database, POLICY, STRICTER, asked, code, count, load, person, said};
use tamis_tests::hostile::{Module, good_of_another_contract};

const ALL: &str = "SELECT count(*) FROM docs";

/// Where the server has what pg_config calls by this name.
fn installed(database: &Database<'_>, what: &str) -> PathBuf {
    let output = database.program("pg_config", &[what]);
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The library, out of the way as long as this lives.
struct Missing {
    library: PathBuf,
    aside: PathBuf,
}

impl Missing {
    fn new(library: &Path) -> Self {
        let aside = library.with_extension("aside");
        std::fs::rename(library, &aside).unwrap();
        Self { library: library.to_owned(), aside }
    }
}

impl Drop for Missing {
    fn drop(&mut self) {
        std::fs::rename(&self.aside, &self.library).unwrap();
    }
}

fn stored(admin: &mut Client) -> (i64, i64, i64) {
    let query = "SELECT (SELECT count(*) FROM tamis.policy), (SELECT count(*) FROM tamis.serving), (SELECT count(*) FROM tamis.protection)";
    let row = admin.query_one(query, &[]).unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[test]
fn without_its_library_a_protected_table_shows_nothing_and_nothing_is_lost() {
    let server = Server::postgres_with_tamis();
    let database = Database::new(&server);
    let mut admin = database.documents();
    load(&mut admin, "rag", STRICTER).unwrap();
    admin.batch_execute("GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO owner").unwrap();
    let library = installed(&database, "--pkglibdir").join("tamis.so");
    // A backend that has loaded it goes on.
    let mut running = database.app();
    assert_eq!(count(&mut running, &person("acme", 3, &[]), ALL), 50);
    {
        let _missing = Missing::new(&library);
        assert_eq!(count(&mut running, &person("acme", 3, &[]), ALL), 50);
        for mut client in [database.app(), database.owner()] {
            assert_eq!(code(asked(&mut client, &person("acme", 3, &[]), ALL)), "58P01");
            for statement in [
                ALL,
                "SELECT * FROM docs LIMIT 1",
                "SELECT * FROM docs WHERE id = 1 FOR UPDATE",
                "COPY docs (id) TO STDOUT",
                "UPDATE docs SET title = ''",
                "DELETE FROM docs",
                "INSERT INTO docs (id, tenant, level) VALUES (5000, 'acme', 0)",
                "TABLE docs",
                "SELECT tamis.request()",
            ] {
                assert_eq!(code(client.simple_query(statement)), "58P01", "{statement}");
            }
        }
        // Who bypasses row-level security needs no library.
        let mut admin = database.admin();
        assert_eq!(admin.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 1000);
        assert_eq!(code(load(&mut admin, "rag", POLICY)), "58P01");
        assert_eq!(stored(&mut admin), (2, 1, 1));
    }
    let mut app = database.app();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 50);
    database.admin().batch_execute("SELECT tamis.rollback_policy('rag')").unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200);
}

#[test]
fn a_library_of_another_version_than_the_sql_refuses_to_decide() {
    let server = Server::postgres_with_tamis();
    let database = Database::new(&server);
    let mut admin = database.documents();
    let mut app = database.app();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200);
    // SQL of a later version, as after an update, and a library that was put back.
    let folder = installed(&database, "--sharedir").join("extension");
    std::fs::write(folder.join("tamis--0.1.0--9.9.9.sql"), "").unwrap();
    std::fs::write(folder.join("tamis--9.9.9--0.1.0.sql"), "").unwrap();
    admin.batch_execute("ALTER EXTENSION tamis UPDATE TO '9.9.9'").unwrap();
    // Whether the backend has decided before or not.
    for mut client in [app, database.app()] {
        let error = asked(&mut client, &person("acme", 3, &[]), ALL).unwrap_err();
        let said = said(&error);
        assert_eq!(said.code().code(), "55000");
        assert!(said.message().contains("version 0.1.0") && said.message().contains("9.9.9"), "{said:?}");
        assert!(said.hint().unwrap().contains("ALTER EXTENSION tamis UPDATE TO '0.1.0'"), "{said:?}");
        assert_eq!(client.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    }
    assert_eq!(code(load(&mut admin, "rag", STRICTER)), "55000");
    assert_eq!(stored(&mut admin), (1, 1, 1));
    admin.batch_execute("ALTER EXTENSION tamis UPDATE TO '0.1.0'").unwrap();
    assert_eq!(count(&mut database.app(), &person("acme", 3, &[]), ALL), 200);
}

#[test]
fn a_policy_of_another_contract_is_an_error_that_says_what_to_do() {
    let database = Database::new(tamis_tests::extension::server());
    let mut admin = database.documents();
    let mut app = database.app();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200);
    // As a library of a later version would have stored it.
    let later = good_of_another_contract(&Module::good().component());
    admin
        .execute("UPDATE tamis.policy SET component = $1, digest = encode(sha256($1), 'hex')", &[&later])
        .unwrap();
    admin.batch_execute("UPDATE tamis.serving s SET digest = p.digest FROM tamis.policy p").unwrap();
    for client in [&mut app, &mut database.app()] {
        let error = asked(client, &person("acme", 3, &[]), ALL).unwrap_err();
        let said = said(&error);
        assert_eq!(said.code().code(), "55000");
        assert!(said.message().contains("another version of Tamis"), "{said:?}");
        assert!(said.detail().unwrap().contains("No row was let through"), "{said:?}");
        assert!(said.hint().unwrap().contains("load the policy again"), "{said:?}");
        assert_eq!(client.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    }
    let reason: Option<String> =
        admin.query_one("SELECT last_error FROM tamis.policies", &[]).unwrap().get(0);
    assert!(reason.unwrap().contains("does not export"));
    assert_eq!(stored(&mut admin), (1, 1, 1));
    load(&mut admin, "rag", STRICTER).unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 50);
}
