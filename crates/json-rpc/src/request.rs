//! What a method and its parameters ask for.
//!
//! Three spellings of one thing: `registry.list` is the documented one, a plain call;
//! `registry_list` and `HUB.call {"method":"registry.list"}` are those of the hub's own clients,
//! subscriptions (COMPATIBILITY 3).

use catalog::Protocol;
use model::BackendHost;
use serde_json::value::RawValue;

use crate::entry::{parse_host, parse_port, parse_protocol};
use crate::error::Error;
use crate::params::{Given, Ignored, Params};
use crate::{Entry, EntryError};

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Register,
    List,
    Get,
    Update,
    Delete,
    Ping,
    Reload,
}

/// A parameter: name, JSON type, whether it has to be there, and what it is.
pub(crate) type Parameter = (&'static str, &'static str, bool, &'static str);

const NAME: Parameter = ("name", "string", true, "Name of the backend");
const PLACE: [Parameter; 3] = [
    ("protocol", "string", false, "ws if not given; wss, http, https, h2c, grpc, grpcs, tcp"),
    ("description", "string", false, "For people"),
    ("namespace", "string", false, "Routing namespace"),
];

impl Verb {
    pub(crate) const ALL: [Self; 7] = [
        Self::Register,
        Self::List,
        Self::Get,
        Self::Update,
        Self::Delete,
        Self::Ping,
        Self::Reload,
    ];

    /// After the dot.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::List => "list",
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Ping => "ping",
            Self::Reload => "reload",
        }
    }

    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Register => "Register a new backend",
            Self::List => "List backends, the newest first",
            Self::Get => "Get a backend by name",
            Self::Update => "Update a backend; null clears description and namespace",
            Self::Delete => "Remove a backend",
            Self::Ping => "Note that a backend was seen now",
            Self::Reload => "Read the backends file again",
        }
    }

    /// In the order in which they are given by position.
    pub(crate) const fn parameters(self) -> &'static [Parameter] {
        const REGISTER: [Parameter; 6] = [
            NAME,
            ("host", "string", true, "Host name or address"),
            ("port", "integer", true, "1 to 65535"),
            PLACE[0],
            PLACE[1],
            PLACE[2],
        ];
        const UPDATE: [Parameter; 6] = [
            NAME,
            ("host", "string", false, "New host name or address"),
            ("port", "integer", false, "1 to 65535"),
            PLACE[0],
            PLACE[1],
            PLACE[2],
        ];
        const DELETE: [Parameter; 2] =
            [NAME, ("instance", "string", false, "Which of several that were added by hand")];
        match self {
            Self::Register => &REGISTER,
            Self::List => &[("active_only", "boolean", false, "true if not given")],
            Self::Get | Self::Ping => &[NAME],
            Self::Delete => &DELETE,
            Self::Update => &UPDATE,
            Self::Reload => &[],
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }
}

/// Something to be done, found to be good in itself.
#[derive(Debug)]
pub(crate) enum Call {
    Register(Entry, Ignored),
    List { active_only: bool },
    Get { name: String },
    Update(Update),
    Delete { name: String, instance: Option<String> },
    Ping { name: String },
    Reload,
}

/// What of a backend changes.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) name: String,
    pub(crate) host: Option<BackendHost>,
    pub(crate) port: Option<u16>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) description: Given<Box<str>>,
    pub(crate) namespace: Given<Box<str>>,
    pub(crate) ignored: Ignored,
}

/// Whose schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Hub,
    Registry,
}

/// What the one item of a subscription is about.
#[derive(Debug)]
pub(crate) enum Topic {
    Info,
    Hash(Of),
    /// Of everything, or of one method.
    Schema(Of, Option<Verb>),
    Call(Verb, Call),
}

/// What a request wants.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The content, as the result.
    Plain(Call),
    /// A subscription, whose notifications have this method.
    Subscription { notification: String, topic: Topic },
    /// The end of a subscription. Each has ended by itself before anybody can ask.
    Unsubscription,
}

/// Notifications of everything but the direct names.
const NOTIFICATION: &str = "result";
/// Names in one line, for who asked for another one.
const KNOWN: &str = "registry.register, list, get, update, delete, ping and reload";

