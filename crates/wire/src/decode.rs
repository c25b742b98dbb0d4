//! One line to one command.

use model::{
    HeaderKey, HeaderRule, InstanceName, Line, Refusal, Registration, Request, RouteUpdate,
    ServiceName, SessionId, TxnId,
};

use crate::command::{self, Command};
use crate::field::{self, Reason, named};
use crate::{Dialect, FrameError, bulk, duration, option, tail};

/// Fields of any command, the transaction id included; more is a wrong count whatever follows.
const FIELDS_MAX: usize = 8;
/// Of an unknown command's name, this much is repeated.
const NAME_SHOWN_MAX: usize = 64;

/// Why a line is no command. `reason` goes after `ERROR|`, and the transaction id before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The transaction id to echo, if it could be told apart.
    pub txn: Option<TxnId>,
    /// What is wrong.
    pub reason: Refusal,
}

/// Decodes one line.
///
/// # Errors
///
/// [`DecodeError`]; every text is either a command or an error, never a panic.
///
/// # Source
///
/// SPEC 2.2; registry guides, "Commands".
pub fn decode(line: &str, dialect: Dialect) -> Result<Line, DecodeError> {
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(plain(FrameError::Control.to_string()));
    }
    let (name, rest) = match line.split_once('|') {
        Some((name, rest)) => (name, Some(rest)),
        None => (line, None),
    };
    if name == "ACK" && rest.is_none_or(str::is_empty) {
        return Ok(Line { session: None, txn: None, request: Request::Ack });
    }
    let Some(command) = command::find(name) else {
        let end = name.char_indices().nth(NAME_SHOWN_MAX).map_or(name.len(), |(at, _)| at);
        let shown = name.get(..end).unwrap_or_default();
        return Err(plain(format!("unknown command: {shown}")));
    };
    let wrong_count = || plain(command::usage(command));
    if name == "SESSIONS" {
        let txn = sessions(rest).ok_or_else(wrong_count)?;
        return Ok(Line { session: None, txn, request: Request::Sessions });
    }
    let rest = rest.ok_or_else(wrong_count)?;
    match name {
        "AUTH" => {
            // One trailing empty field is ignored.
            let token = rest.strip_suffix('|').unwrap_or(rest);
            if token.contains('|') {
                return Err(wrong_count());
            }
            let token = field::token(token).map_err(plain)?;
            return Ok(Line { session: None, txn: None, request: Request::Auth(token) });
        }
        "CATALOG" => {
            let (what, with) = rest.split_once('|').ok_or_else(wrong_count)?;
            let request = Request::Catalog { what: what.into(), with: with.into() };
            return Ok(Line { session: None, txn: None, request });
        }
        "REGISTER" => {
            let registration =
                register(rest).map_err(|reason| reason.map_or_else(wrong_count, plain))?;
            let request = Request::Register(registration);
            return Ok(Line { session: None, txn: None, request });
        }
        _ => {}
    }
    let (txn, session, fields) = split(command, rest, dialect).ok_or_else(wrong_count)?;
    let refused = |reason| DecodeError { txn: txn.clone(), reason };
    let session = match (name, session) {
        // It is about the whole proxy; whether the peer may say so is for the registry to know.
        ("EXPLAIN", "" | "*") => None,
        _ => Some(SessionId::parse(session).map_err(|_| {
            refused(match dialect {
                Dialect::Fresh => Refusal::NO_SESSION,
                Dialect::V1 | Dialect::V2 => Refusal::INVALID_SESSION,
            })
        })?),
    };
    let request = without_tabs(command, &fields).and_then(|()| request(command, &fields, dialect));
    let request = request.map_err(|reason| refused(Refusal::new(reason)))?;
    Ok(Line { session, txn, request })
}

fn plain(reason: Reason) -> DecodeError {
    DecodeError { txn: None, reason: Refusal::new(reason) }
}

/// TAB is for header values and JSON (SPEC 2.2).
fn without_tabs(command: &Command, fields: &[&str]) -> Result<(), Reason> {
    let fields = match (command.name, fields) {
        ("HEADER" | "HEADERS_SET" | "ROUTE_ADD_BULK", [fields @ .., _]) => fields,
        _ => fields,
    };
    field::without_tabs(fields)
}

/// A line's transaction id, session and further fields; `None` for a wrong count.
type Split<'l> = (Option<TxnId>, &'l str, Vec<&'l str>);

