//! Answers of the rewrite gate whose filter is no filter.

use serde_json::json;
use tamis_core::Rewrite as CoreRewrite;
use tamis_runtime::Error;
use tamis_tests::hostile::Module;
use tamis_tests::hostile::abi::{Abi, text};
use tamis_tests::hostile::answers::{Rewrite, attribute, node, operand, option, value};

use super::{assert_rewrite_refused, bob, load, patient, query, returns};

const UNFOLDS: &str = "its filter unfolds to more than ";

fn answering(rewrite: Rewrite) -> Module {
    Module { rewrite, ..Module::good() }
}

fn answer(rewrite: Rewrite) -> Result<CoreRewrite, Error> {
    let policy = load(answering(rewrite).component(), patient()).unwrap();
    returns(move || policy.rewrite(&bob(), &query()))
}

fn broken(rewrite: Rewrite, message: &str) {
    assert_rewrite_refused(&answering(rewrite), patient(), "contract", message);
}

fn limited(rewrite: Rewrite, message: &str) {
    assert_rewrite_refused(&answering(rewrite), patient(), "limit", message);
}

/// `first`, and then `levels` elements of which each refers to the one before it.
fn tower(first: Abi, levels: u32, element: impl Fn(u32) -> Abi) -> Vec<Abi> {
    std::iter::once(first).chain((0..levels).map(element)).collect()
}

