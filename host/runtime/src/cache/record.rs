//! The header of a cached file.
//!
//! bincode is unmaintained (see deny.toml); it is used here alone, for a header of fixed size that this host wrote itself,
//! with fixed-size integers, a size limit, and trailing bytes refused. A magic number and a version stand in front.

use bincode::Options;
use serde::{Deserialize, Serialize};

/// Tells a cached policy from any other file.
const MAGIC: &[u8; 8] = b"tamis\0c\n";
/// Changes whenever [`Record`] does.
const VERSION: u8 = 1;
/// Two hashes of 32 bytes and one of 8.
const ENCODED: usize = 72;

/// What a cached file claims to be.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// SHA-256 of the component.
    pub(super) component: [u8; 32],
    /// Everything about the engine that the code depends on.
    pub(super) engine: u64,
    /// SHA-256 of the code that follows.
    pub(super) code: [u8; 32],
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(ENCODED as u64).reject_trailing_bytes()
}

impl Record {
    /// The header's bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        let encoded = options().serialize(self).map_err(|error| error.to_string())?;
        Ok([MAGIC.as_slice(), &[VERSION], &encoded].concat())
    }

    /// Splits a file into its header and the code behind it.
    pub(super) fn split(bytes: &[u8]) -> Result<(Self, &[u8]), String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("it is not a cached policy")?;
        let rest = rest.strip_prefix(&[VERSION]).ok_or("it is of another version")?;
        let (encoded, code) = rest.split_at_checked(ENCODED).ok_or("it is cut off")?;
        let record = options().deserialize(encoded).map_err(|error| error.to_string())?;
        Ok((record, code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_written() {
        let record = Record { component: [1; 32], engine: 7, code: [2; 32] };
        let mut file = record.encode().unwrap();
        assert_eq!(file.len(), MAGIC.len() + 1 + ENCODED);
        file.extend(b"code");
        assert_eq!(Record::split(&file).unwrap(), (record, b"code".as_slice()));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = Record { component: [1; 32], engine: 7, code: [2; 32] }.encode().unwrap();
        let mut other_version = good.clone();
        other_version[8] = 2;
        for (bytes, reason) in [
            (b"".as_slice(), "it is not a cached policy"),
            (b"\0asm", "it is not a cached policy"),
            (&other_version, "it is of another version"),
            (&good[..good.len() - 1], "it is cut off"),
        ] {
            assert_eq!(Record::split(bytes).unwrap_err(), reason);
        }
    }
}
