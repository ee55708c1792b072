//! From a filter to a plan: what a database lacks is left out on the wide side.
//!
//! A test that a database cannot express is replaced: by `always` where the filter wants it to hold, by `never` where it wants it not
//! to. So is a test that the database can only express too widely, where the filter wants it not to hold. The result matches at least
//! what the filter matches.

use std::collections::BTreeSet;

use tamis_core::decision::path_text;
use tamis_core::filter::{Attribute, Filter, Operand, Test};
use tamis_core::{EntityUid, Type, Value};

use crate::ancestor_key;
use crate::atoms::{Atoms, atoms, is_loose};
use crate::fields::{Fields, Place};
use crate::plan::{Atom, Field, Kind, Limits, Plan, Scalar, Verdict};

/// What a database is to be asked for, and what was left out, in words.
pub(crate) fn plan(
    filter: &Filter,
    fields: &Fields,
    limits: Limits,
    judge: &dyn Fn(&Field, &Atom) -> Verdict,
) -> (Plan, Vec<String>) {
    plan_by_type(filter, fields, limits, &|field, atom, _| judge(field, atom))
}

/// Says what a dialect makes of a test, given the type of what is stored in the field wherever something is. There is none
/// for an attribute of a collection whose chunks were not all admitted, and for one without a declared type.
pub(crate) type Judge<'a> = &'a dyn Fn(&Field, &Atom, Option<&Type>) -> Verdict;

/// As [`plan`], for databases that cannot ask for the type of what they store.
pub(crate) fn plan_by_type(
    filter: &Filter,
    fields: &Fields,
    limits: Limits,
    judge: Judge,
) -> (Plan, Vec<String>) {
    let mut planner = Planner { fields, limits, judge, left_out: BTreeSet::new() };
    let plan = planner.filter(filter, true);
    let plan = planner.fit(plan);
    (plan, planner.left_out.into_iter().collect())
}

struct Planner<'a> {
    fields: &'a Fields,
    limits: Limits,
    judge: Judge<'a>,
    left_out: BTreeSet<String>,
}

