//! Who may do what as of now, whatever kind of principal it is.
//!
//! Roles and groups come out of the directory in memory; only a user is read from the database.

use lightning_mesh::identity::DEFAULT_ORGANIZATION;

use super::Auth;
use crate::{
    Error, contract,
    domain::{
        UserId,
        clients::{Client, OWN_CLIENT},
        permissions,
        principals::{Principal, Subject},
        service_accounts::ServiceAccount,
        users::User,
    },
};

impl Auth {
    /// Whether a user may act: not disabled, not stopped, of an organisation that is not disabled.
    pub(crate) fn may_act(&self, user: &User) -> bool {
        let directory = self.access.directory();
        let is_stopped = directory.is_stopped(&format!("user:{}", user.id));
        !user.disabled && !is_stopped && directory.acts(&user.organization_id)
    }

    /// A user with everything that roles and groups give.
    pub(crate) fn principal_of(&self, user: &User) -> Principal {
        let (organization, contract) = (user.organization_id.as_str(), contract::permissions());
        let subject = Subject::User(user.id.to_string());
        let directory = self.access.directory();
        let all = directory.resolve(organization, &subject.full(), &user.roles, contract);
        Principal {
            subject,
            name: user.name().to_owned(),
            organization_id: user.organization_id.clone(),
            roles: all.roles,
            groups: all.groups,
            permissions: all.permissions,
        }
    }

    /// Whoever a token speaks for, as they are now. [`Error::grant_invalid()`] if they are gone, disabled
    /// or stopped.
    pub(crate) async fn principal(&self, subject: &Subject) -> Result<Principal, Error> {
        match subject {
            Subject::User(id) => {
                let id = UserId::parse(id).map_err(|_| Error::grant_invalid())?;
                let user = self.acting_user(&id).await?;
                Ok(self.principal_of(&user))
            }
            Subject::ServiceAccount(id) => {
                let account = self.service_account(id).ok_or_else(Error::grant_invalid)?;
                // An agent's own identity has one name only, by which it can be stopped.
                if account.agent_id.is_some() {
                    return Err(Error::grant_invalid());
                }
                self.principal_of_account(&account).ok_or_else(Error::grant_invalid)
            }
            Subject::Agent(id) => {
                let directory = self.access.directory();
                let account = directory.account_of_agent(id).ok_or_else(Error::grant_invalid)?;
                self.principal_of_account(account).ok_or_else(Error::grant_invalid)
            }
            Subject::Client(id) => {
                let client = self.client(id).await?.ok_or_else(Error::grant_invalid)?;
                self.own_principal_of_client(&client).ok_or_else(Error::grant_invalid)
            }
        }
    }

    /// The service account with this id.
    pub(crate) fn service_account(&self, id: &str) -> Option<ServiceAccount> {
        self.access.directory().account(id).cloned()
    }

    /// Whom a client acts as in its own name: the service account that names it, or itself.
    pub(super) fn principal_of_client(&self, client: &Client) -> Result<Principal, Error> {
        let directory = self.access.directory();
        let principal = match directory.account_of_client(&client.id) {
            Some(account) if account.organization_id == client.organization_id => {
                self.principal_of_account(account)
            }
            Some(_) | None => self.own_principal_of_client(client),
        };
        principal.ok_or_else(Error::grant_invalid)
    }

    /// A service account, or an agent, with everything it may do; none if it may not act.
    pub(crate) fn principal_of_account(&self, account: &ServiceAccount) -> Option<Principal> {
        let subject = account.subject();
        let directory = self.access.directory();
        let organization = account.organization_id.as_str();
        if account.disabled
            || directory.is_stopped(&subject.full())
            || !directory.acts(organization)
        {
            return None;
        }
        let contract = contract::permissions();
        let all = directory.resolve(organization, &account.member(), &account.roles, contract);
        Some(Principal {
            subject,
            name: account.name.clone(),
            organization_id: account.organization_id.clone(),
            roles: all.roles,
            groups: all.groups,
            permissions: permissions::under(&all.permissions, &account.permissions),
        })
    }

    /// A client that speaks for itself: it may do what its scopes say, as far as that can be held in its
    /// organisation.
    fn own_principal_of_client(&self, client: &Client) -> Option<Principal> {
        let directory = self.access.directory();
        let organization = client.organization_id.as_str();
        let own = client.principal();
        let may = client.id != OWN_CLIENT
            && directory.acts(organization)
            && !directory.is_stopped(&own.subject.full());
        let operator = organization == DEFAULT_ORGANIZATION;
        let holdable = permissions::holdable(contract::permissions(), operator);
        let permissions = match operator {
            true => own.permissions.clone(),
            false => permissions::expanded(&own.permissions, &holdable).cloned().collect(),
        };
        may.then_some(Principal { permissions, ..own })
    }
}
