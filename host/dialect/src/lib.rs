//! Translates Tamis filters into the filter languages of vector databases.
