//! Roles: making, changing and deleting them, and what they come to.

use lightning_mesh::{etag, identity::Caller};

use super::{
    Auth, check_scopes,
    directory::{change_of_list, cut, is_operator, nesting},
    organization_of,
};
use crate::{
    Error, contract,
    domain::{
        directory::Directory,
        permissions::{self, ROLES, Role},
        roles::{Change, CustomRole, MAX_ROLES, is_built_in},
    },
    error::DirectoryError,
    store::changes,
};

/// The most users that a refusal names.
const NAMED: i64 = 20;

/// A role, built in or not, with all that it comes to.
pub(crate) struct Shown {
    pub(crate) name: String,
    /// What somebody made; none if it is built in.
    pub(crate) custom: Option<CustomRole>,
    pub(crate) effective: Vec<String>,
}

/// What somebody may do and why.
pub(crate) struct Rights {
    /// Each permission with the ways on which it comes.
    pub(crate) permissions: Vec<(String, Vec<String>)>,
    pub(crate) roles: Vec<String>,
    pub(crate) groups: Vec<String>,
}

impl Auth {
    pub(crate) fn role(&self, caller: &Caller, name: &str) -> Result<Shown, Error> {
        let organization = organization_of(caller)?;
        let directory = self.access.directory();
        if let Some(role) = Role::parse(name) {
            return Ok(built_in(role, organization));
        }
        let role = directory.role(organization, name);
        let role =
            role.ok_or_else(|| Error::Directory(DirectoryError::RoleNotFound { name: cut(name) }))?;
        Ok(shown(&directory, role))
    }

    /// All roles: the built-in ones, then those of the organisation by name.
    pub(crate) fn roles(&self, caller: &Caller) -> Result<Vec<Shown>, Error> {
        let organization = organization_of(caller)?;
        let directory = self.access.directory();
        let built_in = ROLES.into_iter().map(|role| built_in(role, organization));
        Ok(built_in
            .chain(directory.roles(organization).map(|role| shown(&directory, role)))
            .collect())
    }

    pub(crate) async fn create_role(
        &self,
        caller: &Caller,
        name: String,
        values: Change,
    ) -> Result<Shown, Error> {
        let organization = organization_of(caller)?;
        let new = CustomRole::try_new(organization.to_owned(), name, values, self.clock.now())
            .map_err(Error::field)?;
        self.change_directory(
            |directory| {
                if directory.has_role(organization, &new.name) {
                    return Err(Error::Directory(DirectoryError::RoleExists {
                        name: new.name.clone(),
                    }));
                }
                if directory.roles(organization).count() >= MAX_ROLES {
                    return Err(Error::TooMany { what: "roles", limit: MAX_ROLES });
                }
                self.check_role(caller, directory, &new)?;
                Ok((changes::insert_role(&new), ()))
            },
            || Error::EtagMismatch,
        )
        .await?;
        let details = vec![
            ("permissions_after", new.permissions.join(" ")),
            ("inherits_after", new.inherits.join(" ")),
        ];
        self.note(caller, "role.created", ("role", &new.name), details).await?;
        Ok(shown(&self.access.directory(), &new))
    }

    pub(crate) async fn update_role(
        &self,
        caller: &Caller,
        name: &str,
        change: &Change,
        etag: &str,
    ) -> Result<Shown, Error> {
        let organization = organization_of(caller)?;
        let now = self.clock.now();
        let (old, new) = self
            .change_directory(
                |directory| {
                    let old = custom_role(directory, organization, name)?;
                    if !etag::matches(etag, old.revision) {
                        return Err(Error::EtagMismatch);
                    }
                    let new = old.changed(change.clone(), now).map_err(Error::field)?;
                    // Whoever changes a role changes what others may do: what it gives now is as much
                    // theirs to decide about as what it is to give.
                    let given = [old.name.clone()];
                    self.may_give_roles(caller, directory, organization, &given)?;
                    self.check_role(caller, directory, &new)?;
                    Ok((changes::update_role(&new), (old.clone(), new)))
                },
                || Error::EtagMismatch,
            )
            .await?;
        let names = ("permissions_before", "permissions_after");
        let mut details = change_of_list(names, &old.permissions, &new.permissions);
        let names = ("inherits_before", "inherits_after");
        details.extend(change_of_list(names, &old.inherits, &new.inherits));
        self.note(caller, "role.updated", ("role", name), details).await?;
        Ok(shown(&self.access.directory(), &new))
    }