#[test]
fn a_valid_filter_is_read() {
    let nodes = vec![
        node::exists(1),
        node::not(0),
        node::starts_with(1),
        node::one_of(&[0, 3]),
        node::and(&[1, 2, 3]),
    ];
    let values =
        vec![value::long(-1), value::string("é"), value::ip(&[10, 0, 0, 0], 8), value::record(&[("f", 2)])];
    let attributes = vec![attribute(&["owner"], Some("Long")), attribute(&["x", "y"], None)];
    let operands = vec![operand::id(), operand::attribute(&["owner", "team"], Some("String"))];
    let rewrite = Rewrite { operands, values, needs: attributes, ..Rewrite::of(nodes) };
    let expected = json!({
        "filter": {"op": "and", "args": [
            {"op": "not", "arg": {"op": "exists", "attr": ["owner", "team"], "type": "String"}},
            {"op": "starts-with", "on": "id", "value": "é"},
            {"op": "one-of", "on": "id", "values": [-1, {"f": {"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}}}]},
        ]},
        "exact": false,
        "needs": [{"attr": ["owner"], "type": "Long"}, {"attr": ["x", "y"]}],
    });
    assert_eq!(answer(rewrite).unwrap().to_json(), expected);
}

#[test]
fn nodes_refer_to_nodes_before_them() {
    for (root, nodes, index) in [
        (0, vec![], 0),
        (1, vec![node::always()], 1),
        (u32::MAX, vec![node::always()], u32::MAX),
        (0, vec![node::not(0)], 0),
        (1, vec![node::not(1), node::not(0)], 1),
        (1, vec![node::always(), node::and(&[0, 1])], 1),
        (0, vec![node::and(&[1]), node::always()], 1),
        (0, vec![node::and(&[u32::MAX])], u32::MAX),
    ] {
        let message = format!("its filter refers to node {index}, which is not before it");
        broken(Rewrite { root, ..Rewrite::of(nodes) }, &message);
    }
}

#[test]
fn values_refer_to_values_before_them() {
    for (values, index) in [
        (vec![], 0),
        (vec![value::set(&[0])], 0),
        (vec![value::set(&[1]), value::set(&[0])], 1),
        (vec![value::record(&[("f", 0)])], 0),
        (vec![value::set(&[u32::MAX])], u32::MAX),
    ] {
        let message = format!("its filter refers to value {index}, which is not before it");
        broken(Rewrite::of_values(node::equals(0), values.clone()), &message);
        broken(Rewrite::of_values(node::one_of(&[0]), values), &message);
    }
}

#[test]
fn operands_are_there_and_have_names_and_types() {
    let with = |operand| Rewrite { operands: vec![operand], ..Rewrite::of(vec![node::exists(0)]) };
    broken(Rewrite::of(vec![node::exists(1)]), "its filter refers to operand 1, which is not there");
    broken(
        Rewrite::of(vec![node::exists(u32::MAX)]),
        "its filter refers to operand 4294967295, which is not there",
    );
    broken(with(operand::attribute(&[], None)), "an attribute has no name");
    broken(with(operand::attribute(&["a"], Some("Text"))), "attribute `a`: `Text` is not a type");
    for needed in [attribute(&[], None), attribute(&["a"], Some("Text"))] {
        let needs = vec![needed];
        broken(Rewrite { needs, ..Rewrite::of(vec![node::always()]) }, "attribute");
    }
}

#[test]
fn values_are_values() {
    let compared = |value| Rewrite::of_values(node::equals(0), vec![value]);
    broken(compared(value::ip(&[1, 2, 3, 4, 5], 8)), "its filter has an ip address of 5 bytes");
    broken(compared(value::ip(&[], 0)), "its filter has an ip address of 0 bytes");
    broken(compared(value::ip(&[1, 2, 3, 4], 33)), "prefix");
    broken(compared(value::ip(&[0; 16], 200)), "prefix");
    broken(compared(value::ill_typed("no")), "its filter compares with an ill-typed value");
    let twice = vec![value::long(1), value::record(&[("f", 0), ("f", 0)])];
    broken(Rewrite::of_values(node::equals(1), twice), "its filter has a record with two fields `f`");
    let prefix = Rewrite::of_values(node::starts_with(0), vec![value::long(1)]);
    broken(prefix, "its filter has a prefix of type Long");
}

#[test]
fn cases_are_those_of_the_contract() {
    let nothing = || Abi::Record(vec![]);
    let untyped =
        |case| operand::case(0, Abi::Record(vec![Abi::List(vec![text("a")]), option(case, nothing())]));
    let good = || Rewrite::of(vec![node::exists(0)]);
    broken(Rewrite::of(vec![node::case(16, nothing())]), "unexpected discriminant");
    broken(Rewrite { operands: vec![operand::case(4, nothing())], ..good() }, "unexpected discriminant");
    broken(Rewrite { values: vec![value::case(11, nothing())], ..good() }, "unexpected discriminant");
    broken(Rewrite { operands: vec![untyped(2)], ..good() }, "invalid option discriminant");
    answer(Rewrite { operands: vec![untyped(0)], ..good() }).unwrap();
}

#[test]
fn depth_is_limited() {
    let nots = |levels| Rewrite::of(tower(node::always(), levels, node::not));
    answer(nots(100)).unwrap();
    limited(nots(101), "its filter nests deeper than 100 levels");
    limited(nots(10_000), "its filter nests deeper than 100 levels");

    for with_children in [node::and, node::or] {
        let nested = |levels| Rewrite::of(tower(node::always(), levels, |before| with_children(&[before])));
        answer(nested(100)).unwrap();
        limited(nested(101), "its filter nests deeper than 100 levels");
    }

    let around: [fn(u32) -> Abi; 2] =
        [|before| value::set(&[before]), |before| value::record(&[("f", before)])];
    for value_around in around {
        let nested =
            |levels| Rewrite::of_values(node::equals(levels), tower(value::long(1), levels, value_around));
        answer(nested(128)).unwrap();
        limited(nested(129), "its filter has values nested deeper than 128 levels");
        limited(nested(10_000), "its filter has values nested deeper than 128 levels");
    }
}

#[test]
fn shared_parts_cannot_unfold_into_too_many() {
    limited(Rewrite::of(tower(node::always(), 60, |before| node::and(&[before, before]))), UNFOLDS);
    let values = tower(value::long(1), 60, |before| value::set(&[before, before]));
    limited(Rewrite::of_values(node::equals(60), values), UNFOLDS);
    let values = tower(value::long(1), 60, |before| value::record(&[("a", before), ("b", before)]));
    limited(Rewrite::of_values(node::equals(60), values), UNFOLDS);
    let shared = vec![0; 1000];
    let nodes = vec![node::always(), node::and(&shared), node::and(&[1; 1000])];
    limited(Rewrite::of(nodes), UNFOLDS);
}

// A 300 KB answer in which many tests look at the same thing, each with its own copy after reading.

#[test]
fn a_shared_value_cannot_unfold_into_too_much() {
    let long = "x".repeat(256 << 10);
    for (root, values) in [
        (0, vec![value::string(&long)]),
        (0, vec![value::entity("", &long)]),
        (1, vec![value::long(1), value::record(&[(long.as_str(), 0)])]),
    ] {
        let nodes = vec![node::equals(root), node::and(&[0; 2000])];
        limited(Rewrite { values, ..Rewrite::of(nodes) }, UNFOLDS);
    }
}

#[test]
fn a_shared_operand_cannot_unfold_into_too_much() {
    // One long name, and many names without a letter, which take room all the same.
    let long = "x".repeat(256 << 10);
    for path in [vec![long.as_str()], vec![""; 1000]] {
        let nodes = vec![node::exists(0), node::and(&[0; 2000])];
        let operands = vec![operand::attribute(&path, None)];
        limited(Rewrite { operands, ..Rewrite::of(nodes) }, UNFOLDS);
    }
}

#[test]
fn a_shared_type_cannot_unfold_into_too_much() {
    let fields = (0..20_000).map(|number| format!("a{number}: Long")).collect::<Vec<_>>().join(",");
    let operand = operand::attribute(&["a"], Some(&format!("{{{fields}}}")));
    let nodes = vec![node::exists(0), node::and(&[0; 400])];
    limited(Rewrite { operands: vec![operand], ..Rewrite::of(nodes) }, UNFOLDS);
}
