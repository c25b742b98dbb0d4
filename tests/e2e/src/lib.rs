//! proxyd on free ports, with real clients.
