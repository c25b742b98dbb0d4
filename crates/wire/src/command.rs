//! The table of commands. Decoder, usage errors, manual and fuzz dictionary all read it.

/// Which versions document a command. All of them work in both (SPEC 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// The first guide; takes effect at once, no transaction id.
    V1,
    /// The second guide.
    V2,
    /// Both guides, no transaction id.
    Both,
    /// Ours.
    Extension,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// As it is spelled.
    pub name: &'static str,
    /// Which versions document it.
    pub speaks: Speaks,
    /// Its fields after the name; `[optional]` ones stand last.
    pub fields: &'static [&'static str],
    /// Whether a transaction id may come after the session.
    pub txn: bool,
    /// What it is answered when all is well.
    pub answer: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn v1(
    name: &'static str,
    fields: &'static [&'static str],
    answer: &'static str,
    about: &'static str,
) -> Command {
    Command { name, speaks: Speaks::V1, fields, txn: false, answer, about }
}

const fn v2(
    name: &'static str,
    fields: &'static [&'static str],
    answer: &'static str,
    about: &'static str,
) -> Command {
    Command { name, speaks: Speaks::V2, fields, txn: true, answer, about }
}

const fn ours(
    name: &'static str,
    fields: &'static [&'static str],
    answer: &'static str,
    about: &'static str,
) -> Command {
    Command { name, speaks: Speaks::Extension, fields, txn: true, answer, about }
}

const fn both(
    name: &'static str,
    fields: &'static [&'static str],
    answer: &'static str,
    about: &'static str,
) -> Command {
    Command { name, speaks: Speaks::Both, fields, txn: false, answer, about }
}

const SID: &[&str] = &["session_id"];

