//! Register from a Rust program, and stay registered.
