//! A registry session that is told of events between its answers.

use std::collections::VecDeque;

use serde_json::Value;

use crate::{Proxy, Registry};

/// A session and what it heard.
#[derive(Debug)]
pub struct Session {
    registry: Registry,
    heard: VecDeque<String>,
}

impl Session {
    /// Registers.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub fn register(proxy: &Proxy, service: &str, instance: &str) -> Self {
        let mut session = Self { registry: proxy.registry(), heard: VecDeque::new() };
        let ack = session.ask(&format!("REGISTER|{service}|{instance}|9|{{}}"));
        assert!(ack.starts_with("ACK|"), "{ack}");
        session
    }

    /// Registers, adds a route for a domain that nobody checks the health of, and applies.
    /// Returns the route's id too.
    pub fn serve(
        proxy: &Proxy,
        service: &str,
        instance: &str,
        (domain, backend): (&str, &str),
    ) -> (Self, String) {
        let mut session = Self::register(proxy, service, instance);
        let route = session.stage(domain, "/", backend);
        session.expect("CONFIG_APPLY|$sid", "OK");
        (session, route)
    }

    /// Stages a route that nobody checks the health of.
    pub fn stage(&mut self, domain: &str, path: &str, backend: &str) -> String {
        let route = self.add(domain, path, backend);
        self.expect(&format!("HEALTH_SET|$sid|{route}|off|30s|5s"), "HEALTH_OK");
        route
    }

    /// Stages a route and nothing else.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub fn add(&mut self, domain: &str, path: &str, backend: &str) -> String {
        let said = self.ask(&format!("ROUTE_ADD|$sid|{domain}|{path}|{backend}|0"));
        said.strip_prefix("ROUTE_OK|").unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.registry.session
    }

    /// Sends a line, with `$sid` replaced.
    pub fn send(&mut self, line: &str) {
        self.registry.send(line);
    }

    /// Sends a line and takes its answer; events that come before it are kept.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.answer()
    }

    /// The next line that is no event.
    pub fn answer(&mut self) -> String {
        loop {
            let line = self.registry.line();
            if !line.starts_with("EVENT|") {
                return line;
            }
            self.heard.push_back(line);
        }
    }

    /// Sends a line and insists on the answer.
    ///
    /// # Panics
    ///
    /// When it is another one.
    pub fn expect(&mut self, line: &str, answer: &str) {
        let said = self.ask(line);
        assert_eq!(said, answer, "{line}");
    }

    /// Sends a line and reads the JSON of its answer.
    ///
    /// # Panics
    ///
    /// When the answer begins with another word or its JSON cannot be read.
    pub fn json(&mut self, line: &str, word: &str) -> Value {
        let said = self.ask(line);
        let rest = said.strip_prefix(word).and_then(|rest| rest.strip_prefix('|'));
        let rest = rest.unwrap_or_else(|| panic!("{line}: {said}"));
        serde_json::from_str(rest).unwrap_or_else(|error| panic!("{said}: {error}"))
    }

    /// The next event, waited for.
    pub fn event(&mut self) -> String {
        match self.heard.pop_front() {
            Some(event) => event,
            None => self.registry.line(),
        }
    }

    /// Events that came so far: a PING brings them in.
    pub fn events(&mut self) -> Vec<String> {
        self.expect("PING|$sid", "PONG");
        self.heard.drain(..).collect()
    }
}
