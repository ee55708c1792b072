//! Extension values against Cedar itself: every text is accepted by both with one value, or refused by both.
//!
//! Seed and number of cases are fixed; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` change them for one run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

use std::cell::Cell;
use std::fmt::Debug;
use std::net::IpAddr;
use std::str::FromStr;

use cedar_policy::{
    Context, Entities, EntityUid, EvalResult, Expression, Request, RestrictedExpression, eval_expression,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestCaseResult, TestRunner};
use tamis_core::extension::{IpNetwork, datetime, decimal, duration};

/// Cases per test: enough to reach each rule of each grammar many times, in about a second.
const CASES: u32 = 6_000;

/// The seed of a run that names none.
const SEED: u64 = 20_241_015;

#[test]
fn decimal_reads_what_cedar_reads() {
    let cedar = Cedar::new("decimal(context.text)");
    let equal = Cedar::new("decimal(context.text) == decimal(context.expected)");
    agree_on(decimal_text(), |text| {
        let ours = decimal::parse(text).ok();
        match ours {
            None => prop_assert_eq!(cedar.evaluate(text, ""), None),
            Some(value) => {
                let expected = ten_thousandths(value);
                prop_assert_eq!(equal.evaluate(text, &expected), Some(EvalResult::Bool(true)), "{}", value);
            }
        }
        Ok(ours.is_some())
    });
}

