//! Codes for the values of one column, and the values that a policy has not been told yet.

use std::hash::Hash;

use hashbrown::{DefaultHashBuilder, Equivalent, HashMap};
use tamis_contract::frame::Writer;

/// What an entry takes up in a policy besides its bytes: the value, and what the policy concluded from it.
pub(super) const ENTRY: usize = 128;
/// A key in the host's memory is at most about so many times what a policy is told of it, if that can be read.
const KEY: usize = 16;

/// Codes by key. Keys come from whoever wrote the metadata, so the hasher is keyed anew for every dictionary.
#[derive(Debug)]
pub(super) struct Dictionary<K> {
    codes: HashMap<K, u32, DefaultHashBuilder>,
    /// How many entries earlier frames held.
    told: usize,
    /// The entries since then.
    news: Writer,
}

// Not derived: keys need no default.
impl<K> Default for Dictionary<K> {
    fn default() -> Self {
        Self { codes: HashMap::default(), told: 0, news: Writer::default() }
    }
}

impl<K: Eq + Hash> Dictionary<K> {
    /// The code of `sought`. A new one gets the next code; `enter` writes its value, makes a key of it and says how many bytes that takes
    /// up. `size` grows by what it takes up in the policy.
    pub(super) fn code<Q: Equivalent<K> + Hash + ?Sized>(
        &mut self,
        sought: &Q,
        size: &mut usize,
        enter: impl FnOnce(&mut Writer) -> (K, usize),
    ) -> u32 {
        if let Some(code) = self.codes.get(sought) {
            return *code;
        }
        let before = self.news.bytes.len();
        let (key, held) = enter(&mut self.news);
        // Of what cannot be read a policy is told only why, however large it is.
        *size += (self.news.bytes.len() - before).max(held / KEY) + ENTRY;
        // Memory runs out long before the numbers do; a code beyond them is one that no dictionary holds.
        let code = u32::try_from(self.codes.len() + 1).unwrap_or(u32::MAX);
        self.codes.insert(key, code);
        code
    }

    /// Writes the entries that are new since the last time.
    pub(super) fn tell(&mut self, frame: &mut Writer) {
        frame.size(self.told);
        frame.size(self.codes.len() - self.told);
        frame.size(self.news.bytes.len());
        frame.bytes.append(&mut self.news.bytes);
        self.told = self.codes.len();
    }
}
