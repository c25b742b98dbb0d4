//! Which key a host has: the pinned one, or none.
//!
//! A pinned key is taken as it is. For a pinned hash the host is asked for its keys, unsure who
//! answers; only the one with that hash is believed, and `ssh` then makes the host prove it has it.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failed::Failed;
use crate::host::{Host, HostKey, PublicKey};
use crate::ssh::{complaints, quiet};

/// What a host may say, in bytes: a handful of keys.
const SAID_BYTES_MAX: u64 = 64 << 10;

/// The key that the host must prove to have.
///
/// # Errors
///
/// [`Failed::Unreachable`], [`Failed::HostKey`].
pub(crate) async fn known(
    keyscan: &Path,
    host: &Host,
    limit: Duration,
) -> Result<PublicKey, Failed> {
    if let HostKey::Key(key) = &host.host_key {
        return Ok(key.clone());
    }
    let shown = ask(keyscan, host, limit).await?;
    let found = shown.iter().find(|key| host.host_key.is(key));
    found.cloned().ok_or_else(|| others(&shown))
}

/// Why `ssh` did not come to speak to a host, if it is that the host shows other keys: `ssh` says so
/// with advice for people's own files of known hosts.
pub(crate) async fn shows_others(keyscan: &Path, host: &Host, limit: Duration) -> Option<Failed> {
    let shown = ask(keyscan, host, limit).await.ok()?;
    (!shown.iter().any(|key| host.host_key.is(key))).then(|| others(&shown))
}

fn others(shown: &[PublicKey]) -> Failed {
    let shown: Vec<String> = shown.iter().map(PublicKey::fingerprint).collect();
    Failed::HostKey(shown.join(", "))
}

async fn ask(keyscan: &Path, host: &Host, limit: Duration) -> Result<Vec<PublicKey>, Failed> {
    let mut command = quiet(keyscan);
    command.args(["-T", &limit.as_secs().max(1).to_string(), "-p", &host.port.to_string()]);
    command.args(["-t", "ed25519,ecdsa,rsa", "--", &host.address]);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = async {
        let mut said = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(SAID_BYTES_MAX).read_to_end(&mut said).await?;
        }
        Ok::<_, Failed>(said)
    };
    let both = async { tokio::join!(said, complaints(stderr)) };
    let Ok((said, complaints)) = timeout(limit, both).await else {
        return Err(Failed::Unreachable("no answer in time".to_owned()));
    };
    let keys = keys(&String::from_utf8_lossy(&said?));
    if keys.is_empty() {
        let why = if complaints.is_empty() { silence(host, limit).await } else { complaints };
        return Err(Failed::Unreachable(why));
    }
    Ok(keys)
}

/// Why no key was shown: `ssh-keyscan` does not say that nobody listens there.
async fn silence(host: &Host, limit: Duration) -> String {
    let connect = TcpStream::connect((&*host.address, host.port));
    match timeout(limit, connect).await {
        Ok(Ok(_)) => "somebody listens there who shows no key; is it sshd?".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    }
}

/// Lines of `host kind base64`.
fn keys(said: &str) -> Vec<PublicKey> {
    let keys = said.lines().filter_map(|line| line.split_once(' '));
    keys.filter_map(|(_, key)| PublicKey::read(key)).collect()
}
