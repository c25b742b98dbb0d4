//! The other end of a connection in tests: says what a script says when it is asked what the
//! script expects.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

/// Takes each line in turn, insists on it, and answers with what stands beside it; then closes.
pub(crate) async fn play(stream: DuplexStream, script: &[(&str, &str)]) {
    let mut stream = BufReader::new(stream);
    for (expected, answer) in script {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line.trim_end(), *expected);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}