    /// Deletes a role that nobody has.
    pub(crate) async fn delete_role(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let organization = organization_of(caller)?;
        let in_use = |by: Vec<String>| {
            Error::Directory(DirectoryError::RoleInUse { name: cut(name), by: by.join(", ") })
        };
        let deleted = self
            .change_directory(
                |directory| {
                    let role = custom_role(directory, organization, name)?;
                    let by = directory.users_of_role(organization, name);
                    if !by.is_empty() {
                        return Err(in_use(by));
                    }
                    self.may_give_roles(
                        caller,
                        directory,
                        organization,
                        std::slice::from_ref(&role.name),
                    )?;
                    Ok((changes::delete_role(role), ()))
                },
                || in_use(Vec::new()),
            )
            .await;
        if let Err(Error::Directory(DirectoryError::RoleInUse { .. })) = deleted {
            let mut by = self.access.directory().users_of_role(organization, name);
            let users = self.store.users_with_role(organization, name, NAMED).await?;
            by.extend(users.into_iter().map(|user| format!("user:{user}")));
            return Err(in_use(by));
        }
        deleted?;
        self.note(caller, "role.deleted", ("role", name), Vec::new()).await
    }

    /// What a user may do and why: oneself, or with `auth.read` another of the organisation.
    pub(crate) async fn rights(&self, caller: &Caller, user_id: &str) -> Result<Rights, Error> {
        let is_own = caller.user_id() == Some(user_id);
        if !is_own && !caller.permits("auth.read") {
            return Err(Error::UserNotFound { id: cut(user_id) });
        }
        let user = self.user_in(caller, user_id).await?;
        let (organization, contract) = (user.organization_id.as_str(), contract::permissions());
        let member = format!("user:{}", user.id);
        let directory = self.access.directory();
        let all = directory.resolve(organization, &member, &user.roles, contract);
        let sources = directory.sources(organization, &member, &user.roles, contract);
        let (roles, groups) = (all.roles, all.groups);
        Ok(Rights { permissions: sources.into_iter().collect(), roles, groups })
    }

    /// Whether a role can be so: what it names exists, nothing goes round in a circle, and the caller
    /// holds all that it would give.
    fn check_role(
        &self,
        caller: &Caller,
        directory: &Directory,
        new: &CustomRole,
    ) -> Result<(), Error> {
        let organization = new.organization_id.as_str();
        check_scopes(organization, &new.permissions, &caller.permissions)?;
        directory.check_role(new).map_err(|why| nesting("role.inherits", why))?;
        self.may_give_roles(caller, directory, organization, &new.inherits)
    }
}

fn custom_role<'a>(
    directory: &'a Directory,
    organization: &str,
    name: &str,
) -> Result<&'a CustomRole, Error> {
    if is_built_in(name) {
        return Err(Error::Directory(DirectoryError::RoleBuiltIn { name: name.to_owned() }));
    }
    directory
        .role(organization, name)
        .ok_or_else(|| Error::Directory(DirectoryError::RoleNotFound { name: cut(name) }))
}

fn built_in(role: Role, organization: &str) -> Shown {
    let operator = is_operator(organization);
    let contract = contract::permissions();
    let held = role.permissions(contract, operator);
    let holdable = permissions::holdable(contract, operator);
    let effective = permissions::expanded(&held, &holdable).cloned().collect();
    Shown { name: role.name().to_owned(), custom: None, effective }
}

fn shown(directory: &Directory, role: &CustomRole) -> Shown {
    let (organization, contract) = (role.organization_id.as_str(), contract::permissions());
    let held = directory.permissions_of(organization, std::slice::from_ref(&role.name), contract);
    let holdable = permissions::holdable(contract, is_operator(organization));
    let effective = permissions::expanded(&held, &holdable).cloned().collect();
    Shown { name: role.name.clone(), custom: Some(role.clone()), effective }
}