#[test]
fn datetime_reads_what_cedar_reads() {
    let millis =
        Cedar::new(r#"datetime(context.text).durationSince(datetime("1970-01-01")).toMilliseconds()"#);
    agree_on(datetime_text(), |text| {
        let ours = datetime::parse(text).ok();
        prop_assert_eq!(ours.map(EvalResult::Long), millis.evaluate(text, ""));
        Ok(ours.is_some())
    });
}

#[test]
fn duration_reads_what_cedar_reads() {
    let millis = Cedar::new("duration(context.text).toMilliseconds()");
    agree_on(duration_text(), |text| {
        let ours = duration::parse(text).ok();
        prop_assert_eq!(ours.map(EvalResult::Long), millis.evaluate(text, ""));
        Ok(ours.is_some())
    });
}

#[test]
fn ip_reads_what_cedar_reads() {
    let cedar = Cedar::new("ip(context.text)");
    let equal = Cedar::new("ip(context.text) == ip(context.expected)");
    agree_on(ip_text(), |text| {
        let ours = text.parse::<IpNetwork>().ok();
        match ours {
            None => prop_assert_eq!(cedar.evaluate(text, ""), None),
            Some(network) => {
                let expected = in_full(network);
                prop_assert_eq!(equal.evaluate(text, &expected), Some(EvalResult::Bool(true)), "{}", network);
            }
        }
        Ok(ours.is_some())
    });
}

#[test]
fn decimal_writes_what_cedar_reads() {
    let equal = Cedar::new("decimal(context.text) == decimal(context.expected)");
    hold(any_i64(), |value| {
        let text = decimal::format(value);
        prop_assert_eq!(decimal::parse(&text), Ok(value));
        prop_assert_eq!(equal.evaluate(&text, &ten_thousandths(value)), Some(EvalResult::Bool(true)));
        Ok(())
    });
}

#[test]
fn datetime_writes_what_cedar_reads() {
    let millis =
        Cedar::new(r#"datetime(context.text).durationSince(datetime("1970-01-01")).toMilliseconds()"#);
    // 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
    let four_digit_years = -62_167_219_200_000..=253_402_300_799_999_i64;
    hold(prop_oneof![any_i64(), -70_000_000_000_000..260_000_000_000_000_i64], |value| {
        let text = datetime::format(value);
        let read = if four_digit_years.contains(&value) {
            prop_assert_eq!(datetime::parse(&text), Ok(value));
            millis.evaluate(&text, "")
        } else {
            let since = format!(r#"({text}).durationSince(datetime("1970-01-01")).toMilliseconds()"#);
            Cedar::new(&since).evaluate("", "")
        };
        prop_assert_eq!(read, Some(EvalResult::Long(value)), "{}", text);
        Ok(())
    });
}

#[test]
fn duration_writes_what_cedar_reads() {
    let millis = Cedar::new("duration(context.text).toMilliseconds()");
    hold(any_i64(), |value| {
        let text = duration::format(value);
        prop_assert_eq!(duration::parse(&text), Ok(value));
        prop_assert_eq!(millis.evaluate(&text, ""), Some(EvalResult::Long(value)));
        Ok(())
    });
}

#[test]
fn ip_writes_what_cedar_reads() {
    let equal = Cedar::new("ip(context.text) == ip(context.expected)");
    hold((address(), any::<u8>()), |(address, prefix)| {
        let Ok(network) = IpNetwork::new(address, prefix) else {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            prop_assert!(prefix > longest);
            return Ok(());
        };
        let text = network.to_string();
        prop_assert_eq!(text.parse(), Ok(network));
        prop_assert_eq!(equal.evaluate(&text, &in_full(network)), Some(EvalResult::Bool(true)));
        Ok(())
    });
}

// ---- Cedar ----

/// One Cedar expression, ready to be evaluated on many texts.
struct Cedar {
    expression: Expression,
    entity: EntityUid,
}

impl Cedar {
    fn new(expression: &str) -> Self {
        let expression = Expression::from_str(expression).unwrap();
        Self { expression, entity: EntityUid::from_str(r#"Test::"it""#).unwrap() }
    }

    /// The value under `context.text` and `context.expected`; `None` if evaluation fails.
    fn evaluate(&self, text: &str, expected: &str) -> Option<EvalResult> {
        let context = [("text", text), ("expected", expected)]
            .map(|(name, value)| (name.to_owned(), RestrictedExpression::new_string(value.to_owned())));
        let entity = || self.entity.clone();
        let context = Context::from_pairs(context).unwrap();
        let request = Request::new(entity(), entity(), entity(), context, None).unwrap();
        eval_expression(&request, &Entities::empty(), &self.expression).ok()
    }
}

/// A decimal written apart from the code under test.
fn ten_thousandths(value: i64) -> String {
    let digits = format!("{:05}", value.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - 4);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}

/// A network written apart from the code under test: all eight groups of an IPv6 address.
fn in_full(network: IpNetwork) -> String {
    let address = match network.address() {
        IpAddr::V4(address) => address.octets().map(|octet| octet.to_string()).join("."),
        IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:04x}")).join(":"),
    };
    format!("{address}/{}", network.prefix())
}

// ---- running ----

/// Runs `check`, which tells whether it saw an accepted text, and demands that many are and many are not.
fn agree_on(texts: BoxedStrategy<String>, check: impl Fn(&str) -> Result<bool, TestCaseError>) {
    let (accepted, seen) = (Cell::new(0_u32), Cell::new(0_u32));
    hold(texts, |text| {
        accepted.set(accepted.get() + u32::from(check(&text)?));
        seen.set(seen.get() + 1);
        Ok(())
    });
    let percent = accepted.get() * 100 / seen.get();
    println!("{} texts, {percent} % accepted", seen.get());
    assert!((20..=80).contains(&percent), "{percent} % accepted: the texts do not test both sides");
}

/// Checks the default number of cases and panics with the seed and a minimal case at the first that fails.
fn hold<S: Strategy>(strategy: S, check: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    let seed = config.rng_seed;
    if let Err(failure) = TestRunner::new(config).run(&strategy, check) {
        panic!("PROPTEST_RNG_SEED {seed:?}: {failure}");
    }
}

// ---- texts ----

/// Valid texts, texts at the `edge` of validity, both with a few characters changed, and any text at all.
fn near(
    valid: impl Strategy<Value = String> + 'static,
    edge: impl Strategy<Value = String> + 'static,
) -> BoxedStrategy<String> {
    let (valid, edge) = (valid.boxed(), edge.boxed());
    prop_oneof![
        5 => valid.clone(),
        4 => edge.clone(),
        3 => mutated(valid),
        1 => mutated(edge),
        1 => "[-+0-9.:/TZdhms ]{0,30}",
        1 => any::<String>(),
    ]
    .boxed()
}

/// A text after one to three changes of single characters.
fn mutated(texts: BoxedStrategy<String>) -> BoxedStrategy<String> {
    // Everything the grammars use, and what looks like it: other digits, signs, cases and white space.
    let characters: Vec<char> =
        "0123456789-+.:/TZdhms abfFgxtzDHMSeE_,%[]\n\r\t\0٣３−➕：．/²é".chars().collect();
    let change = (any::<Index>(), 0..6_u8, select(characters));
    (texts, prop::collection::vec(change, 1..=3))
        .prop_map(|(text, changes)| {
            let mut text: Vec<char> = text.chars().collect();
            for (place, kind, character) in changes {
                change_one(&mut text, place, kind, character);
            }
            text.into_iter().collect()
        })
        .boxed()
}

/// Changes one character: inserts, replaces, removes, doubles or swaps it, or cuts the text off there.
fn change_one(text: &mut Vec<char>, place: Index, kind: u8, character: char) {
    let gap = place.index(text.len() + 1);
    if kind == 0 || text.is_empty() {
        text.insert(gap, character);
        return;
    }
    let at = place.index(text.len());
    let next = (at + 1) % text.len();
    match kind {
        1 => text[at] = character,
        2 => drop(text.remove(at)),
        3 => text.insert(at, text[at]),
        4 => text.swap(at, next),
        _ => text.truncate(at),
    }
}

fn decimal_text() -> BoxedStrategy<String> {
    let edge = prop_oneof![
        // Both ends of the range, from either side.
        (any::<bool>(), prop_oneof![-3..=3_i128, -30_000..30_000_i128]).prop_map(|(negative, distance)| {
            let digits = ((1_i128 << 63) + distance).to_string();
            let (whole, fraction) = digits.split_at(digits.len() - 4);
            format!("{}{whole}.{fraction}", if negative { "-" } else { "" })
        }),
        "-?0{0,50}[0-9]{1,20}\\.[0-9]{1,6}",
        "[-+]?[0-9]{0,2}[.]?[0-9]{0,5}",
    ];
    near("-?[0-9]{1,15}\\.[0-9]{1,4}", edge)
}

fn duration_text() -> BoxedStrategy<String> {
    let valid = "-?([0-9]{1,6}d)?([0-9]{1,8}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?([0-9]{1,12}ms)?";
    let distance = prop_oneof![-3..=3_i128, -200_000_000..200_000_000_i128];
    let edge = prop_oneof![
        // Both ends of the range and of 64 bits, from either side, spread over some of the units.
        (select(vec![63, 64]), distance, any::<[bool; 4]>())
            .prop_map(|(bits, distance, used)| spread((1 << bits) + distance, used)),
        "-?0{0,30}[0-9]{17,22}(ms|s)",
        "-?0{0,30}[0-9]{12,16}(m|h|d)",
        "[-+]?([0-9]{0,3}(d|h|m|s|ms)){1,4}",
    ];
    near(
        valid,
        (any::<bool>(), edge).prop_map(|(negative, text)| {
            if negative && !text.starts_with('-') { format!("-{text}") } else { text }
        }),
    )
}

/// Milliseconds as a duration with the given units, largest first; milliseconds take what is left.
fn spread(mut millis: i128, used: [bool; 4]) -> String {
    let mut text = String::new();
    for ((unit, size), used) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)].into_iter().zip(used)
    {
        if used {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    text + &format!("{millis}ms")
}

fn datetime_text() -> BoxedStrategy<String> {
    let year = prop_oneof![0..=9999_u32, select(vec![0, 1, 1600, 1900, 1970, 2000, 2024, 2100, 9999])];
    let day = prop_oneof![
        4 => (1..=12_u32, 1..=28_u32),
        2 => (1..=12_u32, 28..=31_u32),
        1 => (0..=13_u32, 0..=32_u32),
        1 => (Just(2), 28..=30_u32),
    ];
    let date = (year, day).prop_map(|(year, (month, day))| format!("{year:04}-{month:02}-{day:02}")).boxed();
    let time = prop_oneof![
        5 => (0..24_u32, 0..60_u32, 0..60_u32),
        1 => (22..=25_u32, 58..=61_u32, 58..=61_u32),
    ]
    .prop_map(|(hour, minute, second)| format!("T{hour:02}:{minute:02}:{second:02}"))
    .boxed();
    let zone = prop_oneof!["Z", "[-+][01][0-9][0-5][0-9]", "[-+](00|23|24)(00|59|60)"].boxed();
    let valid = prop_oneof![
        1 => date.clone(),
        4 => (date.clone(), time.clone(), "(\\.[0-9]{3})?", zone.clone())
            .prop_map(|(date, time, fraction, zone)| date + &time + &fraction + &zone),
    ];
    // Each part is often right and sometimes absent, too short or too long.
    let time = prop_oneof![5 => time, 1 => "T?([0-9]{1,3}:?){0,4}"];
    let fraction = prop_oneof!["(\\.[0-9]{3})?", "\\.[0-9]{0,4}"];
    let zone = prop_oneof![2 => zone, 1 => "[-+Zz]?[0-9:]{0,5}"];
    let edge = (date, time, fraction, zone)
        .prop_map(|(date, time, fraction, zone)| date + &time + &fraction + &zone);
    near(valid, edge)
}

fn ip_text() -> BoxedStrategy<String> {
    // What the standard library writes, dots in IPv6 included; all groups; and all groups in capitals.
    let valid = (address(), 0..3_u8, prop::option::of(prop_oneof![0..=32_u8, 0..=132_u8])).prop_map(
        |(address, form, prefix)| {
            let text = match (address, form) {
                (IpAddr::V6(address), 1) => address.segments().map(|group| format!("{group:x}")).join(":"),
                (IpAddr::V6(address), 2) => address.segments().map(|group| format!("{group:04X}")).join(":"),
                (address, _) => address.to_string(),
            };
            match prefix {
                Some(prefix) => format!("{text}/{prefix}"),
                None => text,
            }
        },
    );
    let edge = prop_oneof![
        "([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{0,3})?",
        "([12]?[0-9]\\.){3}[12]?[0-9](/[0-4]?[0-9])?",
        "([0-9a-fA-F]{0,4}:){1,8}[0-9a-fA-F]{0,4}(/[0-9]{0,4})?",
        "([0-9a-f]{1,2}:){0,4}:([0-9a-f]{1,2}:){0,4}[0-9a-f]{1,2}(/[01]?[0-9]{1,2})?",
        "([0-9a-f]{1,2}:){0,3}:([0-9a-f]{1,2}:){0,2}[0-9]{1,2}(\\.[0-9]{1,2}){0,3}(/[0-9]{1,2})?",
    ];
    near(valid, edge)
}

/// Addresses of both families, those of IPv6 often with runs of zeros or an IPv4 address inside.
fn address() -> BoxedStrategy<IpAddr> {
    let group = prop_oneof![2 => Just(0), 1 => any::<u16>(), 1 => 0..=0xff_u16, 1 => Just(0xffff)];
    prop_oneof![
        3 => any::<[u8; 4]>().prop_map(IpAddr::from),
        3 => prop::array::uniform8(group).prop_map(IpAddr::from),
        1 => (any::<u32>(), select(vec![0, 0xffff_u128]))
            .prop_map(|(low, high)| IpAddr::from((high << 32 | u128::from(low)).to_be_bytes())),
    ]
    .boxed()
}

/// Any value, often a small one or one at an end of the range.
fn any_i64() -> BoxedStrategy<i64> {
    prop_oneof![any::<i64>(), -100_000..100_000_i64, i64::MAX - 10..=i64::MAX, i64::MIN..=i64::MIN + 10]
        .boxed()
}
