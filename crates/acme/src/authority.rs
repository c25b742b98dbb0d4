//! One certificate authority, and who we are to it.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use instant_acme::{Account, Error, Identifier, Key, NewOrder, Order};
use probe::Tls;

use crate::http::Http;
use crate::name::Name;

/// An authority that we have an account with, or will have when it is asked for the first time.
pub(crate) struct Authority {
    pub(crate) directory: Box<str>,
    email: Option<Box<str>>,
    tls: Tls,
    /// PKCS #8 in Base64.
    key: Box<str>,
    account: Mutex<Option<Account>>,
}

impl Authority {
    pub(crate) fn new(
        directory: Box<str>,
        email: Option<Box<str>>,
        key: Box<str>,
        tls: Tls,
    ) -> Self {
        Self { directory, email, tls, key, account: Mutex::new(None) }
    }

    /// A key for a new account. Kept before it is used, so that a crash makes no second account:
    /// who asks again with the same key is given the same one (RFC 8555, section 7.3.1).
    pub(crate) fn new_key() -> Result<Box<str>, Error> {
        let (_, key) = Key::generate_pkcs8()?;
        Ok(BASE64_STANDARD.encode(key.secret_pkcs8_der()).into())
    }

    /// Our account.
    pub(crate) async fn account(&self) -> Result<Account, Error> {
        if let Some(account) = self.known() {
            return Ok(account);
        }
        let bad = |_| Error::KeyRejected;
        let der = BASE64_STANDARD.decode(&*self.key).map_err(bad)?;
        let key = Key::from_pkcs8_der(der.as_slice().into())?;
        let der = der.try_into().map_err(|_| Error::KeyRejected)?;
        let builder = Account::builder_with_http(Box::new(Http::new(self.tls.clone())));
        let (account, _) = builder.create_from_key((key, der), self.directory.to_string()).await?;
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
