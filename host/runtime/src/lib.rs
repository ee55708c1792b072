//! Loads Tamis policies into wasmtime, and swaps them while they serve.
