//! Search and index behind the three gates of Tamis, with an embedded vector store.
