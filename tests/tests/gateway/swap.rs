//! Policies that are replaced while people search.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::people::alice;
use super::setup::{Running, Setup, fill, new_name};

/// Tenant `a` and `b` in turn.
fn policy(number: u64) -> String {
    let tenant = if number % 2 == 1 { "a" } else { "b" };
    format!(
        "@id(\"p{number}\") permit(principal, action, resource) when {{ resource.tenant == \"{tenant}\" && resource.number < {} }};",
        100 + number
    )
}

fn wait_for(gateway: &Running, generation: u64) {
    let begun = Instant::now();
    while gateway.figure("tamis_generation") < generation as f64 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no generation {generation}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_answer_is_of_one_policy_and_none_fails() {
    let name = new_name();
    fill(&name);
    let setup = Setup { policy: policy(1).into_bytes(), ..Setup::default() };
    let gateway = setup.start_with(&name);
    let file = gateway.file("policy.cedar");
    let swapping = AtomicBool::new(true);
    const SWAPS: u64 = 30;
    let counts: Vec<(usize, u64)> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let client = gateway.client(&alice());
                    let (mut answers, mut newest) = (0, 0);
                    while swapping.load(Ordering::SeqCst) {
                        // Several searches in one request: all by one generation.
                        let search = json!({"query": [1, 0], "limit": 40});
                        let reply =
                            client.points("/query/batch", &json!({"searches": [search, search, search]}));
                        let result = reply.result();
                        let generation: u64 = reply.headers["tamis-generation"].parse().unwrap();
                        assert!(generation >= newest, "generation {generation} after {newest}");
                        newest = generation;
                        let expected: Vec<u64> =
                            (0..60).filter(|id| id % 2 == (generation + 1) % 2).collect();
                        for search in result.as_array().unwrap() {
                            assert_eq!(super::client::ids(search), expected, "generation {generation}");
                        }
                        answers += 1;
                    }
                    (answers, newest)
                })
            })
            .collect();
        for number in 2..=SWAPS {
            let new = file.with_extension("new");
            std::fs::write(&new, policy(number)).unwrap();
            std::fs::rename(&new, &file).unwrap();
            wait_for(&gateway, number);
        }
        swapping.store(false, Ordering::SeqCst);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(counts.iter().all(|(answers, newest)| *answers >= 5 && *newest > 2), "{counts:?}");
    assert_eq!(gateway.figure("tamis_policy_reloads_total"), (SWAPS - 1) as f64);
}

#[test]
fn a_policy_that_does_not_load_changes_nothing() {
    let name = new_name();
    fill(&name);
    let setup = Setup { policy: policy(1).into_bytes(), ..Setup::default() };
    let gateway = setup.start_with(&name);
    let client = gateway.client(&alice());
    let before = client.query(&json!({"query": [1, 0], "limit": 40})).ids();
    std::fs::write(gateway.file("policy.cedar"), "permit(principal, action, resource) when {").unwrap();
    let begun = Instant::now();
    while gateway.figure("tamis_policy_stale") < 1.0 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(gateway.figure("tamis_policy_reload_errors_total"), 1.0);
    assert_eq!(gateway.figure("tamis_generation"), 1.0);
    assert_eq!(client.query(&json!({"query": [1, 0], "limit": 40})).ids(), before);
    std::fs::write(gateway.file("policy.cedar"), policy(2)).unwrap();
    wait_for(&gateway, 2);
    assert_eq!(gateway.figure("tamis_policy_stale"), 0.0);
    assert_ne!(client.query(&json!({"query": [1, 0], "limit": 40})).ids(), before);
}
