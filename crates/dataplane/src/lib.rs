//! HTTP/1.1 and WebSocket from clients to backends.
