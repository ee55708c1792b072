//! Qdrant's own client, in Python, as it is.

use std::process::Command;

use tamis_tests::{engines, root};

use super::people::{alice, bob, carol};
use super::setup::usual;

#[test]
fn qdrant_s_client_works_unchanged() {
    let gateway = usual();
    let url = format!("http://{}", gateway.address);
    let output = Command::new(engines::python())
        .arg(root().join("tests/engines/gateway_client.py"))
        .args([&url, &gateway.name, &alice(), &bob(), &carol()])
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("20 checks"), "{text}");
    // It finds the version that it wants.
    assert!(!text.contains("Failed to obtain") && !text.contains("incompatible"), "{text}");
}
