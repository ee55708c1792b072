//! Random policies of the kinds that retrieval has, with requests and chunks whose values they compare.
//!
//! Every value comes from a pool of two or three, so that a test is often true and often false; every attribute of a chunk is at times
//! missing, null or of another type, so that it often fails.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

/// Types for the policies below. Without it the same policies read what JSON can say.
pub const SCHEMA: &str = r#"
    entity Group in [Group];
    entity Folder in [Folder];
    entity User in [Group] {
        tenant: String, clearance: Long, roles: Set<String>, quota: decimal, since: datetime, span: duration,
        address: ipaddr, all: Bool, team?: Group,
    };
    entity Chunk in [Folder] {
        tenant: String, level: Long, acl: Set<String>, readers: Set<Group>, owner: User, reader?: Group, price: decimal,
        at: datetime, keep: duration, source: ipaddr, public: Bool, title: String, meta: { team: String, n?: Long, deep: { acl: Set<String>, on: Bool } },
        numbers: Set<Long>, mixed: Long,
    } tags String;
    entity Note { mixed: String };
    action "read" appliesTo { principal: User, resource: [Chunk, Note], context: {
        now: datetime, level: Long, words: Set<String>, tenant: String, user?: User,
    } };
"#;

/// Conditions that a filter can say exactly if the types are declared.
pub const EXACT: &[&str] = &[
    "resource.tenant == principal.tenant",
    "context.tenant != resource.tenant",
    "resource.level < principal.clearance",
    "resource.level <= principal.clearance",
    "resource.level > principal.clearance",
    "context.level >= resource.level",
    "principal.clearance < resource.level",
    "resource.acl.contains(principal.tenant)",
    "principal.roles.contains(resource.tenant)",
    "resource.acl.containsAny(principal.roles)",
    "principal.roles.containsAny(resource.acl)",
    "resource.acl.containsAll(context.words)",
    "resource.acl.isEmpty()",
    "resource.numbers.contains(context.level)",
    "resource.readers.contains(Group::\"a\")",
    "principal in resource.readers",
    "principal in resource.owner",
    "resource.owner == principal",
    "resource.owner in Group::\"a\"",
    "resource.owner in [Group::\"b\", User::\"u\"]",
    "resource in Folder::\"f\"",
    "resource in [Folder::\"g\", Chunk::\"1\"]",
    "resource == Chunk::\"2\"",
    "resource is Chunk",
    "resource.public",
    "resource.title like \"a*\"",
    "resource.title like \"*\"",
    "resource.title like \"a\\*\"",
    "resource has reader",
    "resource has reader && principal in resource.reader",
    "resource.meta.team == principal.tenant",
    "resource.meta.deep.acl.containsAny(principal.roles)",
    "resource.meta.deep.on",
    "resource.at < context.now",
    "resource.at == principal.since",
    "resource.keep >= principal.span",
    "resource.price.lessThan(principal.quota)",
    "resource.price.greaterThanOrEqual(principal.quota)",
    "resource.price == decimal(\"1.5\")",
    "resource.source == principal.address",
    "principal.all",
    "principal in Group::\"a\"",
    "principal has team",
    "principal.team == Group::\"a\"",
    "principal has team && principal.team == resource.reader",
    "context has user && context.user == resource.owner",
];

/// Conditions of which a filter can only say something, or nothing.
const INEXACT: &[&str] = &[
    "principal.roles.containsAll(resource.acl)",
    "resource.acl.containsAny(resource.numbers)",
    "resource.level + 1 < principal.clearance",
    "resource.owner.tenant == principal.tenant",
    "resource.meta has n && resource.meta.n < 2",
    "!(resource.meta has n) || resource.meta.n < 2",
    "resource.title like \"*b\"",
    "resource.title like \"a*b*\"",
    "resource.source.isInRange(principal.address)",
    "resource.hasTag(\"a\") && resource.getTag(\"a\") == principal.tenant",
    "resource.title == resource.tenant",
    "resource.at.toDate() == principal.since.toDate()",
    "(if resource.public then resource.level else principal.clearance) < 2",
    "resource.level == \"a\"",
    "resource.tenant < 5",
    "[resource.tenant, \"c\"].contains(principal.tenant)",
    "{a: resource.level}.a == 1",
    "resource.mixed == 1",
    "resource.unknown == 1",
];

