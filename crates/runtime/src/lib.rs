//! Everything non-deterministic: clock, entropy, sockets, signals.
