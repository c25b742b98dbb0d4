//! A deterministic simulation of sessions, links and routing.
