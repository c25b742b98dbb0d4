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
use crate::ssh::{complained, last_lines, quiet};

/// What a host may say, in bytes: a handful of keys.
const SAID_BYTES_MAX: u64 = 64 << 10;

/// Kinds of keys that a host is asked for, each on a connection of its own.
const KINDS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

/// The keys that a host showed.
#[derive(Debug)]
struct Shown {
    keys: Vec<PublicKey>,
    /// Whether these are all it has. A server that lets in no more connections for a while hangs up
    /// on some of ours, and then it is not known what it would have shown there.
    is_all: bool,
}

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
    if let Some(key) = shown.keys.iter().find(|key| host.host_key.is(key)) {
        return Ok(key.clone());
    }
    let keys = fingerprints(&shown.keys);
    Err(if shown.is_all {
        Failed::HostKey(keys)
    } else {
        Failed::Unreachable(format!(
            "it hung up before it had shown all of its keys, and the pinned one is not among the \
             first, {keys}; try again"
        ))
    })
}

/// Why `ssh` did not come to speak to a host, if it is that the host shows other keys: `ssh` says so
/// with advice for people's own files of known hosts, or not at all.
pub(crate) async fn shows_others(
    keyscan: &Path,
    host: &Host,
    pinned: &PublicKey,
    limit: Duration,
) -> Option<Failed> {
    ask(keyscan, host, limit).await.ok()?.instead_of(pinned)
}

impl Shown {
    /// What is wrong with a host that shows these; `None` if nothing is, or nobody knows.
    fn instead_of(self, pinned: &PublicKey) -> Option<Failed> {
        let Self { keys, is_all } = self;
        let kind = pinned.kind();
        let (same, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.kind() == kind);
        if same.contains(pinned) {
            None
        } else if !same.is_empty() {
            Some(Failed::HostKey(fingerprints(&same)))
        } else if is_all {
            Some(Failed::HostKeyKind { kind, shown: fingerprints(&others) })
        } else {
            None
        }
    }
}

fn fingerprints(keys: &[PublicKey]) -> String {
    let keys: Vec<String> = keys.iter().map(PublicKey::fingerprint).collect();
    keys.join(", ")
}

async fn ask(keyscan: &Path, host: &Host, limit: Duration) -> Result<Shown, Failed> {
    let mut command = quiet(keyscan);
    command.args(["-T", &limit.as_secs().max(1).to_string(), "-p", &host.port.to_string()]);
    command.args(["-t", &KINDS.join(","), "--", &host.address]);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = async {
        let mut said = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(SAID_BYTES_MAX).read_to_end(&mut said).await?;
        }
        Ok::<_, Failed>(said)
    };
    let both = async { tokio::join!(said, complained(stderr)) };
    let Ok((said, complained)) = timeout(limit, both).await else {
        return Err(Failed::Unreachable("no answer in time".to_owned()));
    };
    let keys = keys(&String::from_utf8_lossy(&said?));
    // For each connection that was let in, a line with what the server calls itself.
    let (greetings, complaints): (Vec<_>, Vec<_>) =
        complained.lines().partition(|line| line.starts_with("# "));
    if keys.is_empty() {
        let complaints = last_lines(&complaints.join("\n"));
        let why = if complaints.is_empty() { silence(host, limit).await } else { complaints };
        return Err(Failed::Unreachable(why));
    }
    let is_all = greetings.len() == KINDS.len() && complaints.is_empty();
    Ok(Shown { keys, is_all })
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

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// A key that differs from others of its kind in its last byte.
    fn key(kind: &str, last: u8) -> PublicKey {
        let length = u32::try_from(kind.len()).unwrap().to_be_bytes();
        let blob = [&length[..], kind.as_bytes(), &[last]].concat();
        PublicKey::read(&format!("{kind} {}", STANDARD.encode(blob))).unwrap()
    }

    #[test]
    fn other_keys_are_told_only_where_they_are_known() {
        let (ed, rsa) = ("ssh-ed25519", "ssh-rsa");
        let pinned = key(ed, 1);
        #[rustfmt::skip]
        let table = [
            // shown                        all    says
            (vec![key(ed, 1), key(rsa, 1)], true,  None),
            (vec![key(ed, 1)],              false, None),
            (vec![key(ed, 2), key(rsa, 1)], true,  Some("other keys than the pinned one")),
            (vec![key(ed, 2)],              false, Some("other keys than the pinned one")),
            (vec![key(rsa, 1)],             true,  Some("no key of the kind of the pinned one, ssh-ed25519")),
            (vec![key(rsa, 1)],             false, None),
        ];
        for (keys, is_all, says) in table {
            let case = format!("{keys:?} {is_all}");
            let told = Shown { keys, is_all }.instead_of(&pinned).map(|failed| failed.to_string());
            assert_eq!(told.is_some(), says.is_some(), "{case}: {told:?}");
            assert!(told.unwrap_or_default().contains(says.unwrap_or_default()), "{case}");
        }
    }
}
