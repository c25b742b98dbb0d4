//! Carries out one job.

use std::sync::Arc;

use certs::Challenges;
use instant_acme::{Account, Error, Order};
use rcgen::KeyPair;
use runtime::Clock;
use store::{Acme as Kept, AcmeChange, AcmeOrder};

use crate::authority::{Authority, is_unknown_account};
use crate::issuer::{Blame, Job, Outcome, Start};
use crate::memory::{row, validity};
use crate::name::Name;
use crate::order::{self, Given, Stuck};

/// What a job needs.
pub(crate) struct Tools {
    pub(crate) authority: Arc<Authority>,
    pub(crate) challenges: Challenges,
    pub(crate) kept: Kept,
    pub(crate) clock: Clock,
}

/// How a job ended.
pub(crate) struct Report {
    pub(crate) name: Name,
    pub(crate) outcome: Outcome,
    /// Why there is no certificate.
    pub(crate) why: String,
    /// The order, if one is placed now.
    pub(crate) placed: Option<AcmeOrder>,
    pub(crate) given: Option<(Given, Box<str>)>,
}

impl Report {
    pub(crate) fn without(name: &Name, outcome: Outcome, why: String) -> Self {
        Self { name: name.clone(), outcome, why, placed: None, given: None }
    }
}

/// Gets a certificate, or says why there is none. `earlier` is the order to be resumed, if the job
/// is to.
pub(crate) async fn carry_out(job: Job, earlier: Option<AcmeOrder>, tools: Tools) -> Report {
    let name = job.name.clone();
    let refused = match (&job.start, &earlier) {
        (Start::Order(_), _) => Outcome::NotPlaced,
        (Start::Resume { .. }, _) => Outcome::Unfinished,
    };
    let account = match tools.authority.account(&tools.kept).await {
        Ok(account) => account,
        Err(error) => return Report::without(&name, refused, error.to_string()),
    };
    let (order, kept) = match resume_or_place(&job, earlier, &account, &tools).await {
        Ok(placed) => placed,
        Err((outcome, why)) => return Report::without(&name, outcome, why),
    };
    let finished = order::finish(order, &name, &kept.key, &job.methods, &tools.challenges).await;
    let (outcome, why, given) = match finished {
        Ok(given) => {
            let outcome = Outcome::Issued(validity(&given.pair));
            (outcome, String::new(), Some((given, kept.key.clone())))
        }
        Err(Stuck::Later(why)) => (Outcome::Unfinished, why, None),
        Err(Stuck::Over(blame, why)) => (Outcome::Failed(blame), why, None),
    };
    Report { name, outcome, why, placed: Some(kept), given }
}

async fn resume_or_place(
    job: &Job,
    earlier: Option<AcmeOrder>,
    account: &Account,
    tools: &Tools,
) -> Result<(Order, AcmeOrder), (Outcome, String)> {
    match (&job.start, earlier) {
        (Start::Order(entry), _) => {
            // First the ledger, then the order: whatever happens in between counts.
            let entry = row(entry, &tools.authority.directory);
            let written = tools.kept.write(vec![AcmeChange::PutEntry(entry.clone())]).await;
            written.map_err(|error| (Outcome::NotPlaced, error.to_string()))?;
            let key = KeyPair::generate();
            let key = key.map_err(|error| (Outcome::Failed(Blame::Ca), error.to_string()))?;
            let order = tools.authority.order(account, &job.name).await;
            let order = order.map_err(|error| not_placed(&error, tools))?;
            let kept = AcmeOrder {
                name: job.name.as_str().into(),
                number: entry.number,
                directory: entry.directory,
                url: order.url().into(),
                key: key.serialize_pem().into(),
                at: tools.clock.now().wall,
            };
            if let Err(error) = tools.kept.write(vec![AcmeChange::PutOrder(kept.clone())]).await {
                tracing::warn!(name = %job.name, %error, "this order would not survive a restart");
            }
            Ok((order, kept))
        }
        (Start::Resume { .. }, Some(kept)) => {
            let order = account.order(kept.url.to_string()).await;
            let order = order.map_err(|error| match &error {
                Error::Api(problem) => (Outcome::Failed(order::blame(problem)), error.to_string()),
                _ => (Outcome::Unfinished, error.to_string()),
            })?;
            Ok((order, kept))
        }
        (Start::Resume { .. }, None) => {
            Err((Outcome::Failed(Blame::Ca), "the order is forgotten".to_owned()))
        }
    }
}

/// The authority may have counted it: so does the ledger.
fn not_placed(error: &Error, tools: &Tools) -> (Outcome, String) {
    let Error::Api(problem) = error else {
        return (Outcome::Failed(Blame::Ca), error.to_string());
    };
    if is_unknown_account(problem) {
        tools.authority.forget_account();
    }
    (Outcome::Failed(order::blame(problem)), error.to_string())
}
