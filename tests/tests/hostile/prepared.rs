//! Answers in bytes of the rewrite gate that are no rewrite.

use serde_json::json;
use tamis_contract::frame::tag;
use tamis_contract::rewrite::{node, operand};
use tamis_core::{Request, Rewrite};
use tamis_runtime::{Error, Limits, PolicyHandle, Runtime};
use tamis_tests::hostile::answers::bytes::{
    ALWAYS, HEAD, attribute, numbers, of_id, parts, rewrite, rewrite_with, test, text,
};
use tamis_tests::hostile::answers::{self, Entry, Manifest, footprint};
use tamis_tests::hostile::{Batch, FOREVER, Module, TRAP};
use tamis_tests::request;

use super::{assert_allows, assert_load_refused, assert_refused, assert_rewrite_refused};
use super::{bob, hasty, load, patient, query, returns};

const UNFOLDS: &str = "its filter unfolds to more than ";
const NO_FORM: &str = "its rewrite is not in the contract's form";
const FOOTPRINT: &[Entry<'_>] = &[(&["tenant"], Some("String")), (&["owner"], None)];
const TRUE: &[u8] = &[tag::TRUE];

fn answering(rewrite: Vec<u8>) -> Module {
    let manifest = Manifest { footprint: footprint(FOOTPRINT), ..Manifest::good() };
    // The typed call matches everything, so that whatever goes unnoticed shows.
    Module { manifest, ..Module::batching(Batch { rewrite, ..Batch::good() }) }
}

fn acting(rewrite_prepared: &'static str) -> Module {
    Module::batching(Batch { rewrite_prepared, ..Batch::good() })
}

fn answer(rewrite: Vec<u8>) -> Result<Rewrite, Error> {
    let policy = load(answering(rewrite).component(), patient()).unwrap();
    returns(move || policy.rewrite(&bob(), &query()))
}

#[track_caller]
fn broken(rewrite: Vec<u8>, message: &str) {
    assert_rewrite_refused(&answering(rewrite), patient(), "contract", message);
}

#[track_caller]
fn limited(rewrite: Vec<u8>, message: &str) {
    assert_rewrite_refused(&answering(rewrite), patient(), "limit", message);
}

/// `first`, and then `levels` nodes of which each refers to the one before it.
fn tower(first: &[u8], levels: u32, node: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    rewrite(&std::iter::once(first.to_vec()).chain((0..levels).map(node)).collect::<Vec<_>>())
}

#[test]
fn a_valid_rewrite_is_read() {
    let owner = attribute(&["owner", "team"], "String");
    let (tenant, network) = (numbers(operand::FOOTPRINT, &[0]), [tag::IPV4, 10, 0, 0, 0, 8]);
    let record = [&numbers(tag::RECORD, &[1, 1])[..], b"f", &network].concat();
    let nodes = [
        test(node::EXISTS, &owner, &[]),
        numbers(node::NOT, &[0]),
        of_id(node::STARTS_WITH, &text("é")),
        of_id(node::ONE_OF, &[&2_u32.to_le_bytes()[..], TRUE, &record].concat()),
        test(node::READABLE, &tenant, &[]),
        parts(node::AND, &[1, 2, 3, 4, 4]),
        // Nobody refers to this.
        vec![node::NEVER],
        parts(node::OR, &[5]),
    ];
    // Exact; needs the second of the footprint and another; one rule failed; one is partial.
    let head = [
        &[1][..],
        &2_u32.to_le_bytes(),
        &numbers(operand::FOOTPRINT, &[1]),
        &owner,
        &1_u32.to_le_bytes(),
        &text("rule")[1..],
        &text("why")[1..],
        &1_u32.to_le_bytes(),
        &text("part")[1..],
    ];
    let read = answer(rewrite_with(&head.concat(), &nodes)).unwrap();
    let readable = json!({"op": "readable", "attr": ["tenant"], "type": "String"});
    let expected = json!({
        "filter": {"op": "or", "args": [{"op": "and", "args": [
            {"op": "not", "arg": {"op": "exists", "attr": ["owner", "team"], "type": "String"}},
            {"op": "starts-with", "on": "id", "value": "é"},
            {"op": "one-of", "on": "id", "values": [true, {"f": {"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}}}]},
            readable, readable,
        ]}]},
        "exact": true,
        "needs": [{"attr": ["owner"]}, {"attr": ["owner", "team"], "type": "String"}],
    });
    assert_eq!(read.to_json(), expected);
    assert_eq!(read.errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(), ["why"]);
    assert_eq!(read.partial, ["part".to_owned()].into());
    // The typed call was not asked.
    let never = answer(rewrite(&[&[node::NEVER][..]])).unwrap();
    assert_eq!(*never.filter, tamis_core::Filter::Never);
}

#[test]
fn every_test_is_the_one_that_it_says() {
    let list = [&1_u32.to_le_bytes()[..], TRUE].concat();
    let tests = [
        (node::EXISTS, &[][..], json!({"op": "exists", "on": "id"})),
        (node::READABLE, &[], json!({"op": "readable", "on": "id"})),
        (node::EQUALS, TRUE, json!({"op": "equals", "on": "id", "value": true})),
        (node::LESS, TRUE, json!({"op": "less", "on": "id", "value": true})),
        (node::LESS_OR_EQUAL, TRUE, json!({"op": "less-or-equal", "on": "id", "value": true})),
        (node::GREATER, TRUE, json!({"op": "greater", "on": "id", "value": true})),
        (node::GREATER_OR_EQUAL, TRUE, json!({"op": "greater-or-equal", "on": "id", "value": true})),
        (node::ONE_OF, &list, json!({"op": "one-of", "on": "id", "values": [true]})),
        (node::CONTAINS_ANY, &list, json!({"op": "contains-any", "on": "id", "values": [true]})),
        (node::CONTAINS_ALL, &list, json!({"op": "contains-all", "on": "id", "values": [true]})),
        (node::STARTS_WITH, &text("a"), json!({"op": "starts-with", "on": "id", "value": "a"})),
    ];
    for (tag, rest, expected) in tests {
        assert_eq!(answer(rewrite(&[of_id(tag, rest)])).unwrap().to_json()["filter"], expected);
    }
}

#[test]
fn an_answer_is_exactly_a_rewrite() {
    let whole = rewrite(&[of_id(node::EQUALS, &text("x"))]);
    answer(whole.clone()).unwrap();
    for end in 0..whole.len() {
        broken(whole[..end].to_vec(), if end == 17 { "cut off" } else { NO_FORM });
    }
    broken([&whole[..], &[0]].concat(), &format!("it ends at byte {} of {}", whole.len(), whole.len() + 1));
    broken(rewrite::<&[u8]>(&[]), "its filter has no nodes");
    // More is claimed than there is.
    for at in [1, 5, 9, 13] {
        let mut claims = rewrite(&[ALWAYS]);
        claims[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        broken(claims, "its rewrite ");
    }
    let large = |tag| rewrite(&[of_id(tag, &u32::MAX.to_le_bytes())]);
    broken(large(node::ONE_OF), NO_FORM);
    broken(rewrite(&[numbers(node::AND, &[u32::MAX])]), NO_FORM);
    broken(rewrite(&[of_id(node::EQUALS, &numbers(tag::TEXT, &[u32::MAX]))]), NO_FORM);
    broken(rewrite(&[of_id(node::EQUALS, &numbers(tag::SET, &[u32::MAX]))]), NO_FORM);
}

#[test]
fn every_byte_has_a_meaning() {
    for (head, message) in [(2_u8, "2 at byte 0 is neither exact nor not"), (255, "255 at byte 0 is neither")]
    {
        broken(rewrite_with(&[&[head], &HEAD[1..]].concat(), &[ALWAYS]), message);
    }
    broken(rewrite(&[&[16][..]]), "16 at byte 17 is no node");
    broken(rewrite(&[&[255][..]]), "255 at byte 17 is no node");
    broken(rewrite(&[&[node::EXISTS, 5][..]]), "5 at byte 18 is no operand");
    broken(rewrite(&[of_id(node::EQUALS, &[13])]), "13 at byte 19 is no value");
    broken(
        rewrite(&[of_id(node::EQUALS, &[tag::ILL_TYPED, 0, 0, 0, 0])]),
        "compares with an ill-typed value",
    );
    broken(rewrite(&[of_id(node::EQUALS, &[tag::IPV4, 1, 2, 3, 4, 33])]), "33 at byte 24 is no prefix");
    let ipv6 = [&[tag::IPV6][..], &[0; 16], &[129]].concat();
    broken(rewrite(&[of_id(node::EQUALS, &ipv6)]), "129 at byte 36 is no prefix");
    // Text that is none.
    for wrong in [&[0xff, 0xfe][..], &[0xc3], &[0xed, 0xa0, 0x80]] {
        let size = u32::try_from(wrong.len()).unwrap();
        let wrong = [&size.to_le_bytes()[..], wrong].concat();
        broken(rewrite(&[of_id(node::EQUALS, &[&[tag::TEXT], &wrong[..]].concat())]), "begins at byte 20 is");
        broken(rewrite_with(&[&HEAD[..9], &[1, 0, 0, 0], &wrong].concat(), &[ALWAYS]), NO_FORM);
        broken(rewrite_with(&[&HEAD[..5], &[1, 0, 0, 0], &wrong, &[0; 8]].concat(), &[ALWAYS]), NO_FORM);
    }
}

#[test]
fn nodes_refer_to_nodes_before_them() {
    for (nodes, index) in [
        (vec![numbers(node::NOT, &[0])], 0),
        (vec![numbers(node::NOT, &[1]), numbers(node::NOT, &[0])], 1),
        (vec![ALWAYS.to_vec(), parts(node::AND, &[0, 1])], 1),
        (vec![parts(node::OR, &[1]), ALWAYS.to_vec()], 1),
        (vec![parts(node::AND, &[u32::MAX])], u32::MAX),
    ] {
        broken(rewrite(&nodes), &format!("its filter refers to node {index}, which is not before it"));
    }
}

#[test]
fn operands_are_there_and_have_names_and_types() {
    let exists = |operand: &[u8]| rewrite(&[test(node::EXISTS, operand, &[])]);
    for position in [2, u32::MAX] {
        let message = format!("its rewrite refers to attribute {position}, which its footprint has not");
        broken(exists(&numbers(operand::FOOTPRINT, &[position])), &message);
    }
    broken(exists(&attribute(&[], "")), "an attribute has no name");
    broken(exists(&attribute(&["a"], "Text")), "attribute `a`: `Text` is not a type");
    let needing = |operand: &[u8]| rewrite_with(&[&[0, 1, 0, 0, 0], operand, &[0; 8]].concat(), &[ALWAYS]);
    broken(needing(&numbers(operand::FOOTPRINT, &[2])), "attribute 2, which its footprint has not");
    broken(needing(&attribute(&[], "")), "an attribute has no name");
    broken(needing(&[operand::ID]), "3 at byte 5 is no attribute");
    let twice = [
        &[0, 2, 0, 0, 0],
        &numbers(operand::FOOTPRINT, &[1])[..],
        &numbers(operand::FOOTPRINT, &[1]),
        &[0; 8],
    ];
    broken(rewrite_with(&twice.concat(), &[ALWAYS]), "its rewrite needs attribute 1 twice");
    answer(needing(&numbers(operand::FOOTPRINT, &[1]))).unwrap();
}

#[test]
fn values_are_values() {
    broken(rewrite(&[of_id(node::STARTS_WITH, TRUE)]), "its filter has a prefix of type Bool");
    let twice = [&numbers(tag::SET, &[2])[..], TRUE, TRUE].concat();
    broken(rewrite(&[of_id(node::EQUALS, &twice)]), "a set that holds a value twice");
    let field = [&[1, 0, 0, 0][..], b"f", TRUE].concat();
    let twice = [&numbers(tag::RECORD, &[2])[..], &field, &field].concat();
    broken(rewrite(&[of_id(node::EQUALS, &twice)]), "a record with two fields `f`");
}

#[test]
fn depth_is_limited() {
    let deep: [fn(u32) -> Vec<u8>; 3] = [
        |before| numbers(node::NOT, &[before]),
        |before| parts(node::AND, &[before]),
        |before| parts(node::OR, &[0, before]),
    ];
    for node in deep {
        answer(tower(ALWAYS, 100, node)).unwrap();
        limited(tower(ALWAYS, 101, node), "its filter nests deeper than 100 levels");
        limited(tower(ALWAYS, 10_000, node), "its filter nests deeper than 100 levels");
    }
    let set = numbers(tag::SET, &[1]);
    let record = [&numbers(tag::RECORD, &[1, 1])[..], b"f"].concat();
    for around in [set, record] {
        let nested = |levels| rewrite(&[of_id(node::EQUALS, &[&around.repeat(levels)[..], TRUE].concat())]);
        answer(nested(128)).unwrap();
        limited(nested(129), "its filter has values nested deeper than 128 levels");
        limited(nested(100_000), "its filter has values nested deeper than 128 levels");
    }
}

#[test]
fn shared_parts_cannot_unfold_into_too_much() {
    let doubled = |tag: u8| move |before| parts(tag, &[before, before]);
    limited(tower(ALWAYS, 60, doubled(node::AND)), UNFOLDS);
    limited(tower(&of_id(node::EXISTS, &[]), 60, doubled(node::OR)), UNFOLDS);
    limited(rewrite(&[ALWAYS.to_vec(), parts(node::AND, &[0; 1000]), parts(node::AND, &[1; 1000])]), UNFOLDS);
    let long = "x".repeat(256 << 10);
    let names = attribute(&vec![""; 1000], "");
    let fields = (0..20_000).map(|number| format!("a{number}: Long")).collect::<Vec<_>>().join(",");
    for test in [
        of_id(node::EQUALS, &text(&long)),
        of_id(node::ONE_OF, &[&1_u32.to_le_bytes()[..], &text(&long)].concat()),
        test(node::EXISTS, &attribute(&[&long], ""), &[]),
        test(node::EXISTS, &names, &[]),
        test(node::EXISTS, &attribute(&["a"], &format!("{{{fields}}}")), &[]),
    ] {
        answer(rewrite(&[test.clone(), parts(node::AND, &[0; 20])])).unwrap();
        limited(rewrite(&[test.clone(), parts(node::AND, &[0; 2000])]), UNFOLDS);
        // By way of a connective, which is read once more.
        let shared = [test, numbers(node::NOT, &[0]), parts(node::AND, &[1; 2000])];
        limited(rewrite(&shared), UNFOLDS);
    }
}

#[test]
fn an_answer_larger_than_the_limit_is_refused() {
    let large = acting(
        "(drop (memory.grow (i32.const 100)))
        (i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.const 5000000)) (i32.const 8)",
    );
    assert_rewrite_refused(&large, patient(), "limit", "its answer is larger than 4194304 bytes");
    for (body, message) in [
        ("(i32.const 0x7ffffff0)", "out of bounds"),
        ("(i32.const 9)", "aligned"),
        (
            "(i32.store (i32.const 8) (i32.const 0x7fffff00)) (i32.store (i32.const 12) (i32.const 2)) (i32.const 8)",
            "out of bounds",
        ),
        // Nothing at all.
        ("(i64.store (i32.const 8) (i64.const 0)) (i32.const 8)", NO_FORM),
    ] {
        assert_rewrite_refused(&acting(body), patient(), "contract", message);
    }
}

#[test]
fn a_rewrite_that_gives_up_or_never_ends_is_refused() {
    assert_rewrite_refused(&acting(TRAP), patient(), "trap", "unreachable");
    assert_rewrite_refused(&acting(FOREVER), hasty(), "limit", "it took longer than 50 ms");
    let growing =
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    assert_rewrite_refused(
        &acting(growing),
        patient(),
        "limit",
        "it wanted more than 16777216 bytes of memory",
    );
    let runtime = Runtime::new(tamis_runtime::RuntimeConfig { fuel: true, cache: None }).unwrap();
    let limits = Limits { fuel: Some(10_000), ..patient() };
    let policy = tamis_runtime::Policy::load(&runtime, &acting(FOREVER).component(), &limits).unwrap();
    assert_refused(returns(move || policy.rewrite(&bob(), &query())), "limit", "its fuel of 10000");
    // So is one whose request cannot be prepared.
    let module = Module::batching(Batch { prepare: TRAP, ..Batch::good() });
    let policy = load(module.component(), patient()).unwrap();
    assert_refused(policy.rewrite(&bob(), &query()), "trap", "unreachable");
}

/// A user with an agent, as entities 1 and 0: uids are in order.
fn bob_with_an_agent() -> Request {
    request(
        r#"{"subject":{"type":"User","id":"bob"},"actor":[{"type":"Agent","id":"a"}],"action":{"name":"retrieve"}}"#,
    )
}

#[test]
fn everyone_must_be_allowed() {
    // Matches nothing for one of them: the last byte of the answer is its only node.
    for nothing in 0..2 {
        let body = format!(
            "(i32.store8 (i32.add (i32.load (global.get $narrowed)) (i32.const 17))
                (i32.eq (local.get $prepared) (i32.const {nothing})))
            (global.get $narrowed)"
        );
        let policy = load(acting(body.leak()).component(), patient()).unwrap();
        let rewrite = policy.rewrite(&bob_with_an_agent(), &query()).unwrap();
        assert_eq!(*rewrite.filter, tamis_core::Filter::Never, "{nothing}");
    }
    let same = Module::batching(Batch { prepare: "(i32.const 7)", ..Batch::good() });
    let policy = load(same.component(), patient()).unwrap();
    let message = "it prepares for two principals under the same number, 7";
    assert_refused(policy.rewrite(&bob_with_an_agent(), &query()), "contract", message);
}

#[test]
fn a_request_is_prepared_once_for_all() {
    let prepare =
        "(if (global.get $calls) (then (unreachable))) (global.set $calls (i32.const 1)) (i32.const 0)";
    let policy = load(Module::batching(Batch { prepare, ..Batch::good() }).component(), patient()).unwrap();
    let mut session = policy.session(&bob());
    for k in 0..3 {
        let other = tamis_core::Query { k, ..query() };
        assert_eq!(*session.rewrite(&other).unwrap().filter, tamis_core::Filter::Always);
        assert!(session.filter(&super::chunks()).unwrap().iter().all(|decision| decision.allow));
    }
}

#[test]
fn a_policy_that_does_not_export_it_as_the_contract_says_does_not_load() {
    let contract = include_str!("../../../wit/policy.wit");
    let declared = "rewrite-prepared: func(prepared: u32, query: query) -> list<u8>;";
    let module = Module::batching(Batch::good());
    assert_allows(&load(module.component_of(contract), patient()).unwrap());
    for (other, kind, message) in [
        ("", "artifact", "it does not export `tamis:policy/batch`"),
        ("", "artifact", "rewrite-prepared"),
        ("rewrite-prepared: func(prepared: u32, query: query) -> list<s8>;", "contract", "type mismatch"),
        ("rewrite-prepared: func(prepared: s32, query: query) -> list<u8>;", "contract", "type mismatch"),
        (
            "rewrite-prepared: func(prepared: u32, collection: list<u8>, k: u32) -> list<u8>;",
            "contract",
            "type mismatch",
        ),
    ] {
        let other = contract.replace(declared, other);
        assert_ne!(other, contract);
        assert_load_refused(module.component_of(&other), patient(), kind, message);
    }
}

#[test]
fn a_policy_that_contradicts_itself_does_not_serve() {
    let runtime = Runtime::shared().unwrap();
    let good = answering(rewrite(&[ALWAYS])).component();
    let handle = PolicyHandle::new(&runtime, &good, patient()).unwrap();
    let other = answering(rewrite(&[&[node::NEVER][..]])).component();
    let message = "it narrows a search otherwise for a prepared request";
    assert_refused(PolicyHandle::new(&runtime, &other, patient()), "contract", message);
    assert_refused(handle.replace(&other), "contract", message);
    let typed = answers::Rewrite {
        needs: vec![answers::attribute(&["tenant"], Some("String"))],
        ..answers::Rewrite::of(vec![answers::node::always()])
    };
    let other = Module { rewrite: typed, ..answering(rewrite(&[ALWAYS])) }.component();
    assert_refused(handle.replace(&other), "contract", message);
    assert_eq!(handle.current().number(), 1);
}
