//! Functions that this process has compiled, by the hash of what they were compiled from.
//!
//! Policies from Cedar share an engine and differ in data, so all but the first of them find their functions here: a reload takes
//! a fraction of the time. Memory only; what is kept between runs is in [`crate::cache`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use wasmtime::CacheStore;

/// Bytes kept at most. The engine takes about a megabyte; past this all is dropped, as policies that fill it share nothing.
const MAX_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct Functions {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    functions: HashMap<Box<[u8]>, Vec<u8>>,
    bytes: usize,
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Cow::Owned(kept.functions.get(key)?.clone()))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let size = key.len() + value.len();
        if size > MAX_BYTES {
            return false;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + size > MAX_BYTES {
            *kept = Kept::default();
        }
        kept.bytes += size;
        if let Some(old) = kept.functions.insert(key.into(), value) {
            kept.bytes -= key.len() + old.len();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits() {
        let functions = Functions::default();
        assert!(functions.insert(b"a", vec![1; 10]));
        assert!(functions.insert(b"a", vec![2; 20]));
        assert_eq!(functions.get(b"a").as_deref(), Some(&[2; 20][..]));
        assert_eq!(functions.get(b"b"), None);
        assert_eq!(functions.kept.lock().unwrap().bytes, 21);

        assert!(!functions.insert(b"b", vec![0; MAX_BYTES]), "larger than all that is kept");
        assert!(functions.insert(b"b", vec![0; MAX_BYTES - 10]));
        assert_eq!(functions.get(b"a"), None, "dropped for want of room");
        assert_eq!(functions.kept.lock().unwrap().bytes, MAX_BYTES - 9);
    }
}
