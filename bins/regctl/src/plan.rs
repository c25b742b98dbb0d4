//! What a file of routes would change.

use client::Said;
use model::{RouteId, RouteSpec, SessionId};

use crate::args::Global;
use crate::failure::Failure;
use crate::json::Json;
use crate::manifest::Manifest;
use crate::protocol::Line;
use crate::reach::{admin, register, registered};
use crate::values::Identity;

/// What an apply would do, found out in a session of another instance that never applies.
pub(crate) struct Plan {
    routes: Vec<(RouteId, RouteSpec)>,
    diff: Said,
}

impl Plan {
    /// Stages and validates what a file says, and leaves nothing behind.
    pub(crate) async fn make(
        global: &Global,
        pin: bool,
        manifest: &Manifest,
    ) -> Result<Self, Failure> {
        // The same service, so that what its other instances own is no conflict.
        let instance = format!("{}.plan.{}", manifest.instance, std::process::id());
        let instance = model::InstanceName::parse(&instance)
            .map_err(|error| Failure::Usage(format!("instance {error}")))?;
        let identity = Identity { service: manifest.service.clone(), instance, port: 0 };
        let mut reached = if pin {
            register(admin(global).await?, &identity).await?
        } else {
            registered(global, &identity).await?
        };
        let session = SessionId::parse(&reached.session)
            .map_err(|error| Failure::Other(format!("the session id {error}")))?;
        let staged = reached.connection.stage(&session, &manifest.desired).await;
        let planned = match staged {
            Ok(routes) => {
                reached.ask(&Line::new("CONFIG_DIFF", &[])).await.map(|diff| Self { routes, diff })
            }
            Err(error) => Err(error.into()),
        };
        reached.leave().await;
        planned
    }

    /// What the server says would change.
    pub(crate) fn diff(&self) -> &Said {
        &self.diff
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        for (_, spec) in &self.routes {
            let domains: Vec<String> = spec.domains.iter().map(ToString::to_string).collect();
            let domains = domains.join(",");
            text += &format!("+ {domains} {} -> {}", spec.path, spec.backend);
            if spec.priority != 0 {
                text += &format!(" priority {}", spec.priority);
            }
            text.push('\n');
        }
        let json = Json::parse(self.diff.rest());
        let warnings = json.as_ref().and_then(|json| json.get("warnings"));
        for warning in warnings.map_or(&[][..], Json::elements) {
            text += &format!("! {}\n", warning.as_str().unwrap_or_default());
        }
        text + &format!("{}, valid\n", counted(self.routes.len()))
    }
}

/// As people count.
pub(crate) fn counted(routes: usize) -> String {
    if routes == 1 { "1 route".to_owned() } else { format!("{routes} routes") }
}

#[cfg(test)]
mod tests {
    use client::route;

    use super::*;

    #[test]
    fn a_plan_is_shown_with_its_warnings() {
        let first = route("a.example,b.example", "/", "http://b:1").unwrap();
        let mut second = route("a.example", "/x", "http://b:2").unwrap();
        second.priority = 10;
        let diff = r#"DIFF_OK|{"routes":{"added":["r1","r2"],"removed":[],"modified":[]},"warnings":["route r2 shadows r0"]}"#;
        let routes = vec![(RouteId(1), first), (RouteId(2), second)];
        let plan = Plan { routes, diff: Said::new(diff) };
        let shown = "+ a.example,b.example / -> http://b:1\n\
                     + a.example /x -> http://b:2 priority 10\n\
                     ! route r2 shadows r0\n\
                     2 routes, valid\n";
        assert_eq!(plan.shown(), shown);
    }
}
