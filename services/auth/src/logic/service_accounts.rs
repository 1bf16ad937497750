//! Service accounts: making, changing and deleting them.

use lightning_mesh::{etag, identity::Caller};

use super::{
    Auth, check_scopes,
    directory::{change_of, change_of_list, cut, invalid},
    must_hold, organization_of,
};
use crate::{
    Error, contract,
    domain::{
        directory::Directory,
        permissions,
        service_accounts::{Change, MAX_ACCOUNTS, ServiceAccount},
    },
    error::DirectoryError,
    store::{Slice, changes},
};

impl Auth {
    /// A service account of the caller's organisation.
    pub(crate) fn account(&self, caller: &Caller, id: &str) -> Result<ServiceAccount, Error> {
        let directory = self.access.directory();
        known(&directory, organization_of(caller)?, id).cloned()
    }

    /// A page of the organisation's service accounts.
    pub(crate) fn accounts(
        &self,
        caller: &Caller,
        slice: &Slice,
        name: Option<&str>,
        agent: Option<&str>,
    ) -> Result<Vec<ServiceAccount>, Error> {
        let directory = self.access.directory();
        let fits = |account: &&ServiceAccount| {
            name.is_none_or(|name| account.name == name)
                && agent.is_none_or(|agent| account.agent_id.as_deref() == Some(agent))
        };
        let all = directory.accounts(organization_of(caller)?).filter(fits).cloned().collect();
        Ok(slice.cut(all, |account| (account.created_at.as_micros(), account.id.to_string())))
    }

    pub(crate) async fn create_account(
        &self,
        caller: &Caller,
        name: String,
        agent_id: Option<String>,
        mut values: Change,
    ) -> Result<ServiceAccount, Error> {
        let organization = organization_of(caller)?;
        let owner = match values.owner_id.as_deref() {
            Some(owner) if !owner.is_empty() => self.user_in(caller, owner).await?.id.to_string(),
            Some(_) | None => caller.user_id().unwrap_or_default().to_owned(),
        };
        values.owner_id = Some(owner);
        let now = self.clock.now();
        let new = ServiceAccount::try_new(organization.to_owned(), name, agent_id, values, now)
            .map_err(Error::field)?;
        if let Some(agent) = &new.agent_id {
            self.must_own_agent(caller, agent).await?;
        }
        self.change_directory(
            |directory| {
                let exists = |what| Error::Directory(DirectoryError::ServiceAccountExists { what });
                if directory.accounts(organization).any(|known| known.name == new.name) {
                    return Err(exists("with this name"));
                }
                if let Some(agent) = &new.agent_id
                    && directory.account_of_agent(agent).is_some()
                {
                    return Err(exists("of this agent"));
                }
                if directory.accounts(organization).count() >= MAX_ACCOUNTS {
                    return Err(Error::TooMany { what: "service accounts", limit: MAX_ACCOUNTS });
                }
                self.check_account(caller, directory, &new)?;
                Ok((changes::insert_account(&new), ()))
            },
            || Error::EtagMismatch,
        )
        .await?;
        let details = vec![
            ("subject", new.subject().full()),
            ("roles_after", new.roles.join(" ")),
            ("permissions_after", new.permissions.join(" ")),
            ("client_ids_after", new.client_ids.join(" ")),
        ];
        let resource = ("service-account", new.id.as_str());
        self.note(caller, "service_account.created", resource, details).await?;
        Ok(new)
    }

    pub(crate) async fn update_account(
        &self,
        caller: &Caller,
        id: &str,
        change: &Change,
        etag: &str,
    ) -> Result<ServiceAccount, Error> {
        let organization = organization_of(caller)?;
        if let Some(owner) = change.owner_id.as_deref().filter(|owner| !owner.is_empty()) {
            self.user_in(caller, owner).await?;
        }
        let now = self.clock.now();
        let (old, new) = self
            .change_directory(
                |directory| {
                    let old = known(directory, organization, id)?;
                    if !etag::matches(etag, old.revision) {
                        return Err(Error::EtagMismatch);
                    }
                    let new = old.changed(change.clone(), now).map_err(Error::field)?;
                    self.may_speak_for(caller, directory, old)?;
                    self.check_account(caller, directory, &new)?;
                    Ok((changes::update_account(&new), (old.clone(), new)))
                },
                || Error::EtagMismatch,
            )
            .await?;
        let mut details = change_of_list(("roles_before", "roles_after"), &old.roles, &new.roles);
        let names = ("permissions_before", "permissions_after");
        details.extend(change_of_list(names, &old.permissions, &new.permissions));
        let names = ("client_ids_before", "client_ids_after");
        details.extend(change_of_list(names, &old.client_ids, &new.client_ids));
        let words = |disabled: bool| if disabled { "true" } else { "false" };
        details.extend(change_of(
            ("disabled_before", words(old.disabled)),
            ("disabled_after", words(new.disabled)),
        ));
        if old.jwks != new.jwks {
            details.push(("jwks", "changed".to_owned()));
        }
        let resource = ("service-account", id);
        self.note(caller, "service_account.updated", resource, details).await?;
        Ok(new)
    }

    /// Deletes a service account with its keys. An access token that it has lives on for its minutes:
    /// stop it first to end those too.
    pub(crate) async fn delete_account(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let organization = organization_of(caller)?;
        let name = self
            .change_directory(
                |directory| {
                    let account = known(directory, organization, id)?;
                    self.may_speak_for(caller, directory, account)?;
                    Ok((changes::delete_account(account), account.name.clone()))
                },
                || Error::EtagMismatch,
            )
            .await?;
        let details = vec![("name", name)];
        self.note(caller, "service_account.deleted", ("service-account", id), details).await
    }

    /// Fails unless the caller holds all that a service account may do: whoever gives it a key, a client
    /// or a role can act as it.
    pub(super) fn may_speak_for(
        &self,
        caller: &Caller,
        directory: &Directory,
        account: &ServiceAccount,
    ) -> Result<(), Error> {
        must_hold(caller, &Self::rights_of_account(directory, account))
    }

    /// All that a service account may do, whether or not it may act now.
    pub(super) fn rights_of_account(
        directory: &Directory,
        account: &ServiceAccount,
    ) -> Vec<String> {
        let organization = account.organization_id.as_str();
        let contract = contract::permissions();
        let all = directory.resolve(organization, &account.member(), &account.roles, contract);
        permissions::under(&all.permissions, &account.permissions)
    }

    /// Whether an account can be so: its roles exist, its clients are no other's, and the caller holds
    /// all that it may do.
    fn check_account(
        &self,
        caller: &Caller,
        directory: &Directory,
        new: &ServiceAccount,
    ) -> Result<(), Error> {
        let organization = new.organization_id.as_str();
        self.may_give_roles(caller, directory, organization, &new.roles)?;
        check_scopes(organization, &new.permissions, &caller.permissions)?;
        for client in &new.client_ids {
            let other = directory.account_of_client(client);
            if other.is_some_and(|other| other.id != new.id) {
                let text = format!("names {:?}, which speaks for another account", cut(client));
                return Err(invalid("service_account.client_ids", text));
            }
        }
        self.may_speak_for(caller, directory, new)
    }
}

fn known<'a>(
    directory: &'a Directory,
    organization: &str,
    id: &str,
) -> Result<&'a ServiceAccount, Error> {
    directory
        .account(id)
        .filter(|account| account.organization_id == organization)
        .ok_or_else(|| Error::Directory(DirectoryError::ServiceAccountNotFound { id: cut(id) }))
}
