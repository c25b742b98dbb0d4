//! The command BACKEND_TEST.

use std::time::Duration;

use model::{BackendReport, BackendUrl};
use runtime::Clock;

use crate::check::{Announce, ask};
use crate::connect::Deadline;
use crate::policy::Policy;
use crate::tls::Tls;

/// For everything, names included (SPEC 12).
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks a backend for `path`, whatever the status of its answer, within 3 s in all (SPEC 12).
///
/// The status of a gRPC backend is 0: it was connected to and nothing was asked. A
/// certificate that does not verify makes a backend unreachable, as it is to the traffic, so
/// `tls_valid` is true exactly where TLS is spoken.
pub async fn backend_test(
    clock: Clock,
    url: &BackendUrl,
    path: &str,
    tls: &Tls,
    policy: &Policy,
) -> BackendReport {
    let deadline = Deadline::new(clock, TIMEOUT);
    match ask((url, Announce::Nobody), path, tls, policy, &deadline).await {
        Ok(status) => BackendReport::Reachable {
            response_time: deadline.spent(),
            status_code: status.unwrap_or(0),
            tls_valid: url.scheme().is_tls(),
        },
        Err(failed) => BackendReport::Unreachable { error: one_field(&failed.to_string()) },
    }
}

/// The text stands in a line of fields, and some of it comes from a TLS library.
fn one_field(text: &str) -> String {
    text.replace(|c: char| c == '|' || c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_in_its_field() {
        assert_eq!(one_field("a|b\nc\r\u{0}d e"), "a b c  d e");
    }
}
