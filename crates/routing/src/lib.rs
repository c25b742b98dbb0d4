//! An immutable routing table, and the decision for one request.