/// Every command, in the order of the manual.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { txn: false, ..ours("AUTH", &["token"], "AUTH_OK", "Shows the token, as the first line, where one is needed.") },
    both("REGISTER", &["service_name", "instance_name", "maintenance_port", "[metadata]"], "ACK|session_id", "Opens a session. v1: service, hostname, service port, maintenance port."),
    both("RECONNECT", SID, "OK or REREGISTER", "Takes a session up again on a new connection."),
    v1("ROUTE", &["session_id", "domains", "path", "backend_url"], "ROUTE_OK", "Adds a route at once."),
    v1("HEADER", &["session_id", "header_name", "header_value"], "HEADER_OK", "Sets a response header on all routes at once."),
    v1("OPTIONS", &["session_id", "key", "value"], "OPTIONS_OK", "Sets an option on all routes at once."),
    v1("VALIDATE", &["session_id", "[hash]"], "OK", "Checks the configuration; a hash is accepted and ignored."),
    v1("SHUTDOWN", SID, "GOODBYE", "Removes all routes and ends the session."),
    v2("ROUTE_ADD", &["session_id", "domains", "path", "backend_url", "priority"], "ROUTE_OK|route_id", "Stages a route."),
    v2("ROUTE_ADD_BULK", &["session_id", "json_array"], "ROUTE_BULK_OK|[...]", "Stages many routes, all or none."),
    v2("ROUTE_UPDATE", &["session_id", "route_id", "field", "value"], "ROUTE_OK", "Stages a change of backend_url, priority, domains or path."),
    v2("ROUTE_REMOVE", &["session_id", "route_id"], "ROUTE_OK", "Stages a removal."),
    v2("ROUTE_LIST", &["session_id", "[from=route_id]", "[compressed]"], "ROUTE_LIST_OK|[...]", "Lists the session's routes, active and staged; from= asks for a page."),
    v2("HEADERS_SET", &["session_id", "target", "header_name", "header_value"], "HEADERS_OK", "Stages a header for ALL or one route: [req:|resp:][+|-]Name."),
    v2("HEADERS_REMOVE", &["session_id", "target", "header_name"], "HEADERS_OK", "Stages the end of a header setting."),
    v2("OPTIONS_SET", &["session_id", "target", "key", "value"], "OPTIONS_OK", "Stages an option for ALL or one route."),
    v2("OPTIONS_REMOVE", &["session_id", "target", "key"], "OPTIONS_OK", "Stages an option's return to its default."),
    v2("HEALTH_SET", &["session_id", "route_id", "path", "interval", "timeout"], "HEALTH_OK", "Stages a health check; path may be tcp or off."),
    v2("RATELIMIT_SET", &["session_id", "route_id", "requests", "window"], "RATELIMIT_OK", "Stages a rate limit per client for ALL or one route; 0 requests is none."),
    v2("CIRCUIT_BREAKER_SET", &["session_id", "route_id", "threshold", "timeout", "half_open_requests"], "CIRCUIT_OK", "Stages a circuit breaker for ALL or one route; threshold 0 is none."),
    v2("CIRCUIT_BREAKER_STATUS", &["session_id", "route_id"], "CIRCUIT_STATUS_OK|{...}", "Tells a circuit breaker's state; ALL gives an array."),
    v2("CIRCUIT_BREAKER_RESET", &["session_id", "route_id"], "CIRCUIT_OK", "Closes a circuit breaker."),
    v2("CONFIG_VALIDATE", SID, "OK", "Checks what is staged."),
    v2("CONFIG_APPLY", SID, "OK", "Makes what is staged live, all or nothing."),
    v2("CONFIG_APPLY_PARTIAL", &["session_id", "scope"], "OK", "The same for some of: routes, headers, options, health, ratelimit, circuit."),
    v2("CONFIG_ROLLBACK", SID, "OK", "Discards what is staged."),
    v2("CONFIG_DIFF", SID, "DIFF_OK|{...}", "Tells what an apply would change."),
    ours("CONFIG_TRY", &["session_id", "duration", "[guard]"], "OK", "Applies, and reverts unless confirmed in time or when a guard such as errors<5% trips."),
    ours("CONFIG_CONFIRM", SID, "OK", "Keeps what CONFIG_TRY applied."),
    v2("STATS_GET", &["session_id", "[route_id]", "[compressed]"], "STATS_OK|{...}", "Tells statistics of one route; of ALL, or without a route, an array."),
    v2("PING", SID, "PONG", "Shows that both ends are alive."),
    v2("SESSION_INFO", SID, "SESSION_OK|{...}", "Tells about the session."),
    v2("DRAIN_START", &["session_id", "duration"], "DRAIN_OK|completion_time", "Lets this instance's traffic fall to nothing."),
    v2("DRAIN_STATUS", SID, "DRAIN_STATUS_OK|{...}", "Tells how far the drain is."),
    v2("DRAIN_CANCEL", SID, "DRAIN_OK", "Gives the instance its traffic back."),
    v2("MAINT_ENTER", &["session_id", "target", "[backend_url]"], "ACK, then MAINT_OK|target", "Shows a maintenance page for ALL, routes, paths or domains. v1: no fields, answers MAINT_OK."),
    v2("MAINT_EXIT", &["session_id", "target"], "ACK, then MAINT_OK|target", "Ends maintenance. v1: no fields, answers MAINT_OK."),
    v2("MAINT_STATUS", SID, "MAINT_STATUS_OK|{...}", "Tells what is in maintenance."),
    v2("SUBSCRIBE", &["session_id", "event_type"], "SUBSCRIBE_OK", "Asks for events of one type, or all."),
    v2("UNSUBSCRIBE", &["session_id", "event_type"], "UNSUBSCRIBE_OK", "Asks for no more of them."),
    v2("BACKEND_TEST", &["session_id", "backend_url"], "BACKEND_OK|{...} or BACKEND_FAIL|{...}", "Asks a backend whether it answers."),
    ours("EXPLAIN", &["session_id", "method", "host", "path"], "EXPLAIN_OK|{...}", "Tells how a request would be routed, and why; an operator may leave the session empty, or write *."),
    ours("HANDOVER_OFFER", &["session_id", "route_id"], "HANDOVER_OK|token", "Offers a route to another service."),
    ours("HANDOVER_ACCEPT", &["session_id", "token", "backend_url"], "ROUTE_OK|route_id", "Stages taking an offered route over."),
    Command { txn: false, ..ours("SESSIONS", &["[txn_id]"], "SESSIONS_OK|[...]", "Lists all sessions; for operators.") },
    Command { txn: false, ..ours("CATALOG", &["what", "json"], "CATALOG_OK|{...}", "Asks about the catalog, or changes it; for operators.") },
    v2("CLIENT_SHUTDOWN", SID, "SHUTDOWN_OK", "Removes all routes and ends the session."),
];

/// The command of a name.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// How a command is written, without pipes: `usage: PING session_id [txn_id]`.
pub fn usage(command: &Command) -> String {
    let mut text = format!("usage: {}", command.name);
    for (at, field) in command.fields.iter().enumerate() {
        text.push(' ');
        text.push_str(field);
        if at == 0 && command.txn {
            text.push_str(" [txn_id]");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_usages_hold_no_pipe() {
        for command in COMMANDS {
            assert_eq!(COMMANDS.iter().filter(|c| c.name == command.name).count(), 1);
            assert!(!usage(command).contains('|'), "{}", command.name);
        }
    }

    #[test]
    fn usage_as_the_specification_spells_it() {
        let command = find("ROUTE_ADD").unwrap();
        assert_eq!(
            usage(command),
            "usage: ROUTE_ADD session_id [txn_id] domains path backend_url priority"
        );
    }
}