impl Planner<'_> {
    /// A plan that matches at least what the filter matches; if not `wide`, at most.
    fn filter(&mut self, filter: &Filter, wide: bool) -> Plan {
        match filter {
            Filter::Always => Plan::Always,
            Filter::Never => Plan::Never,
            Filter::And(parts) => {
                Plan::all(parts.iter().map(|part| self.filter(part, wide)).collect::<Vec<_>>())
            }
            Filter::Or(parts) => {
                Plan::any(parts.iter().map(|part| self.filter(part, wide)).collect::<Vec<_>>())
            }
            Filter::Not(inner) => Plan::negate(self.filter(inner, !wide)),
            Filter::Test(Operand::Attribute(attribute), test) => self.attribute(attribute, test, wide),
            Filter::Test(Operand::EntityType, test) => self.entity_type(test, wide),
            Filter::Test(Operand::Id, test) => self.id(test, wide),
            Filter::Test(Operand::Ancestors, test) => self.ancestors(test, wide),
        }
    }

    fn leave_out(&mut self, what: &str, why: &str, wide: bool) -> Plan {
        self.left_out.insert(format!("{what}: {why}"));
        if wide { Plan::Always } else { Plan::Never }
    }

    fn test(&mut self, what: &str, field: &Field, atom: Atom, stored: Option<&Type>, wide: bool) -> Plan {
        let (count, most) = (atom.values().len(), self.limits.list);
        if count > most {
            return self.leave_out(
                what,
                &format!("a list of {count} values, and {most} are the limit"),
                wide,
            );
        }
        match (self.judge)(field, &atom, stored) {
            Verdict::Exact => Plan::Test(field.clone(), atom),
            // Where a test is wanted to hold, an even number of negations encloses it.
            Verdict::Unnegated(_) if wide => Plan::Test(field.clone(), atom),
            Verdict::Unnegated(why) => self.leave_out(what, &why, wide),
            Verdict::Wider(why) => {
                let left_out = self.leave_out(what, &why, wide);
                if wide { Plan::Test(field.clone(), atom) } else { left_out }
            }
            Verdict::Bounded(why) => {
                self.leave_out(what, &why, wide);
                Plan::Test(field.clone(), atom)
            }
            Verdict::Inexpressible(why) => self.leave_out(what, &why, wide),
        }
    }

    fn attribute(&mut self, attribute: &Attribute, test: &Test, wide: bool) -> Plan {
        let (name, field) = (path_text(&attribute.path), Field::Attribute(self.fields.of(&attribute.path)));
        let declared = attribute.declared.as_ref();
        let stored = declared.filter(|_| self.fields.admitted);
        if matches!(test, Test::Exists | Test::Readable)
            && self.fields.admitted
            && self.fields.required.contains(&attribute.path)
        {
            return Plan::Always;
        }
        if self.fields.is_scattered(&attribute.path) {
            return self.leave_out(&format!("`{name}`"), "parts of it lie in fields of their own", wide);
        }
        if *test == Test::Readable && self.fields.admitted {
            return self.test(&format!("`{name}`"), &field, Atom::Present, stored, wide);
        }
        if *test == Test::Readable && declared.is_none() {
            return self.readable(&format!("`{name}`"), &field, wide);
        }
        let atoms = match atoms(declared, test) {
            Ok(atoms) => atoms,
            Err(why) => return self.leave_out(&format!("`{name}`"), why, wide),
        };
        let loose = !self.fields.admitted && declared.is_some_and(is_loose);
        let mut parts = |atoms: Vec<Atom>| -> Vec<Plan> {
            atoms
                .into_iter()
                .map(|atom| match atom {
                    // Only a readable value equals one.
                    Atom::OneOf(_) | Atom::Present => {
                        self.test(&format!("`{name}`"), &field, atom, stored, wide)
                    }
                    _ if loose && !wide => self.leave_out(&format!("`{name}`"), LOOSE, wide),
                    _ => {
                        if loose {
                            self.leave_out(&format!("`{name}`"), LOOSE, wide);
                        }
                        self.test(&format!("`{name}`"), &field, atom, stored, wide)
                    }
                })
                .collect()
        };
        match atoms {
            Atoms::Any(atoms) => Plan::any(parts(atoms)),
            Atoms::All(atoms) => Plan::all(parts(atoms)),
        }
    }

    /// Whether what no type is declared for can be read: texts, whole numbers and booleans can; of arrays and objects not all can.
    fn readable(&mut self, what: &str, field: &Field, wide: bool) -> Plan {
        self.leave_out(what, "whether what no type is declared for can be read", wide);
        if wide {
            return self.test(what, field, Atom::Present, None, wide);
        }
        let kinds = [Kind::Text, Kind::Integer, Kind::Boolean];
        Plan::any(kinds.map(|kind| self.test(what, field, Atom::Is(kind), None, wide)))
    }

    fn entity_type(&mut self, test: &Test, wide: bool) -> Plan {
        let name = |value: &Value| if let Value::String(name) = value { Some(name.clone()) } else { None };
        let names: Vec<String> = match test {
            Test::Exists | Test::Readable => return Plan::Always,
            Test::Equals(value) => name(value).into_iter().collect(),
            Test::OneOf(values) => values.iter().filter_map(name).collect(),
            Test::StartsWith(_) => {
                return self.leave_out("the type of the chunk", "a test other than equality", wide);
            }
            _ => return Plan::Never,
        };
        self.type_is_one_of(names, wide)
    }

    fn type_is_one_of(&mut self, names: Vec<String>, wide: bool) -> Plan {
        if names.is_empty() {
            return Plan::Never;
        }
        match &self.fields.entity_type {
            Place::Constant(known) if names.contains(known) => Plan::Always,
            Place::Constant(_) => Plan::Never,
            Place::Absent => self.leave_out("the type of the chunk", "the collection does not hold it", wide),
            Place::Field(field) => {
                let field = Field::Column(field.clone());
                let names = names.into_iter().map(Scalar::Text).collect();
                self.test("the type of the chunk", &field, Atom::OneOf(names), Some(&Type::String), wide)
            }
        }
    }

    fn id(&mut self, test: &Test, wide: bool) -> Plan {
        let uids = match test {
            Test::Exists | Test::Readable => return Plan::Always,
            Test::Equals(value) => entities(std::slice::from_ref(value)),
            Test::OneOf(values) => entities(values),
            _ => return Plan::Never,
        };
        let Place::Field(field) = &self.fields.id else {
            return if uids.is_empty() {
                Plan::Never
            } else {
                self.leave_out("the id of the chunk", "the collection does not hold it", wide)
            };
        };
        let field = Field::Column(field.clone());
        let types: BTreeSet<&str> = uids.iter().map(|uid| uid.entity_type.as_str()).collect();
        let mut parts = Vec::new();
        for entity_type in types {
            let of_type = uids.iter().filter(|uid| uid.entity_type == entity_type);
            let ids = of_type.map(|uid| Scalar::Text(uid.id.clone())).collect();
            parts.push(Plan::all([
                self.type_is_one_of(vec![entity_type.to_owned()], wide),
                self.test("the id of the chunk", &field, Atom::OneOf(ids), Some(&Type::String), wide),
            ]));
        }
        Plan::any(parts)
    }

    fn ancestors(&mut self, test: &Test, wide: bool) -> Plan {
        const WHAT: &str = "the ancestors of the chunk";
        let keys = |values: &[Value]| -> Vec<Scalar> {
            entities(values).into_iter().map(|uid| Scalar::Text(ancestor_key(uid))).collect()
        };
        let atom = match test {
            Test::Exists | Test::Readable => return Plan::Always,
            Test::ContainsAny(values) => match keys(values) {
                keys if keys.is_empty() => return Plan::Never,
                keys => Atom::ContainsAny(keys, Some(Kind::Text)),
            },
            Test::ContainsAll(values) => match keys(values) {
                keys if keys.len() < values.len() => return Plan::Never,
                keys if keys.is_empty() => return Plan::Always,
                keys => Atom::ContainsAll(keys, Some(Kind::Text)),
            },
            Test::Equals(_) | Test::OneOf(_) => {
                return self.leave_out(WHAT, "a test other than what they contain", wide);
            }
            Test::Compare(..) | Test::StartsWith(_) => return Plan::Never,
        };
        match &self.fields.ancestors {
            Place::Field(field) => {
                let field = Field::Column(field.clone());
                self.test(WHAT, &field, atom, Some(&Type::Set(Box::new(Type::String))), wide)
            }
            _ => self.leave_out(WHAT, "the collection does not hold them", wide),
        }
    }

    /// Leaves out what is too much for the database: parts of a conjunction, from the one on that does not fit.
    fn fit(&mut self, plan: Plan) -> Plan {
        let fits = |plan: &Plan, room: usize| {
            let (values, depth) = plan.size();
            values <= room && depth <= self.limits.depth
        };
        if fits(&plan, self.limits.values) {
            return plan;
        }
        let parts = match plan {
            Plan::And(parts) => parts,
            other => vec![other],
        };
        let mut room = self.limits.values;
        let mut fitting = Vec::new();
        for part in parts {
            if fits(&part, room) {
                room -= part.size().0;
                fitting.push(part);
            } else {
                self.left_out.insert("a part that is too large".to_owned());
            }
        }
        Plan::all(fitting)
    }
}

