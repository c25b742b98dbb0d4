//! Secrets of our own making that clients hold us to after a restart: files beside the database, for
//! nobody else to read.
//!
//! One that is lost or damaged is made anew. Losing one is no reason not to serve, so what cannot be
//! kept is told and used for this run.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::{Pair, SelfSignedError};
use model::UnixMillis;

/// Whoever opens it with the key in it is us.
const MODE: u32 = 0o600;
/// A certificate that ends sooner is made anew at the start.
const LEFT_MIN: Duration = Duration::from_hours(24 * 30);
/// Bytes of the key of stateless resets.
const RESET_KEY_BYTES: usize = 32;

/// The certificate that stands in where none is configured, from `proxyd.db.pem` or made and kept there.
pub(crate) fn certificate(
    store: &Path,
    names: &[&str],
    now: UnixMillis,
) -> Result<Pair, SelfSignedError> {
    let file = beside(store, ".pem");
    let kept = fs::read(&file).ok().and_then(|pem| Pair::parse(&pem, &pem).ok());
    let is_good = |pair: &Pair| {
        pair.names().iter().map(ToString::to_string).eq(names.iter().copied())
            && pair.not_before() <= now
            && pair.not_after() > now.after(LEFT_MIN)
    };
    if let Some(pair) = kept.filter(is_good) {
        return Ok(pair);
    }
    let made = certs::self_signed(names, now)?;
    keep(&file, format!("{}{}", made.cert_pem, made.key_pem).as_bytes());
    Ok(made.pair)
}

/// The key by which clients of a process before this one are told that their connections are over
/// (RFC 9000, section 10.3), from `proxyd.db.reset` or made and kept there.
///
/// # Errors
///
/// The system has no entropy.
pub(crate) fn reset_key(store: &Path) -> io::Result<[u8; RESET_KEY_BYTES]> {
    let file = beside(store, ".reset");
    if let Some(key) = fs::read(&file).ok().and_then(|bytes| bytes.try_into().ok()) {
        return Ok(key);
    }
    let key = runtime::entropy::seed()?;
    keep(&file, &key);
    Ok(key)
}

/// Whole or not at all.
fn keep(file: &Path, secret: &[u8]) {
    let new = beside(file, ".new");
    let write = || -> io::Result<()> {
        // One that was left half written may be readable by others.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
        opened.write_all(secret)?;
        opened.sync_all()?;
        fs::rename(&new, file)
    };
    if let Err(error) = write() {
        let file = file.display();
        tracing::warn!(%file, %error, "cannot be kept: clients will not know us after a restart");
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn what_was_made_is_found_again_and_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("proxyd.db");
        let first = certificate(&store, &["localhost"], NOW).unwrap();
        let key = reset_key(&store).unwrap();
        let again = certificate(&store, &["localhost"], NOW.after(DAY)).unwrap();
        assert_eq!(again.fingerprint(), first.fingerprint());
        assert_eq!(reset_key(&store).unwrap(), key);
        for name in ["proxyd.db.pem", "proxyd.db.reset"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, MODE, "{name}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn a_certificate_is_made_anew_when_it_is_of_no_use() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("proxyd.db");
        let at = |names: &[&str], days: u32| {
            certificate(&store, names, NOW.after(DAY * days)).unwrap().fingerprint()
        };
        let first = at(&["localhost"], 0);
        assert_eq!(at(&["localhost"], 365), first, "31 days are left");
        let second = at(&["localhost"], 367);
        assert_ne!(second, first, "near its end");
        let third = at(&["localhost", "127.0.0.1"], 367);
        assert_ne!(third, second, "for other names");
        assert_eq!(at(&["localhost", "127.0.0.1"], 367), third);
        fs::write(beside(&store, ".pem"), "damaged").unwrap();
        assert_ne!(at(&["localhost", "127.0.0.1"], 367), third);
    }

    #[test]
    fn what_cannot_be_kept_serves_this_run() {
        let store = Path::new("/nowhere/proxyd.db");
        assert!(certificate(store, &["localhost"], NOW).is_ok() && reset_key(store).is_ok());
    }
}
