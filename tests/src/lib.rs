//! End-to-end, differential and hostile-module tests of Tamis.