fn entities(values: &[Value]) -> Vec<&EntityUid> {
    values.iter().filter_map(|value| if let Value::Entity(uid) = value { Some(uid) } else { None }).collect()
}

const LOOSE: &str = "whether it can be read as its type, where not every chunk passed the admit gate";

#[cfg(test)]
mod tests {
    use tamis_core::filter::Comparison;
    use tamis_core::manifest::FootprintAttribute;

    use super::*;

    const LIMITS: Limits = Limits { list: 3, values: 8, depth: 4 };

    /// Fields called `x…` are inexpressible, those called `w…` come out too wide.
    fn judge(field: &Field, _: &Atom) -> Verdict {
        let Field::Attribute(path) = field else { return Verdict::Exact };
        match path[0].chars().next() {
            Some('x') => Verdict::Inexpressible("no".to_owned()),
            Some('w') => Verdict::Wider("wide".to_owned()),
            _ => Verdict::Exact,
        }
    }

    fn planned(text: &str) -> (Plan, Vec<String>) {
        planned_if(text, true)
    }

    fn planned_if(text: &str, admitted: bool) -> (Plan, Vec<String>) {
        let entity_type = Place::Constant("Chunk".to_owned());
        let mut fields = Fields { entity_type, admitted, ..Fields::default() };
        fields.attributes.insert(vec!["mapped".to_owned()], vec!["a".to_owned(), "b".to_owned()]);
        fields.attributes.insert(vec!["split".to_owned(), "part".to_owned()], vec!["c".to_owned()]);
        plan(&Filter::from_json(text).unwrap(), &fields, LIMITS, &judge)
    }

