//! Who a client is, put together and checked.

use std::time::Duration;

use model::{EventKind, IdError, InstanceName, ServiceName};

use crate::client::{Client, Events};
use crate::{Address, LinkConfig};

/// Who a client is. Service and instance are needed, the rest has defaults.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    address: Address,
    service: String,
    instance: String,
    maintenance_port: u16,
    metadata: Option<Box<str>>,
    token: Option<Box<str>>,
    subscriptions: Vec<Option<EventKind>>,
    ping_interval: Option<Duration>,
}

/// What is wrong with a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The service's name.
    #[error("service {0}")]
    Service(IdError),
    /// The instance's name.
    #[error("instance {0}")]
    Instance(IdError),
    /// What was given as metadata.
    #[error("metadata must be a JSON object on one line")]
    Metadata,
    /// What was given as token.
    #[error("token must be one line without spaces and pipes")]
    Token,
}

impl Builder {
    pub(crate) fn new(address: Address) -> Self {
        Self {
            address,
            service: String::new(),
            instance: String::new(),
            maintenance_port: 0,
            metadata: None,
            token: None,
            subscriptions: Vec::new(),
            ping_interval: None,
        }
    }

    /// The service's name, shared by its instances.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }

    /// This instance's name. A second process that registers the same one takes its place.
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.instance = name.into();
        self
    }

    /// Where this instance serves its maintenance page; 0 if nowhere.
    pub fn maintenance_port(mut self, port: u16) -> Self {
        self.maintenance_port = port;
        self
    }

    /// A JSON object, for people to see: version, build, tags.
    pub fn metadata(mut self, json: impl Into<Box<str>>) -> Self {
        self.metadata = Some(json.into());
        self
    }

    /// The token that the registry wants.
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Subscribes to one kind of event.
    pub fn subscribe(mut self, kind: EventKind) -> Self {
        self.subscriptions.push(Some(kind));
        self
    }

    /// Subscribes to every kind of event.
    pub fn subscribe_all(mut self) -> Self {
        self.subscriptions = vec![None];
        self
    }

    /// How long to be silent before a PING; 30 s unless set, at least 1 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = Some(interval.max(Duration::from_secs(1)));
        self
    }

    /// Checks everything and starts a client on the current tokio runtime. It connects in the
    /// background.
    ///
    /// # Errors
    ///
    /// [`BuildError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<(Client, Events), BuildError> {
        let (address, config) = self.check()?;
        Ok(Client::start(address, config))
    }

    fn check(self) -> Result<(Address, LinkConfig), BuildError> {
        let service = ServiceName::parse(&self.service).map_err(BuildError::Service)?;
        let instance = InstanceName::parse(&self.instance).map_err(BuildError::Instance)?;
        let control = |text: &str| text.chars().any(char::is_control);
        let object = |json: &str| json.starts_with('{') && json.ends_with('}') && !control(json);
        if self.metadata.as_ref().is_some_and(|json| !object(json.trim())) {
            return Err(BuildError::Metadata);
        }
        let opaque = |token: &str| {
            let clean = |c: char| !c.is_control() && !c.is_whitespace() && c != '|';
            !token.is_empty() && token.chars().all(clean)
        };
        if self.token.as_ref().is_some_and(|token| !opaque(token)) {
            return Err(BuildError::Token);
        }
        let mut config = LinkConfig::new(service, instance, self.maintenance_port);
        config.metadata = self.metadata;
        config.token = self.token;
        config.subscriptions = self.subscriptions;
        config.ping_interval = self.ping_interval.unwrap_or(config.ping_interval);
        Ok((self.address, config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_says_what_is_wrong() {
        let base = || Client::builder("proxy:81".parse().unwrap()).service("a").instance("b");
        #[rustfmt::skip]
        let table = [
            (base(),                          None),
            (base().service(""),              Some("service must not be empty")),
            (base().instance("a|b"),          Some("instance must hold no spaces, pipes or control characters")),
            (base().metadata(r#"{"v":"1"}"#), None),
            (base().metadata("1"),            Some("metadata must be a JSON object on one line")),
            (base().metadata("{\n}"),         Some("metadata must be a JSON object on one line")),
            (base().token("s3cret"),          None),
            (base().token("a b"),             Some("token must be one line without spaces and pipes")),
            (base().token(""),                Some("token must be one line without spaces and pipes")),
        ];
        for (builder, says) in table {
            let error = builder.clone().check().err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), says, "{builder:?}");
        }
    }
}
