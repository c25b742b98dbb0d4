//! One certificate authority, and who we are to it.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AccountBuilder, Error, ExternalAccountKey, Identifier, Key, NewAccount, NewOrder,
    Order, Problem,
};
use probe::Tls;
use store::{Acme as Kept, AcmeAccount, AcmeChange};
use tokio::sync::Semaphore;

use crate::http::Http;
use crate::name::Name;

/// An account with an authority that was opened elsewhere, which ours is to belong to (RFC 8555,
/// section 7.3.4).
#[derive(Clone)]
pub struct Binding {
    /// As the authority names it.
    pub key_id: Box<str>,
    /// The secret that shows that it is ours.
    pub hmac_key: Box<[u8]>,
}

/// A secret is not for logs.
impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Binding").field(&self.key_id).finish()
    }
}

/// The key in a text of URL-safe Base64, with padding or without; `None` for anything else.
pub fn hmac_key(text: &str) -> Option<Box<[u8]>> {
    let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    (!key.is_empty()).then(|| key.into())
}

/// An authority that we have an account with, or will have when it is asked for the first time.
pub(crate) struct Authority {
    pub(crate) directory: Box<str>,
    email: Option<Box<str>>,
    tls: Tls,
    binding: Option<Binding>,
    /// PKCS #8 in Base64.
    key: Mutex<Box<str>>,
    /// One at a time opens an account that is bound: an authority may take a binding only once.
    opening: Semaphore,
    account: Mutex<Option<Account>>,
}

impl Authority {
    pub(crate) fn new(
        directory: Box<str>,
        email: Option<Box<str>>,
        binding: Option<Binding>,
        key: Box<str>,
        tls: Tls,
    ) -> Self {
        Self {
            directory,
            email,
            tls,
            binding,
            key: Mutex::new(key),
            opening: Semaphore::new(1),
            account: Mutex::new(None),
        }
    }

    /// A key for a new account. Kept before it is used, so that a crash makes no second account:
    /// who asks again with the same key is given the same one (RFC 8555, section 7.3.1).
    pub(crate) fn new_key() -> Result<Box<str>, Error> {
        let (_, key) = Key::generate_pkcs8()?;
        Ok(BASE64_STANDARD.encode(key.secret_pkcs8_der()).into())
    }

    /// Our account.
    pub(crate) async fn account(&self, kept: &Kept) -> Result<Account, Error> {
        // Never closed.
        let _turn = match &self.binding {
            Some(_) => self.opening.acquire().await.ok(),
            None => None,
        };
        if let Some(account) = self.known() {
            return Ok(account);
        }
        let directory = self.directory.to_string();
        let text = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bad = |_| Error::KeyRejected;
        let der = BASE64_STANDARD.decode(&*text).map_err(bad)?;
        let key = Key::from_pkcs8_der(der.as_slice().into())?;
        let der = der.try_into().map_err(|_| Error::KeyRejected)?;
        let account = match &self.binding {
            None => self.builder().create_from_key((key, der), directory).await?.0,
            Some(binding) => match self.builder().from_key((key, der), directory).await {
                Ok((account, _)) => account,
                Err(Error::Api(problem)) if is_unknown_account(&problem) => {
                    self.bind(binding, kept).await?
                }
                Err(error) => return Err(error),
            },
        };
        if let Some(email) = &self.email {
            let contact = format!("mailto:{email}");
            // Nobody goes without a certificate because of it.
            if let Err(error) = account.update_contacts(&[&contact]).await {
                tracing::warn!(directory = %self.directory, %error, "[acme] email is not accepted");
            }
        }
        self.remember(Some(account.clone()));
        Ok(account)
    }

    /// A new account that belongs to another one. The library makes its key itself, so that is kept
    /// after the account is there: a crash in between makes a second one.
    async fn bind(&self, binding: &Binding, kept: &Kept) -> Result<Account, Error> {
        let external = ExternalAccountKey::new(binding.key_id.to_string(), &binding.hmac_key);
        let new =
            NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) =
            self.builder().create(&new, self.directory.to_string(), Some(&external)).await?;
        let key: Box<str> =
            BASE64_STANDARD.encode(credentials.private_key().secret_pkcs8_der()).into();
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = key.clone();
        let row = AcmeAccount { directory: self.directory.clone(), key };
        if let Err(error) = kept.write(vec![AcmeChange::PutAccount(row)]).await {
            tracing::error!(directory = %self.directory, %error, "this account would not survive a restart");
        }
        Ok(account)
    }

    fn builder(&self) -> AccountBuilder {
        Account::builder_with_http(Box::new(Http::new(self.tls.clone())))
    }

    /// Places an order.
    pub(crate) async fn order(&self, account: &Account, name: &Name) -> Result<Order, Error> {
        let identifiers = [Identifier::Dns(name.to_string())];
        account.new_order(&NewOrder::new(&identifiers)).await
    }

    /// Has the account looked up again: the authority does not know it any more.
    pub(crate) fn forget_account(&self) {
        self.remember(None);
    }

    fn known(&self) -> Option<Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, account: Option<Account>) {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = account;
    }
}

/// Whether the authority knows no account of ours.
pub(crate) fn is_unknown_account(problem: &Problem) -> bool {
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}