fn split<'l>(command: &Command, rest: &'l str, dialect: Dialect) -> Option<Split<'l>> {
    if command.name == "ROUTE_ADD_BULK" {
        return tail::bulk(rest);
    }
    // One more than any command has: a line of pipes costs no more than that.
    let fields: Vec<&str> = rest.splitn(FIELDS_MAX + 1, '|').collect();
    if fields.len() > FIELDS_MAX {
        return None;
    }
    let (session, fields) = fields.split_first()?;
    let by_version = dialect == Dialect::V1 && matches!(command.name, "MAINT_ENTER" | "MAINT_EXIT");
    let read = if by_version {
        fields
            .iter()
            .all(|field| field.is_empty())
            .then(|| (None, Vec::new()))
            .filter(|_| fields.len() <= 1)
    } else {
        match command.name {
            "ROUTE_ADD" => tail::route_add(fields),
            "ROUTE_LIST" => tail::route_list(fields),
            "STATS_GET" => tail::stats_get(fields),
            "MAINT_ENTER" => tail::maint_enter(fields),
            "CONFIG_TRY" => tail::config_try(fields),
            "VALIDATE" => matches!(fields, [] | [_] | [_, ""]).then(|| (None, Vec::new())),
            _ => tail::fixed(command, fields),
        }
    };
    read.map(|(txn, fields)| (txn, *session, fields))
}

/// The transaction id of a command without a session; `None` for what is none.
fn sessions(rest: Option<&str>) -> Option<Option<TxnId>> {
    // One trailing empty field is ignored.
    match rest.map(|rest| rest.strip_suffix('|').unwrap_or(rest)) {
        None | Some("") => Some(None),
        Some(txn) => TxnId::parse(txn).map(Some),
    }
}

/// `Err(None)` is a wrong count.
fn register(rest: &str) -> Result<Registration, Option<Reason>> {
    let mut fields = rest.splitn(4, '|');
    let mut next = || fields.next().ok_or(None);
    let (service, second, third) = (next()?, next()?, next()?);
    let last = fields.next().unwrap_or_default();
    // One trailing empty field is ignored; no JSON ends with a pipe.
    let last = last.strip_suffix('|').unwrap_or(last);
    field::without_tabs(&[service, second, third])?;
    let service = named("service_name", ServiceName::parse(service))?;
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Registration::V1 {
            service,
            hostname: named("hostname", InstanceName::parse(second))?,
            service_port: field::port("service_port", third, 1)?,
            maintenance_port: field::port("maintenance_port", last, 0)?,
        });
    }
    Ok(Registration::V2 {
        service,
        instance: named("instance_name", InstanceName::parse(second))?,
        maintenance_port: field::port("maintenance_port", third, 0)?,
        metadata: bulk::metadata(last)?,
    })
}

