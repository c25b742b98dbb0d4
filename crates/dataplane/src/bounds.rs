//! How much of a connection with many streams may wait here: windows, buffers, frames and heads,
//! towards clients and towards backends. In one place, since each number follows from another.
//!
//! A window is what the other side may send before it is taken, so it is memory that the other
//! side can fill. A window of a connection that is smaller than those of its streams together can
//! be filled by a few that nobody takes, and then the others wait as well. A backend's is large
//! enough for all its streams. A client's cannot be: anybody may open thousands of connections.

use http1::Limits;

/// Requests of one connection at a time, a client's or a backend's; further ones are refused or
/// wait. RFC 9113, 6.5.2, and RFC 9114, 6.1, want at least 100.
pub(crate) const STREAMS_MAX: u32 = 128;

/// The window of a stream, everywhere: 5 MB in a second over a line with 50 ms there and back.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Of a connection to a backend: all its streams, or clients that do not read would hold up those
/// that do. There are few of these, and our own.
pub(crate) const BACKEND_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX;
/// Of a client's connection at most: seven uploads that no backend takes leave room for an eighth.
pub(crate) const CLIENT_WINDOW_BYTES_MAX: u32 = 8 * STREAM_WINDOW_BYTES;
/// At least, however many connections there are: two that are stuck leave room for a third.
pub(crate) const CLIENT_WINDOW_BYTES_MIN: u32 = 3 * STREAM_WINDOW_BYTES;
/// What the windows of all clients' connections come to, before each new one gets a smaller one.
pub(crate) const CLIENT_WINDOWS_BYTES: u32 = 1024 * 1024 * 1024;

/// A head with its fields, as RFC 9113, 6.5.2, and RFC 9114, 4.2.2, count them. The same as of a
/// head in text; HTTP/2 answers a larger one with 431 up to some size, and ends the connection
/// beyond.
pub(crate) const HEAD_BYTES_MAX: u32 = Limits::STANDARD.head_bytes as u32;
/// A frame of a backend: fewer of them where much comes at once. Clients get what is common, 16 KiB,
/// since a frame cannot be interrupted for another stream.
pub(crate) const BACKEND_FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Payload of one frame that we send: no more than anybody has to take (RFC 9113, 4.2).
pub(crate) const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Payload of one stream that waits to be written to a client of HTTP/2: two frames.
pub(crate) const CLIENT_SEND_BYTES_MAX: usize = 32 * 1024;
/// And to a backend: what a fast line takes before the client is asked for more.
pub(crate) const BACKEND_SEND_BYTES_MAX: usize = 64 * 1024;
/// What is sent over a connection of HTTP/3 and not acknowledged: 20 MB in a second over a line with
/// 50 ms there and back. All its streams share it; in HTTP/2 that is the kernel's.
pub(crate) const QUIC_SEND_BYTES_MAX: u64 = 1024 * 1024;

/// What frames that wait for their backends may cost that are smaller than 256 bytes, each what it
/// is smaller by: enough for a window full of small messages of one stream.
pub(crate) const CLIENT_SMALL_FRAMES_COST_MAX: usize = 32 * STREAM_WINDOW_BYTES as usize;
/// What frames that wait for their clients may cost. A backend that sends such messages fills its
/// windows with them when clients are slow, and must not lose all its streams over it.
pub(crate) const BACKEND_SMALL_FRAMES_COST_MAX: usize = 32 * BACKEND_WINDOW_BYTES as usize;

/// The window of one more connection where there are so many.
pub(crate) fn client_window_bytes(connections: usize) -> u32 {
    let connections = u32::try_from(connections.max(1)).unwrap_or(u32::MAX);
    (CLIENT_WINDOWS_BYTES / connections).clamp(CLIENT_WINDOW_BYTES_MIN, CLIENT_WINDOW_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_have_smaller_windows() {
        for (connections, kib) in
            [(0, 2048), (1, 2048), (512, 2048), (1024, 1024), (1365, 768), (1_000_000, 768)]
        {
            assert_eq!(client_window_bytes(connections) / 1024, kib, "{connections}");
        }
    }
}