/// Reads what is wanted from the hub of this name.
///
/// # Errors
///
/// -32601 and -32602.
pub(crate) fn read(hub: &str, method: &str, params: Option<&RawValue>) -> Result<Asked, Error> {
    let subscription = |topic| {
        let notification = NOTIFICATION.to_owned();
        Ok(Asked::Subscription { notification, topic })
    };
    if let Some(verb) = method.strip_prefix("registry.").and_then(Verb::parse) {
        return Ok(Asked::Plain(call(verb, params)?));
    }
    if let Some(verb) = method.strip_prefix("registry_").and_then(Verb::parse) {
        let topic = Topic::Call(verb, call(verb, params)?);
        return Ok(Asked::Subscription { notification: method.to_owned(), topic });
    }
    let of_hub = method.strip_prefix(hub).and_then(|rest| rest.strip_prefix('.'));
    let unsubscribes = method.strip_prefix("registry_unsubscribe_").and_then(Verb::parse);
    match (method, of_hub) {
        ("_info", _) => subscription(Topic::Info),
        (_, Some("hash")) => subscription(Topic::Hash(Of::Hub)),
        (_, Some("schema")) => subscription(schema(Of::Hub, params)?),
        (_, Some("call")) => subscription(routed(hub, params)?),
        (_, Some("respond")) => Err(Error::params("no question of ours waits for an answer")),
        ("_info_unsub", _) | (_, Some("call_unsub" | "hash_unsub" | "schema_unsub")) => {
            Ok(Asked::Unsubscription)
        }
        _ if unsubscribes.is_some() => Ok(Asked::Unsubscription),
        _ => Err(Error::method(format!("there are {KNOWN}, _info and {hub}.call"))),
    }
}

/// What is called through the hub.
fn routed(hub: &str, params: Option<&RawValue>) -> Result<Topic, Error> {
    let params = Params::read(params, &["method", "params"])?;
    let method = params.text("method")?;
    let inner = params.inner("params")?;
    let unknown = || Error::method(format!("there are {KNOWN}, registry.schema and {hub}.schema"));
    let (namespace, name) = method.rsplit_once('.').ok_or_else(unknown)?;
    let of = match namespace {
        "registry" => Of::Registry,
        _ if namespace == hub => Of::Hub,
        _ => return Err(unknown()),
    };
    match (of, name, Verb::parse(name)) {
        (_, "schema", _) => schema(of, inner.as_deref()),
        (_, "hash", _) => Ok(Topic::Hash(of)),
        (Of::Registry, _, Some(verb)) => Ok(Topic::Call(verb, call(verb, inner.as_deref())?)),
        (Of::Registry | Of::Hub, _, _) => Err(unknown()),
    }
}

fn schema(of: Of, params: Option<&RawValue>) -> Result<Topic, Error> {
    let params = Params::read(params, &["method"])?;
    let Some(method) = params.text_if_given("method")? else {
        return Ok(Topic::Schema(of, None));
    };
    match (of, Verb::parse(method)) {
        (Of::Registry, Some(verb)) => Ok(Topic::Schema(of, Some(verb))),
        (Of::Registry | Of::Hub, _) => Err(Error::params("method must be one of the schema's")),
    }
}

fn call(verb: Verb, params: Option<&RawValue>) -> Result<Call, Error> {
    let names: Vec<_> = verb.parameters().iter().map(|(name, ..)| *name).collect();
    let params = Params::read(params, &names)?;
    let name = || params.text("name").map(str::to_owned);
    match verb {
        Verb::Register => Ok(Call::Register(register(&params)?, params.ignored())),
        Verb::List => {
            let active_only = params.flag_if_given("active_only")?.unwrap_or(true);
            Ok(Call::List { active_only })
        }
        Verb::Get => Ok(Call::Get { name: name()? }),
        Verb::Update => update(params).map(Call::Update),
        Verb::Delete => {
            let instance = params.text_if_given("instance")?.map(str::to_owned);
            Ok(Call::Delete { name: name()?, instance })
        }
        Verb::Ping => Ok(Call::Ping { name: name()? }),
        Verb::Reload => Ok(Call::Reload),
    }
}

fn register(params: &Params) -> Result<Entry, Error> {
    let port = params.number_if_given("port")?.ok_or_else(|| Error::params("port is missing"))?;
    let protocol = params.text_if_given("protocol")?;
    let entry = Entry::new(params.text("name")?, params.text("host")?, port, protocol);
    let (description, namespace) =
        (params.text_if_given("description")?, params.text_if_given("namespace")?);
    entry.and_then(|entry| entry.described(description, namespace)).map_err(wrong)
}

fn update(params: Params) -> Result<Update, Error> {
    let text = |name| {
        Ok::<_, Error>(match params.text_or_null(name)? {
            Given::No => Given::No,
            Given::Null => Given::Null,
            Given::Value(text) => Given::Value(text.into()),
        })
    };
    Ok(Update {
        name: params.text("name")?.to_owned(),
        host: params.text_if_given("host")?.map(parse_host).transpose().map_err(wrong)?,
        port: params.number_if_given("port")?.map(parse_port).transpose().map_err(wrong)?,
        protocol: params
            .text_if_given("protocol")?
            .map(parse_protocol)
            .transpose()
            .map_err(wrong)?,
        description: text("description")?,
        namespace: text("namespace")?,
        ignored: params.ignored(),
    })
}

