//! UUIDs (RFC 9562), for dialects that name entries by one.

use sha1::{Digest, Sha1};

use crate::{Identity, Source};

/// What our names are names in (RFC 9562 section 5.5).
const NAMESPACE: u128 = 0x8c2f_1d5e_9a47_4be3_b6d0_53f7_2e81_c94a;

/// Version 4: of sixteen random bytes.
pub(crate) fn random(bytes: [u8; 16]) -> Box<str> {
    marked(bytes, 4)
}

/// Version 5: the same one for the same source and identity, in every life, where nobody remembers
/// another one.
pub(crate) fn named(source: Source, identity: &Identity) -> Box<str> {
    let mut hash = Sha1::new_with_prefix(NAMESPACE.to_be_bytes());
    hash.update(source.as_str());
    hash.update(" ");
    hash.update(identity.to_string());
    let [bytes @ .., _, _, _, _] = <[u8; 20]>::from(hash.finalize());
    marked(bytes, 5)
}

fn marked(bytes: [u8; 16], version: u128) -> Box<str> {
    let marked = u128::from_be_bytes(bytes) & !(0xf << 76 | 0x3 << 62) | version << 76 | 0x2 << 62;
    let hex = format!("{marked:032x}");
    let part = |range| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(&*random([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(&*random([0; 16]), "00000000-0000-4000-8000-000000000000");
        let web = Identity::alone("web").unwrap();
        let id = named(Source::File, &web);
        assert_eq!(id, named(Source::File, &web));
        assert_ne!(id, named(Source::Session, &web));
        assert_ne!(id, named(Source::File, &Identity::alone("api").unwrap()));
        assert_eq!((id.len(), id.get(14..15)), (36, Some("5")), "{id}");
    }
}
