//! HTTP/1.1 as a machine: bytes to heads and body pieces and back, strictly.
