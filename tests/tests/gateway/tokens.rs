//! Who is believed, and who is not.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value as Json, json};

use super::client::{Reply, send};
use super::people::{self, AUDIENCE, SECRET, alice, bob, claims, in_seconds, sign, sign_with};
use super::setup::{Running, Setup, fill, new_name, readable, usual};

const BODY: &str = r#"{"query":[1,0],"limit":100}"#;

fn ask(gateway: &Running, headers: &[(&str, &str)]) -> Reply {
    let url = format!("http://{}/collections/{}/points/query", gateway.address, gateway.name);
    send("POST", &url, headers, Some(BODY))
}

fn ask_with(gateway: &Running, token: &str) -> Reply {
    ask(gateway, &[("authorization", &format!("Bearer {token}"))])
}

fn refused(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 401, "{what}");
    assert_eq!(reply.json(), json!({"status": {"error": "unauthorized"}, "time": 0.0}), "{what}");
    assert_eq!(reply.headers["www-authenticate"], "Bearer");
}

fn with(change: impl Fn(&mut Json)) -> String {
    let mut claims = claims("alice", "a", &["hr"]);
    change(&mut claims);
    sign(&claims)
}

#[test]
fn what_does_not_verify_is_refused_without_a_reason() {
    let gateway = usual();
    let base64 = |text: &str| base64_of(text.as_bytes());
    let body = base64(&claims("alice", "a", &["hr"]).to_string());
    let good = alice();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut forged = signature.to_owned();
    forged.replace_range(0..1, if signature.starts_with('A') { "B" } else { "A" });
    let no_kid =
        encode(&Header::new(Algorithm::RS256), &claims("alice", "a", &[]), &people::key(Algorithm::RS256))
            .unwrap();
    let header = |change: &dyn Fn(&mut Header)| {
        let mut header = Header { kid: Some("RS256".to_owned()), ..Header::new(Algorithm::RS256) };
        change(&mut header);
        encode(&header, &claims("alice", "a", &[]), &people::key(Algorithm::RS256)).unwrap()
    };
    // The secret of this one is the public key, which everybody has, in the forms that it has.
    let public = people::jwks()["keys"][0].clone();
    let confused = |secret: &[u8]| {
        let header = Header { kid: Some("RS256".to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims("alice", "a", &["hr"]), &EncodingKey::from_secret(secret)).unwrap()
    };
    let modulus = public["n"].as_str().unwrap();
    for (what, token) in [
        ("empty", String::new()),
        ("rubbish", "rubbish".to_owned()),
        ("dots", "..".to_owned()),
        ("alg none", format!("{}.{body}.", base64(r#"{"alg":"none","typ":"JWT"}"#))),
        ("alg none, a key", format!("{}.{body}.", base64(r#"{"alg":"none","kid":"RS256"}"#))),
        ("alg NONE", format!("{}.{body}.{signature}", base64(r#"{"alg":"NONE","kid":"RS256"}"#))),
        ("no alg", format!("{}.{body}.{signature}", base64(r#"{"kid":"RS256"}"#))),
        ("HS256 by the modulus", confused(modulus.as_bytes())),
        ("HS256 by the key", confused(public.to_string().as_bytes())),
        ("HS256 by the PEM", confused(include_bytes!("keys/rsa_public.pem"))),
        ("another algorithm of the issuer's", sign_with(Algorithm::ES256, &claims("alice", "a", &[]))),
        ("a forged signature", format!("{signed}.{forged}")),
        ("no signature", format!("{signed}.")),
        ("another's claims", format!("{}.{body}.{signature}", signed.split('.').next().unwrap())),
        ("no kid", no_kid),
        ("an unknown kid", header(&|header| header.kid = Some("other".to_owned()))),
        ("the kid of another key", header(&|header| header.kid = Some("ES256".to_owned()))),
        ("a path as kid", header(&|header| header.kid = Some("../../dev/null".to_owned()))),
        ("another typ", header(&|header| header.typ = Some("logout+jwt".to_owned()))),
        ("crit", header(&|header| header.crit = Some(vec!["exp".to_owned()]))),
        ("expired", with(|claims| claims["exp"] = in_seconds(-1).into())),
        ("no exp", with(|claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("exp is null", with(|claims| claims["exp"] = Json::Null)),
        ("exp is a text", with(|claims| claims["exp"] = json!("9999999999"))),
        ("not yet", with(|claims| claims["nbf"] = in_seconds(60).into())),
        ("nbf is a text", with(|claims| claims["nbf"] = json!("0"))),
        ("another audience", with(|claims| claims["aud"] = json!("https://other.example"))),
        ("no audience", with(|claims| drop(claims.as_object_mut().unwrap().remove("aud")))),
        ("another issuer", with(|claims| claims["iss"] = json!("https://other.example"))),
        ("several issuers", with(|claims| claims["iss"] = json!([people::ISSUER, "https://other.example"]))),
        ("no issuer", with(|claims| drop(claims.as_object_mut().unwrap().remove("iss")))),
        ("no subject", with(|claims| drop(claims.as_object_mut().unwrap().remove("sub")))),
        ("an empty subject", with(|claims| claims["sub"] = json!(""))),
        ("a subject that is no text", with(|claims| claims["sub"] = json!(5))),
        ("no tenant", with(|claims| drop(claims.as_object_mut().unwrap().remove("tenant")))),
        ("bound to a key", with(|claims| claims["cnf"] = json!({"jkt": "x"}))),
        ("groups that are elsewhere", with(|claims| claims["_claim_names"] = json!({"groups": "src1"}))),
        ("groups that do not fit", with(|claims| claims["hasgroups"] = json!(true))),
        ("groups that are a text", with(|claims| claims["groups"] = json!("hr"))),
        (
            "an actor of another issuer",
            with(|claims| claims["act"] = json!({"sub": "x", "iss": "https://other.example"})),
        ),
        ("an actor without a name", with(|claims| claims["act"] = json!({}))),
        (
            "too many actors",
            with(|claims| {
                claims["act"] = (0..10)
                    .fold(json!({"sub": "last"}), |inner, n| json!({"sub": format!("a{n}"), "act": inner}));
            }),
        ),
        ("too long", with(|claims| claims["more"] = json!("x".repeat(40_000)))),
    ] {
        refused(&ask_with(&gateway, &token), what);
    }
    refused(&ask(&gateway, &[]), "none");
    refused(&ask(&gateway, &[("authorization", &good)]), "no scheme");
    refused(&ask(&gateway, &[("authorization", &format!("Basic {good}"))]), "another scheme");
    let (bearer, other) = (format!("Bearer {good}"), bob());
    refused(&ask(&gateway, &[("authorization", &bearer), ("api-key", &other)]), "two tokens");
    refused(
        &ask(&gateway, &[("authorization", &bearer), ("authorization", &format!("Bearer {other}"))]),
        "two headers",
    );
    refused(&ask(&gateway, &[("api-key", super::setup::KEY)]), "the key of the database");
    refused(&ask(&gateway, &[("cookie", &format!("token={good}"))]), "a cookie");
    let url = format!("http://{}/collections/{}/points/query?api-key={good}", gateway.address, gateway.name);
    refused(&send("POST", &url, &[], Some(BODY)), "in the query string");
    // Whatever is asked for: who is not known does not learn what there is.
    for path in ["/", "/collections", "/nowhere", "/metrics"] {
        refused(&send("GET", &format!("http://{}{path}", gateway.address), &[], None), path);
    }
    assert!(super::wire::seen(&gateway.name).is_empty(), "the database was asked");
    assert_eq!(ask_with(&gateway, &good).ids(), readable("a"));
    assert_eq!(ask(&gateway, &[("api-key", &good)]).ids(), readable("a"), "where Qdrant's clients put it");
    assert_eq!(ask(&gateway, &[("api-key", &good), ("authorization", &bearer)]).ids(), readable("a"));
}

#[test]
fn claims_become_the_subject_and_its_agents() {
    let gateway = usual();
    let salary = |token: &str| {
        let client = gateway.client(token);
        client.points("", &json!({"ids": [12]})).result()[0]["payload"].get("salary").is_some()
    };
    assert!(salary(&alice()) && !salary(&bob()));
    // An agent that is in no group and has no tenant reads nothing, whomever it acts for.
    let acting = with(|claims| claims["act"] = json!({"sub": "bot"}));
    assert_eq!(ask_with(&gateway, &acting).ids(), [0; 0]);
    // Nor does a client that got a token for itself become a user.
    let itself = with(|claims| claims["client_id"] = json!("alice"));
    assert_eq!(ask_with(&gateway, &itself).ids(), [0; 0]);
    let audiences = with(|claims| claims["aud"] = json!(["https://other.example", AUDIENCE]));
    assert_eq!(ask_with(&gateway, &audiences).ids(), readable("a"));
}

#[test]
fn agents_are_what_the_configuration_knows_of_them() {
    let agents = r#"agents = { bot = { properties = { tenant = "a" }, parents = [{ type = "Group", id = "hr" }] }, weak = { properties = { tenant = "a" } } }
scopes = ["search"]"#;
    let name = new_name();
    fill(&name);
    let setup = Setup { tokens: format!("{}\n{agents}", people::RS256), ..Setup::default() };
    let gateway = setup.start_with(&name);
    let scoped = |actor: Option<&str>, scope: &str| {
        with(|claims| {
            claims["scope"] = json!(scope);
            if let Some(actor) = actor {
                claims["act"] = json!({"sub": actor});
            }
        })
    };
    let seen =
        |token: &str| gateway.client(token).points("", &json!({"ids": [12]})).result()[0]["payload"].clone();
    assert_eq!(seen(&scoped(Some("bot"), "search"))["salary"], 1012);
    assert_eq!(
        seen(&scoped(Some("weak"), "other search")).get("salary"),
        None,
        "an agent sees no more than it may itself"
    );
    refused(&ask_with(&gateway, &scoped(Some("unknown"), "search")), "an unknown agent");
    refused(&ask_with(&gateway, &scoped(None, "other")), "another scope");
}

#[test]
fn other_algorithms_are_taken_where_they_are_configured() {
    let name = new_name();
    fill(&name);
    for (algorithm, word) in [(Algorithm::ES256, "ES256"), (Algorithm::EdDSA, "EdDSA")] {
        let setup = Setup { tokens: people::RS256.replace("RS256", word), ..Setup::default() };
        let gateway = setup.start_with(&name);
        let token = sign_with(algorithm, &claims("alice", "a", &["hr"]));
        assert_eq!(ask_with(&gateway, &token).ids(), readable("a"), "{word}");
        refused(&ask_with(&gateway, &alice()), word);
    }
    let shared = "algorithm = \"HS256\"\nsecret_file = \"secret\"\nproperties = { tenant = \"tenant\" }";
    let gateway = Setup { tokens: shared.to_owned(), ..Setup::default() }.start_with(&name);
    let for_nobody = |change: &dyn Fn(&mut Json)| {
        let mut claims = claims("alice", "a", &["hr"]);
        claims.as_object_mut().unwrap().remove("aud");
        change(&mut claims);
        encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    assert_eq!(ask_with(&gateway, &for_nobody(&|_| ())).ids(), readable("a"));
    refused(
        &ask_with(&gateway, &for_nobody(&|claims| claims["aud"] = json!(AUDIENCE))),
        "for an audience, where none is configured",
    );
    for odd in [json!(5), json!([]), json!([AUDIENCE]), json!({}), json!("")] {
        let token = for_nobody(&|claims| claims["aud"] = odd.clone());
        refused(&ask_with(&gateway, &token), "for what is no audience that is configured");
    }
    refused(&ask_with(&gateway, &alice()), "RS256");
}

#[test]
fn keys_that_change_are_read_again() {
    let gateway = usual();
    assert_eq!(ask_with(&gateway, &alice()).status, 200);
    let mut keys = people::jwks();
    keys["keys"][0]["kid"] = json!("renamed");
    std::fs::write(gateway.file("jwks.json"), keys.to_string()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5_200));
    refused(&ask_with(&gateway, &alice()), "a key that is gone");
    // What cannot be read changes nothing.
    std::fs::write(gateway.file("jwks.json"), "{").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5_200));
    let header = Header { kid: Some("renamed".to_owned()), ..Header::new(Algorithm::RS256) };
    let token = encode(&header, &claims("alice", "a", &["hr"]), &people::key(Algorithm::RS256)).unwrap();
    assert_eq!(ask_with(&gateway, &token).status, 200);
}

/// Base64 as tokens have it.
fn base64_of(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |part: &[u8]| {
        let number =
            part.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        let digits =
            (0..=part.len()).map(move |place| DIGITS[(number >> (18 - 6 * place) & 63) as usize] as char);
        digits.collect::<Vec<_>>()
    };
    bytes.chunks(3).flat_map(digit).collect()
}
