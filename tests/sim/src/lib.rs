//! A deterministic simulation of sessions, links and routing. (Transcripts and simulator are being
//! written by another writer right now: whoever owns crates/session need not, and reports what
//! this finds wrong instead.)