/// A condition as Cedar writes it, of these and others.
fn condition(leaf: BoxedStrategy<&'static str>) -> BoxedStrategy<String> {
    leaf.prop_map(str::to_owned)
        .prop_recursive(2, 4, 3, |inner| {
            let pair = || (inner.clone(), inner.clone());
            prop_oneof![
                3 => pair().prop_map(|(a, b)| format!("({a} && {b})")),
                3 => pair().prop_map(|(a, b)| format!("({a} || {b})")),
                2 => inner.clone().prop_map(|a| format!("!({a})")),
                1 => (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
            ]
        })
        .boxed()
}

/// One policy.
fn policy(leaf: BoxedStrategy<&'static str>) -> BoxedStrategy<String> {
    let effect = prop_oneof![4 => Just("permit"), 1 => Just("forbid")];
    let principal = prop_oneof![4 => Just("principal"), 1 => Just("principal in Group::\"a\"")];
    let resource = prop_oneof![
        6 => Just("resource"),
        1 => Just("resource is Chunk"),
        1 => Just("resource in Folder::\"f\""),
        1 => Just("resource == Chunk::\"1\""),
    ];
    let clause = (prop_oneof![3 => Just("when"), 1 => Just("unless")], condition(leaf))
        .prop_map(|(word, condition)| format!(" {word} {{ {condition} }}"));
    (effect, principal, resource, prop::collection::vec(clause, 1..3))
        .prop_map(|(effect, principal, resource, clauses)| {
            format!("{effect}({principal}, action, {resource}){};\n", clauses.concat())
        })
        .boxed()
}

/// A policy set.
pub fn policies() -> BoxedStrategy<String> {
    set_of(prop_oneof![4 => select(EXACT), 1 => select(INEXACT)].boxed())
}

/// A policy set that a filter can say exactly, and that mostly passes Cedar's validator.
pub fn exact_policies() -> BoxedStrategy<String> {
    set_of(select(EXACT).boxed())
}

fn set_of(leaf: BoxedStrategy<&'static str>) -> BoxedStrategy<String> {
    prop::collection::vec(policy(leaf), 1..5).prop_map(|policies| policies.concat()).boxed()
}

fn uid(entity_type: &str, id: &str) -> Json {
    json!({"__entity": {"type": entity_type, "id": id}})
}

const WORDS: &[&str] = &["", "a", "b", "a*", "ab"];

fn words() -> BoxedStrategy<Json> {
    prop::collection::vec(select(WORDS), 0..4).prop_map(|words| json!(words)).boxed()
}

fn word() -> BoxedStrategy<Json> {
    select(WORDS).prop_map(|word| json!(word)).boxed()
}

fn number() -> BoxedStrategy<Json> {
    select(vec![0, 1, 2, 3, i64::MIN, i64::MAX]).prop_map(|number| json!(number)).boxed()
}

fn numbers() -> BoxedStrategy<Json> {
    prop::collection::vec(0..3_i64, 0..3).prop_map(|numbers| json!(numbers)).boxed()
}

fn flag() -> BoxedStrategy<Json> {
    any::<bool>().prop_map(|flag| json!(flag)).boxed()
}

fn call(function: &'static str, arguments: &'static [&'static str]) -> BoxedStrategy<Json> {
    let escape = move |argument: &&str| json!({"__extn": {"fn": function, "arg": argument}});
    prop_oneof![
        select(arguments).prop_map(|argument| json!(argument)),
        select(arguments).prop_map(move |argument| escape(&argument)),
    ]
    .boxed()
}

fn entity(entity_type: &'static str, ids: &'static [&'static str]) -> BoxedStrategy<Json> {
    prop_oneof![select(ids).prop_map(|id| json!(id)), select(ids).prop_map(move |id| uid(entity_type, id)),]
        .boxed()
}

const DECIMALS: &[&str] = &["1.5", "0.0", "2.25"];
const TIMES: &[&str] = &["2026-01-01", "2026-06-01T12:00:00Z", "1969-12-31"];
const SPANS: &[&str] = &["1d", "24h", "5m"];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.0.0.0/8", "::1"];

/// What an attribute is instead, at times: nothing, null, or something of another type.
fn odd(usual: BoxedStrategy<Json>) -> BoxedStrategy<Option<Json>> {
    let other = select(vec![
        json!(null),
        json!(1.5),
        json!("a"),
        json!(1),
        json!(true),
        json!([]),
        json!(["a", 1.5]),
        json!([null]),
        json!({}),
        json!({"type": "Group", "id": "a"}),
        uid("Group", "a"),
        uid("User", "u"),
        json!([uid("Group", "a"), 1]),
    ]);
    prop_oneof![16 => usual.prop_map(Some), 1 => Just(None), 2 => other.prop_map(Some)].boxed()
}

type Named = (&'static str, BoxedStrategy<Json>);

/// An object with these members, each of them odd at times.
fn object(members: Vec<Named>) -> BoxedStrategy<Json> {
    of_members(members.into_iter().map(|(name, value)| (name, odd(value))).collect())
}

/// An object with just these members.
fn conforming(members: Vec<Named>) -> BoxedStrategy<Json> {
    of_members(members.into_iter().map(|(name, value)| (name, value.prop_map(Some).boxed())).collect())
}

fn of_members(members: Vec<(&'static str, BoxedStrategy<Option<Json>>)>) -> BoxedStrategy<Json> {
    let members: Vec<_> =
        members.into_iter().map(|(name, value)| value.prop_map(move |value| (name, value))).collect();
    members
        .prop_map(|members| {
            let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Json::Object(present.collect::<Map<_, _>>())
        })
        .boxed()
}

/// A chunk, in the form of a line of a file of chunks.
pub fn chunk() -> BoxedStrategy<Json> {
    let deep = object(vec![("acl", words()), ("on", flag())]);
    let meta = object(vec![("team", word()), ("n", number()), ("deep", deep), ("other", word())]);
    let groups = prop::collection::vec(entity("Group", &["a", "b"]), 0..3).prop_map(|groups| json!(groups));
    let attributes = object(vec![
        ("tenant", word()),
        ("level", number()),
        ("acl", words()),
        ("readers", groups.boxed()),
        ("owner", entity("User", &["u", "v", "w"])),
        ("reader", entity("Group", &["a", "b"])),
        ("price", call("decimal", DECIMALS)),
        ("at", call("datetime", TIMES)),
        ("keep", call("duration", SPANS)),
        ("source", call("ip", ADDRESSES)),
        ("public", flag()),
        ("title", word()),
        ("meta", meta),
        ("numbers", numbers()),
        ("mixed", number()),
    ]);
    let entity_type = prop_oneof![8 => Just("Chunk"), 1 => Just("Note")];
    let parents = select(vec![
        json!([]),
        json!([{"type": "Folder", "id": "f"}]),
        json!([{"type": "Folder", "id": "g"}]),
    ]);
    (entity_type, select(vec!["1", "2", "3"]), attributes, object(vec![("a", word())]), parents)
        .prop_map(|(entity_type, id, attributes, tags, parents)| {
            json!({"type": entity_type, "id": id, "attributes": attributes, "tags": tags, "parents": parents})
        })
        .boxed()
}

/// Makes an object of members.
type Object = fn(Vec<Named>) -> BoxedStrategy<Json>;

fn user(object: Object) -> BoxedStrategy<Json> {
    object(vec![
        ("tenant", word()),
        ("clearance", number()),
        ("roles", words()),
        ("quota", call("decimal", DECIMALS)),
        ("since", call("datetime", TIMES)),
        ("span", call("duration", SPANS)),
        ("address", call("ip", ADDRESSES)),
        ("all", flag()),
        ("team", entity("Group", &["a", "b"])),
    ])
}

/// A request, which knows of some other entities as well.
pub fn request() -> BoxedStrategy<Json> {
    request_of(object)
}

/// A request that conforms to [`SCHEMA`].
pub fn conforming_request() -> BoxedStrategy<Json> {
    request_of(conforming)
}

fn request_of(object: Object) -> BoxedStrategy<Json> {
    let context = object(vec![
        ("now", call("datetime", TIMES)),
        ("level", number()),
        ("words", words()),
        ("tenant", word()),
        ("user", entity("User", &["u", "v"])),
    ]);
    let parents = || {
        select(vec![
            json!([]),
            json!([{"type": "Group", "id": "a"}]),
            json!([{"type": "Group", "id": "b"}, {"type": "Group", "id": "c"}]),
        ])
    };
    (user(object), parents(), context, user(object), parents())
        .prop_map(|(properties, parents, context, other, others)| {
            json!({
                "subject": {"type": "User", "id": "u", "properties": properties, "parents": parents},
                "action": {"name": "read"},
                "context": context,
                "entities": [{"uid": {"type": "User", "id": "v"}, "attrs": other, "parents": others}],
            })
        })
        .boxed()
}
