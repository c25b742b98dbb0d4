//! Where packages may be deployed.

use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Kinds of host keys that are taken; DSA is not.
const KINDS: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
];

/// Why a setting of a host will not do. Reads on after the name of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// No name.
    #[error("must be letters, digits, `.`, `_`, `-`")]
    Name,
    /// No address.
    #[error("must be an IP address or a host name")]
    Address,
    /// No user.
    #[error("must be a user name: letters, digits, `.`, `_`, `-`")]
    User,
    /// No key of a host.
    #[error(
        "must be what `ssh-keygen -l` prints of it, or only the `SHA256:` and 43 characters in that, \
         or a line of a .pub file"
    )]
    HostKey,
    /// No folder.
    #[error("must be an absolute path of letters, digits, `.`, `_`, `-`")]
    Root,
    /// A relative path.
    #[error("must be an absolute path, of the private key that proxyd logs in with")]
    Key,
}

/// One host. Only hosts that are named here are ever connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// How it is asked for: `target_node`.
    pub name: String,
    /// A name or an address.
    pub address: String,
    /// Usually 22.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The private key to log in with; without a passphrase.
    pub key: PathBuf,
    /// The key the host must show.
    pub host_key: HostKey,
    /// Where versions go.
    pub root: Root,
}

impl Host {
    /// Checks what types do not.
    ///
    /// # Errors
    ///
    /// The setting, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, BadHost)> {
        let word = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            !text.is_empty()
                && text.len() <= 255
                && !text.starts_with('-')
                && text.chars().all(fits)
        };
        let address = self.address.parse::<std::net::IpAddr>().is_ok() || word(&self.address);
        let found = [
            ("name", word(&self.name), BadHost::Name),
            ("address", address, BadHost::Address),
            ("user", word(&self.user), BadHost::User),
            ("key", self.key.is_absolute(), BadHost::Key),
        ];
        match found.into_iter().find(|(_, good, _)| !good) {
            Some((setting, _, bad)) => Err((setting, bad)),
            None => Ok(()),
        }
    }
}

/// The folder on a host in which versions lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(Box<str>);

impl Root {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// [`BadHost::Root`].
    pub fn read(text: &str) -> Result<Self, BadHost> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let below = text.strip_prefix('/').ok_or(BadHost::Root)?;
        let below = below.strip_suffix('/').unwrap_or(below);
        let part = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(fits);
        if text.len() > 512 || !below.split('/').all(part) {
            return Err(BadHost::Root);
        }
        Ok(Self(format!("/{below}").into()))
    }

    /// The path, with no slash at its end.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Root {
    fn default() -> Self {
        Self("/opt".into())
    }
}

/// The key of a host, by which we know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKey {
    /// The hash of one, as people pass it on.
    Fingerprint([u8; 32]),
    /// All of it.
    Key(PublicKey),
}

impl HostKey {
    /// Reads `SHA256:...`, `256 SHA256:... comment (ED25519)`, or `ssh-ed25519 AAAA... comment`.
    ///
    /// # Errors
    ///
    /// [`BadHost::HostKey`].
    pub fn read(text: &str) -> Result<Self, BadHost> {
        let text = text.trim();
        let mut words = text.split_ascii_whitespace();
        let hash = match (words.next(), words.next()) {
            (Some(hash), None) => hash,
            (Some(bits), Some(hash)) if bits.bytes().all(|b| b.is_ascii_digit()) => hash,
            _ => return PublicKey::read(text).map(Self::Key).ok_or(BadHost::HostKey),
        };
        let hash = hash.strip_prefix("SHA256:").ok_or(BadHost::HostKey)?;
        let hash = STANDARD_NO_PAD.decode(hash.trim_end_matches('=')).ok();
        let hash = hash.and_then(|hash| hash.try_into().ok()).ok_or(BadHost::HostKey)?;
        Ok(Self::Fingerprint(hash))
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, key: &PublicKey) -> bool {
        match self {
            Self::Fingerprint(hash) => *hash == key.hash(),
            Self::Key(pinned) => pinned == key,
        }
    }
}

