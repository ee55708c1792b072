//! What a vector database must offer to be searched through the gates.

use tamis_core::{Chunk, EntityUid, Filter, InputError, Redaction};

use crate::error::Error;

/// What the candidates are ranked by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum By<'a> {
    /// Nearness to a vector, by cosine distance.
    Vector(&'a [f32]),
    /// Words in common with a text, by BM25.
    Text(&'a str),
}

impl<'a> By<'a> {
    /// The vector, for sources that rank by nothing else.
    #[cfg(any(feature = "postgres", feature = "qdrant"))]
    pub(crate) fn vector_only(self) -> Result<&'a [f32], Error> {
        let Self::Vector(vector) = self else {
            return Err(Error::Question("this source ranks by a vector only".to_owned()));
        };
        tamis_core::chunk::check_vector(vector)
            .map_err(|message| Error::Question(format!("the vector: {message}")))?;
        Ok(vector)
    }
}

/// Ancestors out of what [`tamis_dialect::ancestor_key`] made of each.
pub(crate) fn read_ancestors<C: FromIterator<EntityUid>>(keys: &[String]) -> Result<C, InputError> {
    let ancestor = |key: &String| {
        let (entity_type, id): (String, String) = tamis_core::input::parse(key)?;
        Ok(EntityUid { entity_type, id })
    };
    keys.iter().map(ancestor).collect()
}

/// A chunk that a source found, before any gate.
#[derive(Debug)]
pub struct Candidate {
    /// The chunk with all its metadata, or why what is stored cannot be read as one: then this candidate is denied, and no other.
    pub chunk: Result<Chunk, Error>,
    /// How far it is from what was asked; smaller is better. Cosine distance from 0 to 2, negated BM25, or what the database measures.
    pub distance: f64,
}

/// A database that can rank chunks under a filter.
pub trait VectorSource {
    /// Begins a search: every chunk that `filter` matches, best first. A page shows one consistent view of the data; whether all pages
    /// show the same is the source's to say.
    ///
    /// What the source cannot express of the filter it leaves out on the wide side, and says so.
    ///
    /// # Errors
    /// If the search cannot be begun.
    fn open<'a>(&'a self, by: By<'a>, filter: &Filter) -> Result<Opened<'a>, Error>;

    /// What must be removed from a chunk of this source so that what a decision removes is gone: more than that, where chunks have an
    /// attribute under the database's name for it as well.
    fn withheld(&self, redaction: &Redaction) -> Redaction {
        redaction.clone()
    }

    /// Whether an allowed candidate, so far from what was asked, is a hit when this is removed from it: not where the source itself asks
    /// about what is removed, as otherwise one could ask for it value by value.
    fn shows(&self, _distance: f64, _withheld: &Redaction) -> bool {
        true
    }
}

/// A search that has begun.
pub struct Opened<'a> {
    /// Where the candidates come from.
    pub candidates: Box<dyn Candidates + 'a>,
    /// What the source could not express of the filter, in words.
    pub widened: Vec<String>,
}

impl std::fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("widened", &self.widened).finish_non_exhaustive()
    }
}

/// Ranked chunks, pulled page by page.
pub trait Candidates {
    /// The next candidates, best first as far as the database's index knows, none twice: `wanted` of them, or more where several are equally
    /// near, and fewer only if there are no more. An empty page is the end.
    ///
    /// # Errors
    /// If the database fails.
    fn next_page(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error>;
}