fn wrong(error: EntryError) -> Error {
    Error::params(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, params: &str) -> String {
        let params: Option<&RawValue> =
            (!params.is_empty()).then(|| serde_json::from_str(params).unwrap());
        match read("hub", method, params) {
            Ok(Asked::Plain(call)) => format!("{call:?}"),
            Ok(Asked::Subscription { notification, topic }) => format!("{notification}: {topic:?}"),
            Ok(Asked::Unsubscription) => "end".to_owned(),
            Err(error) => format!("{} {}", error.code, error.data),
        }
    }

    #[test]
    fn names_and_parameters() {
        let known =
            "-32601 there are registry.register, list, get, update, delete, ping and reload";
        let plain = format!("{known}, _info and hub.call");
        let routed = format!("{known}, registry.schema and hub.schema");
        #[rustfmt::skip]
        let table = [
            ("registry.list",  "",                         "List { active_only: true }"),
            ("registry.list",  r#"{"active_only":false}"#, "List { active_only: false }"),
            ("registry.list",  "[false]",                  "List { active_only: false }"),
            ("registry.list",  "[]",                       "List { active_only: true }"),
            ("registry.list",  r#"{"active_only":1}"#,     "-32602 active_only must be true or false"),
            ("registry.list",  "[true,1]",                 "-32602 at most 1 parameters: active_only"),
            ("registry.get",   r#"{"name":"a","more":1}"#, "Get { name: \"a\" }"),
            ("registry.get",   "",                         "-32602 name is missing"),
            ("registry.get",   r#"{"name":null}"#,         "-32602 name is missing"),
            ("registry.get",   "[1]",                      "-32602 name must be a string"),
            ("registry.delete", r#"["a"]"#,                "Delete { name: \"a\", instance: None }"),
            ("registry.delete", r#"["a","b"]"#,            "Delete { name: \"a\", instance: Some(\"b\") }"),
            ("registry.delete", r#"{"name":"a","instance":1}"#, "-32602 instance must be a string"),
            ("registry.ping",  r#"["a"]"#,                 "Ping { name: \"a\" }"),
            ("registry.reload", "{}",                      "Reload"),
            ("registry.register", r#"{"name":"a","host":"b"}"#, "-32602 port is missing"),
            ("registry.register", r#"["a","b",1.5]"#,      "-32602 port must be a whole number"),
            ("registry.register", r#"["a","b",0]"#,        "-32602 port must be 1 to 65535"),
            ("registry.register", r#"["","b",1]"#,         "-32602 name must not be empty"),
            ("registry.update", r#"["a",null,7]"#,         r#"Update(Update { name: "a", host: None, port: Some(7), protocol: None, description: No, namespace: No, ignored: [] })"#),
            ("registry.update", r#"{"name":"a","description":null,"namespace":"n"}"#, r#"Update(Update { name: "a", host: None, port: None, protocol: None, description: Null, namespace: Value("n"), ignored: [] })"#),
            ("registry.update", r#"{"name":"a","protocol":"ftp"}"#, "-32602 protocol must be one of ws, wss, http, https, h2c, grpc, grpcs, tcp"),
            ("registry_list",  "",                         "registry_list: Call(List, List { active_only: true })"),
            ("registry_unsubscribe_list", "[1]",           "end"),
            ("hub.call_unsub", "[1]",                      "end"),
            ("_info_unsub",    "[1]",                      "end"),
            ("_info",          "",                         "result: Info"),
            ("hub.hash",       "",                         "result: Hash(Hub)"),
            ("hub.schema",     "",                         "result: Schema(Hub, None)"),
            ("hub.respond",    "{}",                       "-32602 no question of ours waits for an answer"),
            ("hub.call",       r#"{"method":"registry.list","params":{}}"#, "result: Call(List, List { active_only: true })"),
            ("hub.call",       r#"["registry.get",["a"]]"#, "result: Call(Get, Get { name: \"a\" })"),
            ("hub.call",       r#"{"method":"hub.schema"}"#, "result: Schema(Hub, None)"),
            ("hub.call",       r#"{"method":"registry.schema","params":{"method":"ping"}}"#, "result: Schema(Registry, Some(Ping))"),
            ("hub.call",       r#"{"method":"registry.schema","params":{"method":"x"}}"#, "-32602 method must be one of the schema's"),
            ("hub.call",       r#"{"method":"registry.hash"}"#, "result: Hash(Registry)"),
            ("hub.call",       r#"{"method":"registry.get"}"#, "-32602 name is missing"),
            ("hub.call",       r#"{"method":"registry.get","params":1}"#, "-32602 params must be an object or an array"),
            ("hub.call",       "{}",                       "-32602 method is missing"),
            ("hub.call",       r#"{"method":"list"}"#,     &routed),
            ("hub.call",       r#"{"method":"x.list"}"#,   &routed),
            ("hub.call",       r#"{"method":"hub.list"}"#, &routed),
            ("hub.list",       "",                         &plain),
            ("registry.list2", "",                         &plain),
            ("hubcall",        "",                         &plain),
            ("",               "",                         &plain),
        ];
        for (method, params, want) in table {
            assert_eq!(asked(method, params), want, "{method} {params}");
        }
    }
}
