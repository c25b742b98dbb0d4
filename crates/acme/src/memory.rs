//! Between the rows of the store and what the issuer knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use certs::Pair;
use model::UnixMillis;
use store::{AcmeEntry, AcmeFate, AcmeOrder, AcmeRows};

use crate::issuer::{Issuer, Validity};
use crate::ledger::{Ca, Entry, Fate};
use crate::name::Name;

/// What an earlier life left.
pub(crate) struct Recalled {
    pub(crate) pairs: Vec<Arc<Pair>>,
    pub(crate) orders: BTreeMap<Name, AcmeOrder>,
}

/// Gives the issuer what is remembered. Of authorities that are not configured any more only the
/// certificates count.
pub(crate) fn recall(
    rows: AcmeRows,
    directories: &[Box<str>],
    issuer: &mut Issuer,
    now: UnixMillis,
) -> Recalled {
    let ca = |directory: &str| directories.iter().position(|known| **known == *directory).map(Ca);
    let entries = rows.ledger.iter().filter_map(|row| {
        let (ca, name) = (ca(&row.directory)?, Name::parse(&row.name)?);
        let fate = match row.fate {
            AcmeFate::Open => Fate::Open,
            AcmeFate::Failed => Fate::Failed,
            AcmeFate::Issued => Fate::Issued,
        };
        Some(Entry { number: row.number, ca, name, at: row.at, fate, until: row.until })
    });
    issuer.restore(entries.collect(), now);
    // Numbers are not used again, whoever they belong to.
    issuer.skip_to(rows.ledger.last().map_or(0, |row| row.number));
    let mut orders = BTreeMap::new();
    for row in rows.orders {
        if let (Some(ca), Some(name)) = (ca(&row.directory), Name::parse(&row.name)) {
            issuer.restore_order(name.clone(), ca, row.number, row.at);
            orders.insert(name, row);
        }
    }
    let mut pairs = Vec::new();
    for row in rows.certificates {
        match (Name::parse(&row.name), Pair::parse(row.chain.as_bytes(), row.key.as_bytes())) {
            (Some(name), Ok(pair)) if !validity(&pair).is_long_over(now) => {
                issuer.hold(name, validity(&pair));
                pairs.push(Arc::new(pair));
            }
            (_, Ok(_)) => {}
            (_, Err(error)) => {
                tracing::warn!(name = %row.name, %error, "a certificate in the store cannot be used");
            }
        }
    }
    Recalled { pairs, orders }
}

/// As the store keeps it.
pub(crate) fn row(entry: &Entry, directory: &str) -> AcmeEntry {
    AcmeEntry {
        number: entry.number,
        directory: directory.into(),
        name: entry.name.as_str().into(),
        at: entry.at,
        fate: match entry.fate {
            Fate::Open => AcmeFate::Open,
            Fate::Failed => AcmeFate::Failed,
            Fate::Issued => AcmeFate::Issued,
        },
        until: entry.until,
    }
}

pub(crate) fn validity(pair: &Pair) -> Validity {
    Validity { not_before: pair.not_before(), not_after: pair.not_after() }
}

#[cfg(test)]
mod tests {
    use store::AcmeCertificate;

    use super::*;
    use crate::issuer::{Method, Start};

    const HOUR: u64 = 3_600_000;
    const NOW: UnixMillis = UnixMillis(500_000 * HOUR);

    fn entry(number: u64, directory: &str, fate: AcmeFate) -> AcmeEntry {
        let (directory, name) = (directory.into(), "a.test".into());
        AcmeEntry { number, directory, name, at: NOW, fate, until: NOW }
    }

    #[test]
    fn an_earlier_life_is_taken_up() {
        let made = certs::self_signed(&["b.test"], NOW).unwrap();
        let certificate = |name: &str, key: &str| AcmeCertificate {
            name: name.into(),
            directory: "https://gone.test".into(),
            chain: made.cert_pem.as_str().into(),
            key: key.into(),
            not_after: made.pair.not_after(),
        };
        let order = AcmeOrder {
            name: "c.test".into(),
            number: 3,
            directory: "https://two.test".into(),
            url: "https://two.test/o/1".into(),
            key: "key".into(),
            at: NOW,
        };
        let rows = AcmeRows {
            accounts: Vec::new(),
            certificates: vec![certificate("b.test", &made.key_pem), certificate("d.test", "bad")],
            ledger: vec![
                entry(1, "https://one.test", AcmeFate::Issued),
                entry(3, "https://two.test", AcmeFate::Open),
                entry(9, "https://gone.test", AcmeFate::Failed),
            ],
            orders: vec![order.clone()],
        };
        let directories = ["https://one.test".into(), "https://two.test".into()];
        let mut issuer = Issuer::new(2, vec![Method::Http01]);
        let recalled = recall(rows, &directories, &mut issuer, NOW);
        let names: Vec<_> = recalled.pairs.iter().map(|pair| pair.names()[0].to_string()).collect();
        assert_eq!(names, ["b.test"], "one that cannot be read is ordered anew");
        assert_eq!(recalled.orders[&Name::parse("c.test").unwrap()], order);
        for name in ["a.test", "b.test", "c.test"] {
            issuer.want(&Name::parse(name).unwrap(), NOW);
        }
        let (first, second) = (issuer.next(NOW, 0).unwrap(), issuer.next(NOW, 0).unwrap());
        let Start::Order(new) = first.start else { panic!("{first:?}") };
        assert_eq!((new.number, new.ca), (10, Ca(0)), "numbers are not used again");
        assert_eq!((second.ca, second.start), (Ca(1), Start::Resume { number: 3 }));
        assert_eq!(issuer.next(NOW, 0), None, "there is a certificate");
    }
}