fn request(command: &Command, fields: &[&str], dialect: Dialect) -> Result<Request, Reason> {
    Ok(match (command.name, fields) {
        ("RECONNECT", []) => Request::Reconnect,
        ("ROUTE", [domains, path, backend]) => {
            Request::RouteV1(field::route(domains, path, backend, "")?)
        }
        ("HEADER", [name, value]) => Request::HeaderV1(header(name, value)?),
        ("OPTIONS", [key, value]) => {
            let key = option::parse_key(key)?;
            Request::OptionV1(key, option::parse(key, value)?)
        }
        ("VALIDATE", _) => Request::ValidateV1,
        ("SHUTDOWN", []) => Request::ShutdownV1,
        ("ROUTE_ADD", [domains, path, backend, priority]) => {
            Request::RouteAdd(field::route(domains, path, backend, priority)?)
        }
        ("ROUTE_ADD_BULK", [json]) => Request::RouteAddBulk(bulk::routes(json)?),
        ("ROUTE_UPDATE", [route, name, value]) => {
            let route = field::route_id(route)?;
            Request::RouteUpdate(route, update(name, value)?)
        }
        ("ROUTE_REMOVE", [route]) => Request::RouteRemove(field::route_id(route)?),
        ("ROUTE_LIST", [from, compressed]) => Request::RouteList {
            from: if from.is_empty() { None } else { Some(field::route_id(from)?) },
            compressed: !compressed.is_empty(),
        },
        ("HEADERS_SET", [target, name, value]) => {
            Request::HeadersSet(field::target(target)?, header(name, value)?)
        }
        ("HEADERS_REMOVE", [target, name]) => {
            let target = field::target(target)?;
            Request::HeadersRemove(target, named("header_name", HeaderKey::parse(name))?)
        }
        ("OPTIONS_SET", [target, key, value]) => {
            let (target, key) = (field::target(target)?, option::parse_key(key)?);
            Request::OptionsSet(target, key, option::parse(key, value)?)
        }
        ("OPTIONS_REMOVE", [target, key]) => {
            Request::OptionsRemove(field::target(target)?, option::parse_key(key)?)
        }
        ("HEALTH_SET", [route, path, interval, timeout]) => {
            let route = field::route_id(route)?;
            Request::HealthSet(route, field::health(path, interval, timeout)?)
        }
        ("RATELIMIT_SET", [target, requests, window]) => {
            Request::RatelimitSet(field::target(target)?, field::limit(requests, window)?)
        }
        ("CIRCUIT_BREAKER_SET", [target, threshold, timeout, half_open]) => {
            let target = field::target(target)?;
            Request::CircuitBreakerSet(target, field::breaker(threshold, timeout, half_open)?)
        }
        ("CIRCUIT_BREAKER_STATUS", [target]) => {
            Request::CircuitBreakerStatus(field::target(target)?)
        }
        ("CIRCUIT_BREAKER_RESET", [target]) => Request::CircuitBreakerReset(field::target(target)?),
        ("CONFIG_VALIDATE", []) => Request::ConfigValidate,
        ("CONFIG_APPLY", []) => Request::ConfigApply,
        ("CONFIG_APPLY_PARTIAL", [scopes]) => Request::ConfigApplyPartial(field::scopes(scopes)?),
        ("CONFIG_ROLLBACK", []) => Request::ConfigRollback,
        ("CONFIG_DIFF", []) => Request::ConfigDiff,
        ("CONFIG_TRY", [time, guard]) => Request::ConfigTry {
            duration: named("duration", duration::parse_positive(time))?,
            guard: if guard.is_empty() { None } else { Some(field::guard(guard)?) },
        },
        ("CONFIG_CONFIRM", []) => Request::ConfigConfirm,
        ("STATS_GET", [route, compressed]) => Request::StatsGet {
            target: if route.is_empty() { model::Target::All } else { field::target(route)? },
            compressed: !compressed.is_empty(),
        },
        ("PING", []) => Request::Ping,
        ("SESSION_INFO", []) => Request::SessionInfo,
        ("DRAIN_START", [time]) => {
            Request::DrainStart(named("duration", duration::parse_positive(time))?)
        }
        ("DRAIN_STATUS", []) => Request::DrainStatus,
        ("DRAIN_CANCEL", []) => Request::DrainCancel,
        ("MAINT_ENTER", []) if dialect == Dialect::V1 => {
            Request::MaintEnter { target: field::maintenance_target("ALL")?, page: None }
        }
        ("MAINT_ENTER", [target, page]) => Request::MaintEnter {
            target: field::maintenance_target(target)?,
            page: if page.is_empty() { None } else { Some(field::backend(page)?) },
        },
        ("MAINT_EXIT", []) => Request::MaintExit(field::maintenance_target("ALL")?),
        ("MAINT_EXIT", [target]) => Request::MaintExit(field::maintenance_target(target)?),
        ("MAINT_STATUS", []) => Request::MaintStatus,
        ("SUBSCRIBE", [kind]) => Request::Subscribe(field::event(kind)?),
        ("UNSUBSCRIBE", [kind]) => Request::Unsubscribe(field::event(kind)?),
        ("BACKEND_TEST", [backend]) => Request::BackendTest(field::backend(backend)?),
        ("EXPLAIN", [method, host, path]) => Request::Explain {
            method: field::method(method)?,
            host: field::authority(host)?,
            path: field::target_path(path)?,
        },
        ("HANDOVER_OFFER", [route]) => Request::HandoverOffer(field::route_id(route)?),
        ("HANDOVER_ACCEPT", [token, backend]) => Request::HandoverAccept {
            token: field::token(token)?,
            backend: field::backend(backend)?,
        },
        ("CLIENT_SHUTDOWN", []) => Request::ClientShutdown,
        // The split gave each command its count; this is the usage all the same.
        _ => return Err(command::usage(command)),
    })
}

fn header(name: &str, value: &str) -> Result<HeaderRule, Reason> {
    HeaderRule::parse(name, value).map_err(|error| match error {
        model::HeaderError::Value => format!("header_value {error}"),
        model::HeaderError::Name | model::HeaderError::Reserved => format!("header_name {error}"),
    })
}

fn update(name: &str, value: &str) -> Result<RouteUpdate, Reason> {
    Ok(match name {
        "backend_url" => RouteUpdate::Backend(field::backend(value)?),
        "priority" if value.is_empty() => return Err(field::PRIORITY.to_owned()),
        "priority" => RouteUpdate::Priority(field::priority(value)?),
        "domains" => RouteUpdate::Domains(field::domains(value)?),
        "path" => RouteUpdate::Path(field::path(value)?),
        _ => return Err("unknown field: want backend_url, priority, domains or path".to_owned()),
    })
}
