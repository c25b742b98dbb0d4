//! Lines to requests and replies to lines: the registry protocol, v1 and v2.