    #[test]
    fn a_record_whose_parts_lie_elsewhere_is_left_out() {
        for test in [r#""op":"exists""#, r#""op":"readable""#, r#""op":"equals","value":{"part":1}"#] {
            let whole = format!(r#"{{{test},"attr":["split"]}}"#);
            for text in [format!(r#"{{"op":"not","arg":{whole}}}"#), whole] {
                for admitted in [false, true] {
                    let left_out = ["`split`: parts of it lie in fields of their own".to_owned()].to_vec();
                    assert_eq!(planned_if(&text, admitted), (Plan::Always, left_out), "{text}");
                }
            }
        }
        for (path, field) in [(r#""split","part""#, &["c"][..]), (r#""split","other""#, &["split", "other"])]
        {
            let text = format!(r#"{{"op":"exists","attr":[{path}],"type":"Long"}}"#);
            let field = Field::Attribute(field.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(planned(&text), (Plan::Test(field, Atom::Present), vec![]));
        }
    }

    #[test]
    fn what_cannot_be_negated_is_kept_where_it_is_not() {
        let a = Plan::Test(Field::Attribute(vec!["a".to_owned()]), Atom::Present);
        let not = |text: &str| format!(r#"{{"op":"not","arg":{text}}}"#);
        let exists = r#"{"op":"exists","attr":["a"],"type":"Long"}"#;
        let planned = |text: &str, admitted| {
            let fields = Fields { admitted, ..Fields::default() };
            plan_by_type(&Filter::from_json(text).unwrap(), &fields, LIMITS, &|_, _, stored| match stored {
                Some(Type::Long) => Verdict::Unnegated("no".to_owned()),
                _ => Verdict::Exact,
            })
        };
        assert_eq!(planned(exists, true), (a.clone(), vec![]));
        assert_eq!(planned(&not(&not(exists)), true), (a.clone(), vec![]));
        assert_eq!(planned(&not(exists), true), (Plan::Always, vec!["`a`: no".to_owned()]));
        assert_eq!(planned(&not(exists), false), (Plan::Not(Box::new(a)), vec![]));
    }

    #[test]
    fn what_every_admitted_chunk_has_is_not_asked_for() {
        let footprint = [true, false].map(|optional| {
            let path = vec![if optional { "xa" } else { "xb" }.to_owned()];
            let attribute = Attribute { path, declared: Some(Type::Long) };
            FootprintAttribute { attribute, optional }
        });
        let planned = |text: &str, admitted| {
            let mut fields = Fields { admitted, ..Fields::default() };
            fields.require(&footprint);
            plan(&Filter::from_json(text).unwrap(), &fields, LIMITS, &judge)
        };
        for op in ["exists", "readable"] {
            let test = |name: &str| format!(r#"{{"op":"{op}","attr":["{name}"],"type":"Long"}}"#);
            let not = |name: &str| format!(r#"{{"op":"not","arg":{}}}"#, test(name));
            assert_eq!(planned(&test("xb"), true), (Plan::Always, vec![]));
            assert_eq!(planned(&not("xb"), true), (Plan::Never, vec![]));
            for (name, admitted) in [("xa", true), ("xa", false), ("xb", false)] {
                assert_eq!(planned(&not(name), admitted), (Plan::Always, vec![format!("`{name}`: no")]));
            }
        }
    }

    fn test(name: &str) -> String {
        format!(r#"{{"op":"exists","attr":["{name}"]}}"#)
    }

    #[test]
    fn what_is_inexpressible_widens_by_its_sign() {
        let and = |l: &str, r: &str| format!(r#"{{"op":"and","args":[{l},{r}]}}"#);
        let or = |l: &str, r: &str| format!(r#"{{"op":"or","args":[{l},{r}]}}"#);
        let not = |inner: &str| format!(r#"{{"op":"not","arg":{inner}}}"#);
        let (a, x, w) = (test("a"), test("x"), test("w"));
        let always = r#"{"op":"always"}"#.to_owned();
        for (text, same_as, left_out) in [
            (a.clone(), a.clone(), false),
            (not(&a), not(&a), false),
            (x.clone(), always.clone(), true),
            (not(&x), always.clone(), true),
            (and(&a, &x), a.clone(), true),
            (or(&a, &x), always.clone(), true),
            (not(&and(&a, &x)), always.clone(), true),
            (not(&or(&a, &x)), not(&a), true),
            (not(&w), always.clone(), true),
            (and(&a, &not(&and(&x, &a))), a.clone(), true),
        ] {
            let (plan, reasons) = planned(&text);
            assert_eq!(plan, planned(&same_as).0, "{text}");
            assert_eq!(!reasons.is_empty(), left_out, "{text}");
        }
        for text in [w.clone(), not(&not(&w))] {
            let (plan, reasons) = planned(&text);
            assert_eq!(
                (plan, reasons.len()),
                (Plan::Test(Field::Attribute(vec!["w".to_owned()]), Atom::Present), 1)
            );
        }
    }

    #[test]
    fn tests_become_tests_of_fields() {
        let a = || Field::Attribute(vec!["a".to_owned()]);
        let column = |name: &str| Field::Column(name.to_owned());
        let texts =
            |texts: &[&str]| texts.iter().map(|text| Scalar::Text((*text).to_owned())).collect::<Vec<_>>();
        let user = r#"{"__entity":{"type":"User","id":"u"}}"#;
        for (text, expected) in [
            (r#"{"op":"equals","attr":["a"],"value":1}"#.to_owned(), Plan::Test(a(), Atom::OneOf(vec![Scalar::Integer(1)]))),
            (r#"{"op":"equals","attr":["mapped"],"value":true}"#.to_owned(), Plan::Test(Field::Attribute(vec!["a".into(), "b".into()]), Atom::OneOf(vec![Scalar::Boolean(true)]))),
            (format!(r#"{{"op":"equals","attr":["a"],"type":"Entity<User>","value":{user}}}"#), Plan::Test(a(), Atom::OneOf(texts(&["u"])))),
            (format!(r#"{{"op":"equals","attr":["a"],"type":"Entity<Group>","value":{user}}}"#), Plan::Never),
            (r#"{"op":"equals","attr":["a"],"type":"Long","value":"1"}"#.to_owned(), Plan::Never),
            (r#"{"op":"one-of","attr":["a"],"values":[]}"#.to_owned(), Plan::Never),
            (
                r#"{"op":"less","attr":["a"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#.to_owned(),
                Plan::Test(a(), Atom::Compare(Comparison::Less, Scalar::Text("2026-01-01T00:00:00.000Z".to_owned()))),
            ),
            (
                r#"{"op":"less","attr":["a"],"type":"decimal","value":{"__extn":{"fn":"decimal","arg":"1.5"}}}"#.to_owned(),
                Plan::Test(a(), Atom::Compare(Comparison::Less, Scalar::Number(1.5))),
            ),
            (
                format!(r#"{{"op":"contains-any","attr":["a"],"type":"Set<Entity<User>>","values":[{user}]}}"#),
                Plan::Test(a(), Atom::ContainsAny(texts(&["u"]), Some(Kind::Text))),
            ),
            (r#"{"op":"contains-all","attr":["a"],"type":"Set<Long>","values":[]}"#.to_owned(), Plan::Test(a(), Atom::IsArray(Kind::Integer))),
            (r#"{"op":"contains-all","attr":["a"],"type":"Set<Long>","values":[1,"a"]}"#.to_owned(), Plan::Never),
            (r#"{"op":"starts-with","attr":["a"],"value":""}"#.to_owned(), Plan::Test(a(), Atom::Is(Kind::Text))),
            (r#"{"op":"equals","on":"entity-type","value":"Chunk"}"#.to_owned(), Plan::Always),
            (r#"{"op":"equals","on":"entity-type","value":"Note"}"#.to_owned(), Plan::Never),
            (
                r#"{"op":"equals","on":"id","value":{"__entity":{"type":"Chunk","id":"c"}}}"#.to_owned(),
                Plan::Test(column("chunk_id"), Atom::OneOf(texts(&["c"]))),
            ),
            (format!(r#"{{"op":"equals","on":"id","value":{user}}}"#), Plan::Never),
            (
                format!(r#"{{"op":"contains-any","on":"ancestors","values":[{user},1]}}"#),
                Plan::Test(column("ancestors"), Atom::ContainsAny(texts(&[r#"["User","u"]"#]), Some(Kind::Text))),
            ),
        ] {
            assert_eq!(planned(&text), (expected, Vec::new()), "{text}");
        }
    }

    #[test]
    fn what_is_readable_without_a_type_has_bounds() {
        let readable = r#"{"op":"readable","attr":["a"]}"#;
        let a = || Field::Attribute(vec!["a".to_owned()]);
        let (plan, left_out) = planned_if(readable, false);
        assert_eq!((plan, left_out.len()), (Plan::Test(a(), Atom::Present), 1));
        let scalars = [Kind::Text, Kind::Integer, Kind::Boolean].map(|kind| Plan::Test(a(), Atom::Is(kind)));
        let not = planned_if(&format!(r#"{{"op":"not","arg":{readable}}}"#), false).0;
        assert_eq!(not, Plan::Not(Box::new(Plan::Or(scalars.into()))));
        assert_eq!(planned(readable), (Plan::Test(a(), Atom::Present), Vec::new()));
    }

    #[test]
    fn texts_that_may_be_no_times_are_wider() {
        let less = r#"{"op":"less","attr":["a"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#;
        let (plan, left_out) = planned_if(less, false);
        assert_eq!((plan, left_out.len()), (planned(less).0, 1));
        assert_eq!(planned_if(&format!(r#"{{"op":"not","arg":{less}}}"#), false).0, Plan::Always);
        let level = r#"{"op":"less","attr":["a"],"type":"Long","value":5}"#;
        assert!(planned_if(level, false).1.is_empty());
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let list = r#"{"op":"one-of","attr":["a"],"values":[1,2,3,4]}"#;
        assert_eq!(planned(list).0, Plan::Always);
        let one = r#"{"op":"one-of","attr":["a"],"values":[1,2,3]}"#;
        let (plan, left_out) = planned(&format!(r#"{{"op":"and","args":[{one},{one},{}]}}"#, test("b")));
        assert!(matches!(&plan, Plan::And(parts) if parts.len() == 3) && left_out.is_empty());
        let (plan, left_out) =
            planned(&format!(r#"{{"op":"and","args":[{one},{one},{one},{}]}}"#, test("b")));
        assert!(matches!(&plan, Plan::And(parts) if parts.len() == 3), "{plan:?}");
        assert_eq!(left_out, ["a part that is too large"]);
    }
}
