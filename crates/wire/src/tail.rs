//! Counting fields: where the transaction id is, and what an optional tail means (SPEC 2.2).
//!
//! Each function takes the fields after the session and gives the transaction id and exactly the
//! fields the command has, empty where an optional one is missing; `None` is a wrong count.

use model::TxnId;

use crate::command::Command;
use crate::duration;

type Read<'l> = Option<(Option<TxnId>, Vec<&'l str>)>;

/// A command whose fields are all required.
pub(crate) fn fixed<'l>(command: &Command, fields: &[&'l str]) -> Read<'l> {
    let wanted = command.fields.len().saturating_sub(1);
    let plain = || counted(fields, wanted, command.txn);
    // One trailing empty field is ignored.
    let trimmed = || match fields {
        [fields @ .., ""] => counted(fields, wanted, command.txn),
        _ => None,
    };
    if may_end_empty(command) {
        plain().or_else(trimmed)
    } else {
        // First, so that it never makes a field of the command a transaction id.
        trimmed().or_else(plain)
    }
}

/// A header's value may be empty.
fn may_end_empty(command: &Command) -> bool {
    matches!(command.name, "HEADER" | "HEADERS_SET")
}

fn counted<'l>(fields: &[&'l str], wanted: usize, may_have_txn: bool) -> Read<'l> {
    if fields.len() == wanted {
        return Some((None, fields.to_vec()));
    }
    let (first, rest) = fields.split_first()?;
    let txn = TxnId::parse(first).filter(|_| may_have_txn && rest.len() == wanted)?;
    Some((Some(txn), rest.to_vec()))
}

/// `domains path backend_url [priority]`.
pub(crate) fn route_add<'l>(fields: &[&'l str]) -> Read<'l> {
    match fields {
        [domains, path, backend] => Some((None, vec![domains, path, backend, ""])),
        // With a transaction id and without a priority: the count says four fields, and the
        // third begins like the path it is.
        [txn, domains, path, backend] if path.starts_with('/') && backend.contains("://") => {
            Some((Some(TxnId::parse(txn)?), vec![domains, path, backend, ""]))
        }
        [_, _, _, _] => Some((None, fields.to_vec())),
        [domains, path, backend, priority, ""]
            if TxnId::parse(domains).is_none() || path.starts_with('/') =>
        {
            Some((None, vec![domains, path, backend, priority]))
        }
        [txn, rest @ ..] if rest.len() == 4 => Some((Some(TxnId::parse(txn)?), rest.to_vec())),
        [txn, rest @ .., ""] if rest.len() == 4 => Some((Some(TxnId::parse(txn)?), rest.to_vec())),
        _ => None,
    }
}

/// The whole rest of the line: a transaction id only if it is one and something follows.
pub(crate) fn bulk(rest: &str) -> Option<(Option<TxnId>, &str, Vec<&str>)> {
    let (session, json) = rest.split_once('|')?;
    // One trailing empty field is ignored; no JSON ends with a pipe.
    let json = json.strip_suffix('|').unwrap_or(json);
    if let Some((first, json)) = json.split_once('|')
        && let Some(txn) = TxnId::parse(first)
        && !json.is_empty()
    {
        return Some((Some(txn), session, vec![json]));
    }
    Some((None, session, vec![json]))
}

/// `[from=route_id] [compressed]`.
pub(crate) fn route_list<'l>(fields: &[&'l str]) -> Read<'l> {
    let (mut from, mut compressed) = ("", "");
    let (txn, fields) = match fields {
        [first, rest @ ..]
            if *first != "compressed" && !first.starts_with("from=") && !first.is_empty() =>
        {
            (Some(TxnId::parse(first)?), rest)
        }
        _ => (None, fields),
    };
    let fields = match fields {
        [fields @ .., ""] => fields,
        _ => fields,
    };
    for field in fields {
        match field.strip_prefix("from=") {
            Some(id) if from.is_empty() && !id.is_empty() => from = id,
            None if *field == "compressed" && compressed.is_empty() => compressed = field,
            None if field.is_empty() => {}
            Some(_) | None => return None,
        }
    }
    (fields.len() <= 2).then(|| (txn, vec![from, compressed]))
}

/// `[route_id] [compressed]`; what is neither is a route that is not found.
pub(crate) fn stats_get<'l>(fields: &[&'l str]) -> Read<'l> {
    match fields {
        [] => Some((None, vec!["", ""])),
        ["compressed"] => Some((None, vec!["", "compressed"])),
        [route] => Some((None, vec![route, ""])),
        [compressed @ "compressed", ""] => Some((None, vec!["", compressed])),
        [route, compressed @ "compressed"] => Some((None, vec![route, compressed])),
        // What can be no transaction id is the route, and the field after it is empty.
        [route, ""] if TxnId::parse(route).is_none() => Some((None, vec![route, ""])),
        [txn, route] => Some((Some(TxnId::parse(txn)?), vec![route, ""])),
        [route, compressed @ "compressed", ""] => Some((None, vec![route, compressed])),
        [txn, route, compressed @ ("compressed" | "")] => {
            Some((Some(TxnId::parse(txn)?), vec![route, compressed]))
        }
        [txn, route, compressed @ "compressed", ""] => {
            Some((Some(TxnId::parse(txn)?), vec![route, compressed]))
        }
        _ => None,
    }
}

/// `target [backend_url]`.
pub(crate) fn maint_enter<'l>(fields: &[&'l str]) -> Read<'l> {
    match fields {
        [target] => Some((None, vec![target, ""])),
        [target, page] if page.is_empty() || page.contains("://") => {
            Some((None, vec![target, page]))
        }
        [txn, target] => Some((Some(TxnId::parse(txn)?), vec![target, ""])),
        [target, page, ""] if page.contains("://") => Some((None, vec![target, page])),
        [txn, target, page] | [txn, target, page, ""] => {
            Some((Some(TxnId::parse(txn)?), vec![target, page]))
        }
        _ => None,
    }
}

/// `duration [guard]`.
pub(crate) fn config_try<'l>(fields: &[&'l str]) -> Read<'l> {
    match fields {
        [time] => Some((None, vec![time, ""])),
        [time, guard] if guard.contains('<') || guard.is_empty() => Some((None, vec![time, guard])),
        // No transaction id is a duration followed by none: it is the guard that is wrong.
        [time, guard] if duration::parse(time).is_ok() && duration::parse(guard).is_err() => {
            Some((None, vec![time, guard]))
        }
        [txn, time] => Some((Some(TxnId::parse(txn)?), vec![time, ""])),
        [time, guard, ""] if guard.contains('<') => Some((None, vec![time, guard])),
        [txn, time, guard] | [txn, time, guard, ""] => {
            Some((Some(TxnId::parse(txn)?), vec![time, guard]))
        }
        _ => None,
    }
}
