//! How a session is reached: over the admin socket by its name, or by registering one.

use std::time::Duration;

use client::{Address, Connection, ConnectionError, Said};
use model::{InstanceName, Registration, ServiceName};

use crate::args::Global;
use crate::failure::Failure;
use crate::protocol::Line;
use crate::values::Identity;

/// A token is a line; a longer file is something else.
const TOKEN_BYTES_MAX: u64 = 4096;

/// A connection, and the session that commands on it are about.
pub(crate) struct Reached {
    pub(crate) connection: Connection,
    pub(crate) session: String,
    /// Whether it is ours, to be ended with us.
    is_own: bool,
}

/// Reaches the session that was named, or registers the identity that was given.
pub(crate) async fn reach(global: &Global, named: Option<&str>) -> Result<Reached, Failure> {
    match (named.or(global.session.as_deref()), &global.register) {
        (Some(session), _) => operator(global, session).await,
        (None, Some(identity)) => registered(global, identity).await,
        (None, None) => Err(Failure::Usage(
            "which session? Name one with --session ID or SERVICE/INSTANCE, or register one with \
             --register SERVICE/INSTANCE"
                .to_owned(),
        )),
    }
}

/// The same, and if nothing was given, registers a session of our own for the moment: at the
/// registry port if that was named, else over the admin socket.
pub(crate) async fn reach_any(global: &Global, purpose: &str) -> Result<Reached, Failure> {
    if global.session.is_some() || global.register.is_some() {
        return reach(global, None).await;
    }
    let identity = passing(purpose)?;
    if global.addr.is_some() {
        registered(global, &identity).await
    } else {
        register(admin(global).await?, &identity).await
    }
}

/// For a question about the whole proxy, which an operator asks without a session (SPEC 12).
pub(crate) async fn reach_all(global: &Global, purpose: &str) -> Result<Reached, Failure> {
    if global.addr.is_some() || global.session.is_some() || global.register.is_some() {
        return reach_any(global, purpose).await;
    }
    operator(global, "").await
}

/// An identity that stands in nobody's way.
pub(crate) fn passing(purpose: &str) -> Result<Identity, Failure> {
    let instance = format!("{purpose}.{}", std::process::id());
    let wrong = |error: model::IdError| Failure::Other(format!("our own name {error}"));
    Ok(Identity {
        service: ServiceName::parse("regctl").map_err(wrong)?,
        instance: InstanceName::parse(&instance).map_err(wrong)?,
        port: 0,
    })
}

async fn operator(global: &Global, session: &str) -> Result<Reached, Failure> {
    Ok(Reached { connection: admin(global).await?, session: session.to_owned(), is_own: false })
}

/// Registers at the registry port.
pub(crate) async fn registered(global: &Global, identity: &Identity) -> Result<Reached, Failure> {
    register(registry(global).await?, identity).await
}

/// Registers on a connection.
pub(crate) async fn register(
    mut connection: Connection,
    identity: &Identity,
) -> Result<Reached, Failure> {
    let registration = Registration::V2 {
        service: identity.service.clone(),
        instance: identity.instance.clone(),
        maintenance_port: identity.port,
        metadata: None,
    };
    let session = connection.register(registration).await?;
    Ok(Reached { connection, session: session.as_str().to_owned(), is_own: true })
}

/// A connection to the admin socket.
pub(crate) async fn admin(global: &Global) -> Result<Connection, Failure> {
    admin_within(global, global.timeout).await
}

/// The same, with a limit of its own.
pub(crate) async fn admin_within(global: &Global, limit: Duration) -> Result<Connection, Failure> {
    let path = global.admin()?;
    let shown = path.display().to_string();
    Connection::open(&Address::Unix(path), limit).await.map_err(|error| match error {
        ConnectionError::Unreachable { source, .. } => {
            let text = format!("cannot reach the admin socket {shown}: {source}");
            Failure::AdminSocket(text, source.kind())
        }
        other => other.into(),
    })
}

/// A connection to the registry port, authenticated if there is a token.
pub(crate) async fn registry(global: &Global) -> Result<Connection, Failure> {
    let mut connection = Connection::open(&global.registry()?, global.timeout).await?;
    if let Some(token) = token(global)? {
        connection.authenticate(&token).await?;
    }
    Ok(connection)
}

/// The registry's token, from the environment or from a file.
pub(crate) fn token(global: &Global) -> Result<Option<String>, Failure> {
    if let Some(path) = &global.token_file {
        let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
        let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if length > TOKEN_BYTES_MAX {
            return Err(wrong(format!("a token has at most {TOKEN_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let first = text.lines().next().unwrap_or_default().trim();
        return checked_token(first).map(Some).ok_or_else(|| {
            wrong("the first line must be a token, without spaces and pipes".to_owned())
        });
    }
    match std::env::var("REGCTL_TOKEN") {
        Ok(text) => checked_token(&text).map(Some).ok_or_else(|| {
            Failure::Usage("REGCTL_TOKEN must be a token, without spaces and pipes".to_owned())
        }),
        Err(_) => Ok(None),
    }
}

fn checked_token(text: &str) -> Option<String> {
    let bad = |c: char| c == '|' || c.is_whitespace() || c.is_control();
    (!text.is_empty() && !text.contains(bad)).then(|| text.to_owned())
}

impl Reached {
    /// Asks, and gives an answer that is no `ERROR`.
    pub(crate) async fn ask(&mut self, line: &Line) -> Result<Said, Failure> {
        let said = self.connection.ask(&line.about(&self.session)).await?;
        let said = said.unwrap_or_else(|| Said::new(""));
        match said.error() {
            Some(reason) => Err(Failure::Refused(reason.to_owned())),
            None => Ok(said),
        }
    }

    /// Ends a session of our own. If that fails, the server ends it a minute later.
    pub(crate) async fn leave(mut self) {
        if self.is_own {
            let goodbye = Line::new("CLIENT_SHUTDOWN", &[]);
            drop(self.ask(&goodbye).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        assert_eq!(checked_token("s3cret"), Some("s3cret".to_owned()));
        for text in ["", "a b", "a|b", "a\n"] {
            assert_eq!(checked_token(text), None, "{text:?}");
        }
    }
}