/// A public key of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: &'static str,
    blob: Vec<u8>,
}

impl PublicKey {
    /// Reads `KIND BASE64 ...`; the key must say of itself that it is of that kind.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (kind, blob) = (words.next()?, words.next()?);
        let kind = KINDS.iter().copied().find(|known| *known == kind)?;
        let blob = STANDARD.decode(blob).ok()?;
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let said = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        (said == kind.as_bytes()).then_some(Self { kind, blob })
    }

    /// Its kind, as OpenSSH names it.
    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// What signatures ssh may ask the host for, so that it shows this key and no other.
    pub(crate) const fn algorithms(&self) -> &'static str {
        match self.kind.as_bytes() {
            b"ssh-rsa" => "rsa-sha2-512,rsa-sha2-256",
            _ => self.kind,
        }
    }

    fn hash(&self) -> [u8; 32] {
        let hash = digest(&SHA256, &self.blob);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.as_ref());
        bytes
    }

    /// As `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(self.hash()))
    }
}

/// As it stands in a file of known hosts, after the name.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, STANDARD.encode(&self.blob))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_host_is_known_by_its_key_or_the_hash_of_it() {
        let key = PublicKey::read(KEY).unwrap();
        // From `ssh-keygen -l`, and as GitHub publishes it.
        let fingerprint = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
        assert_eq!(key.fingerprint(), fingerprint);
        assert_eq!(key.to_string(), KEY);
        assert!(HostKey::read(fingerprint).unwrap().is(&key));
        let line = format!("256 {fingerprint} root@host (ED25519)\n");
        assert!(HostKey::read(&line).unwrap().is(&key), "all that ssh-keygen -l prints");
        assert!(HostKey::read(&format!("{KEY} root@host")).unwrap().is(&key));
        let other = fingerprint.replace("+DiY", "+DiZ");
        assert!(!HostKey::read(&other).unwrap().is(&key));
        for bad in [
            "",
            "SHA256:",
            "SHA256:abc",
            "MD5:00",
            "256 MD5:00 a (RSA)",
            "256",
            "ssh-ed25519",
            "ssh-dss AAAA",
            "x y",
        ] {
            assert_eq!(HostKey::read(bad), Err(BadHost::HostKey), "{bad}");
        }
        assert_eq!(PublicKey::read(&KEY.replace("ssh-ed25519", "ssh-rsa")), None);
    }

    #[test]
    fn roots_are_plain_absolute_paths() {
        for (text, root) in
            [("/opt", "/opt"), ("/srv/apps/", "/srv/apps"), ("/a.b/c-d", "/a.b/c-d")]
        {
            assert_eq!(Root::read(text).unwrap().as_str(), root);
        }
        for text in ["", "/", "opt", "/opt/../etc", "/o pt", "/a//b", "/$(x)", "/a'b", "/a\n"] {
            assert_eq!(Root::read(text), Err(BadHost::Root), "{text}");
        }
    }

    #[test]
    fn nothing_of_a_host_reads_as_an_option() {
        let host = |address: &str, user: &str| Host {
            name: "a".to_owned(),
            address: address.to_owned(),
            port: 22,
            user: user.to_owned(),
            key: "/k".into(),
            host_key: HostKey::Fingerprint([0; 32]),
            root: Root::default(),
        };
        for address in ["10.0.0.1", "::1", "host-1.example"] {
            assert_eq!(host(address, "deploy").check(), Ok(()), "{address}");
        }
        for address in ["", "-oProxyCommand=x", "a b", "a;b", "u@host", "[::1]"] {
            assert_eq!(host(address, "u").check(), Err(("address", BadHost::Address)), "{address}");
        }
        assert_eq!(host("a", "-l").check(), Err(("user", BadHost::User)));
    }
}
