//! Limits of the process.

/// Raises the number of file descriptors to what the system allows, and gives what it is then.
/// Where that is refused it stays as it was: the process works, with fewer connections.
pub fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "getrlimit writes the struct it is given, and nothing else")]
    // SAFETY: `limit` is valid and outlives the call.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if read != 0 || limit.rlim_cur >= limit.rlim_max {
        return limit.rlim_cur;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    #[expect(unsafe_code, reason = "setrlimit reads the struct it is given, and nothing else")]
    // SAFETY: `raised` is valid and outlives the call.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) };
    if set == 0 { raised.rlim_cur } else { limit.rlim_cur }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_twice_changes_nothing_more() {
        let first = raise_descriptors();
        assert!(first > 0);
        assert_eq!(raise_descriptors(), first);
    }
}
