//! The words all crates share: names, routes, settings, requests, replies.
