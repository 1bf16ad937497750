//! Registering, reading and changing users.

use std::sync::Arc;

use lightning_mesh::{
    clock::Clock,
    config::Secret,
    etag,
    identity::{Caller, DEFAULT_ORGANIZATION},
};

use super::{
    Auth,
    directory::{change_of, change_of_list, cut},
    is_local, must_hold, organization_of,
};
use crate::{
    Error, NewUser,
    audit::{Event, Outcome},
    config::Registration,
    contract,
    domain::{
        UserId,
        directory::Directory,
        permissions::{self, Role},
        principals::Principal,
        users::{Change, Draft, User},
    },
    error::{CredentialError, DirectoryError},
    passwords::{self, Passwords},
    store::{Changed, Slice, Store},
};

/// How often a change is tried again when others change the same user, before it is given up.
const ATTEMPTS: usize = 3;

/// Whether somebody has a permission, and why.
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

/// Who a caller is.
pub(crate) struct Profile {
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) user: Option<User>,
    pub(crate) roles: Vec<String>,
    pub(crate) permissions: Vec<String>,
}

impl Auth {
    /// Registers a user. The first one becomes admin.
    pub(crate) async fn register(
        self: &Arc<Self>,
        caller: &Caller,
        draft: Draft,
        password: &Secret,
    ) -> Result<User, Error> {
        let is_first = self.store.users().await? == 0;
        let place = self.place_for(caller, &draft, is_first, &self.access.directory())?;
        passwords::check(password.expose(), &draft.username, &draft.email)
            .map_err(Error::PasswordWeak)?;
        let hash = self.passwords.hash(password).await?;
        let now = self.clock.now();
        let user = |place: Place| {
            let id = UserId::generate();
            draft.clone().into_user(id, place.organization_id, place.roles, now)
        };
        if is_first {
            let user = user(place);
            if self.store.insert_first_user(&user, &hash).await? {
                return self.registered(caller, user).await;
            }
        }
        for _ in 0..ATTEMPTS {
            // What counted a moment ago counts no more if somebody else was first.
            let directory = self.access.directory();
            let user = user(self.place_for(caller, &draft, false, &directory)?);
            if self.store.insert_user(&user, &hash, directory.number).await? {
                return self.registered(caller, user).await;
            }
            self.access.refresh().await?;
        }
        Err(Error::EtagMismatch)
    }

    async fn registered(self: &Arc<Self>, caller: &Caller, user: User) -> Result<User, Error> {
        self.access.changed().await;
        self.welcome(&user);
        tracing::info!(user_id = %user.id, roles = ?user.roles, "user registered");
        let event = Event::by(caller, "user.created", Outcome::Success)
            .on("user", user.id.as_str())
            .with("username", &user.username)
            .with("roles_after", user.roles.join(" "));
        let event = Event { organization_id: user.organization_id.clone(), ..event };
        self.audited(&event).await?;
        Ok(user)
    }

    /// The organisation and the roles that a new user gets, or why the caller may not register one.
    fn place_for(
        &self,
        caller: &Caller,
        draft: &Draft,
        is_first: bool,
        directory: &Directory,
    ) -> Result<Place, Error> {
        let default = || DEFAULT_ORGANIZATION.to_owned();
        if is_first {
            let may = is_local(caller) || caller.is_service() || caller.permits("auth.write");
            let place = Place { organization_id: default(), roles: vec![Role::Admin.into()] };
            return if may { Ok(place) } else { Err(Error::FirstUserElsewhere) };
        }
        if !is_local(caller) && caller.permits("auth.write") {
            let organization_id = self.organization_for(caller, draft, directory)?;
            let roles = match draft.roles.as_slice() {
                [] => vec![Role::Viewer.into()],
                roles => roles.to_vec(),
            };
            self.may_give_roles(caller, directory, &organization_id, &roles)?;
            return Ok(Place { organization_id, roles });
        }
        if self.config.registration == Registration::Open {
            let plain = draft.roles.iter().all(|role| role == Role::Viewer.name());
            let here = draft.organization_id.as_deref().is_none_or(|id| id == DEFAULT_ORGANIZATION);
            return if plain && here {
                Ok(Place { organization_id: default(), roles: vec![Role::Viewer.into()] })
            } else {
                Err(Error::Denied { permission: "auth.write".to_owned() })
            };
        }
        Err(if is_local(caller) { Error::OpenModeEnded } else { Error::RegistrationClosed })
    }

    /// The organisation that an admin makes a member of: their own, or as the operator any.
    fn organization_for(
        &self,
        caller: &Caller,
        draft: &Draft,
        directory: &Directory,
    ) -> Result<String, Error> {
        let own = match caller.organization_id.as_str() {
            "" => DEFAULT_ORGANIZATION,
            id => id,
        };
        let wanted = draft.organization_id.as_deref().unwrap_or(own);
        let is_visible = wanted == own || caller.permits("organizations.write");
        if !is_visible || directory.organization(wanted).is_none() {
            return Err(Error::Directory(DirectoryError::OrganizationNotFound { id: cut(wanted) }));
        }
        Ok(wanted.to_owned())
    }

    pub(crate) async fn user(&self, id: &str) -> Result<User, Error> {
        let unknown = || Error::UserNotFound { id: id.chars().take(128).collect() };
        let known = UserId::parse(id).map_err(|_| unknown())?;
        self.store.user(&known).await?.ok_or_else(unknown)
    }

    /// Users of the caller's organisation.
    pub(crate) async fn users(
        &self,
        caller: &Caller,
        slice: &Slice,
        username: Option<&str>,
        email: Option<&str>,
    ) -> Result<Vec<User>, Error> {
        self.store.users_in(slice, organization_of(caller)?, username, email).await
    }

    /// Changes a user of the caller's organisation. Empty `etag`: whatever its revision is.
    pub(crate) async fn update_user(
        &self,
        caller: &Caller,
        id: &str,
        change: &Change,
        etag: &str,
    ) -> Result<User, Error> {
        for _ in 0..ATTEMPTS {
            let user = self.user_in(caller, id).await?;
            if is_local(caller) {
                return Err(Error::OpenModeEnded);
            }
            if !etag::matches(etag, user.revision) {
                return Err(Error::EtagMismatch);
            }
            let now = self.clock.now();
            let changed = user.changed(change.clone(), now).map_err(Error::user_invalid)?;
            let directory = self.access.directory();
            let added: Vec<String> =
                changed.roles.iter().filter(|role| !user.roles.contains(role)).cloned().collect();
            self.may_give_roles(caller, &directory, &user.organization_id, &added)?;
            // Nobody changes somebody who may do more: the address alone could be used to become them.
            let held = self.principal_of(&user).permissions;
            if caller.user_id() != Some(user.id.as_str()) {
                must_hold(caller, &held)?;
            }
            match self.store.update_user(&changed, directory.number, now).await? {
                Changed::Yes => {
                    self.access.changed().await;
                    tracing::info!(user_id = %changed.id, disabled = changed.disabled, "user changed");
                    let details = difference(&user, &changed);
                    let resource = ("user", changed.id.as_str());
                    self.note(caller, "user.updated", resource, details).await?;
                    return Ok(changed);
                }
                Changed::LastAdmin => return Err(Error::LastAdmin),
                Changed::Stale => {}
                Changed::Moved => self.access.refresh().await?,
            }
        }
        Err(Error::EtagMismatch)
    }

    /// Who the caller is.
    pub(crate) async fn profile(&self, caller: &Caller) -> Result<Profile, Error> {
        let user = match caller.user_id() {
            Some(id) => Some(self.user(id).await?),
            None => None,
        };
        let subject =
            user.as_ref().map_or_else(|| caller.subject.clone(), |user| user.id.to_string());
        let name = user.as_ref().map_or_else(|| caller.name.clone(), |user| user.name().to_owned());
        let (roles, permissions) = (caller.roles.clone(), caller.permissions.clone());
        Ok(Profile { subject, name, user, roles, permissions })
    }

    /// Whether the caller, or the user with this id, has a permission.
    pub(crate) async fn check_permission(
        &self,
        caller: &Caller,
        permission: &str,
        user_id: &str,
    ) -> Result<Verdict, Error> {
        let contract = contract::permissions();
        if !contract.iter().any(|known| known == permission) {
            let shown: String = permission.chars().take(100).collect();
            return Err(Error::Credential(CredentialError::ScopeInvalid {
                what: format!("no method needs a permission {shown:?}"),
            }));
        }
        if user_id.is_empty() || caller.user_id() == Some(user_id) {
            return Ok(self.verdict_of_caller(caller, permission));
        }
        if !caller.permits("auth.read") {
            return Err(Error::UserNotFound { id: user_id.chars().take(128).collect() });
        }
        let user = self.user_in(caller, user_id).await?;
        if !self.may_act(&user) {
            let reason = "the user is disabled, stopped, or of a disabled organisation".to_owned();
            return Ok(Verdict { allowed: false, reason });
        }
        let Principal { roles, organization_id, .. } = self.principal_of(&user);
        Ok(self.verdict(&organization_id, &roles, permission))
    }

    fn verdict_of_caller(&self, caller: &Caller, permission: &str) -> Verdict {
        let by_role = self.verdict(&caller.organization_id, &caller.roles, permission);
        match (caller.permits(permission), by_role.allowed) {
            (true, true) | (false, false) => by_role,
            (true, false) => Verdict { allowed: true, reason: format!("{} may", caller.subject) },
            (false, true) => Verdict {
                allowed: false,
                reason: format!(
                    "{}, but the scopes of this credential leave it out",
                    by_role.reason
                ),
            },
        }
    }

    /// Which of these roles holds a permission.
    fn verdict(&self, organization: &str, roles: &[String], permission: &str) -> Verdict {
        let directory = self.access.directory();
        let holds = |role: &&String| {
            let one = [(*role).clone()];
            let held = directory.permissions_of(organization, &one, contract::permissions());
            permissions::allows(&held, permission)
        };
        match roles.iter().find(holds) {
            Some(role) => Verdict { allowed: true, reason: format!("the role {role} holds it") },
            None if roles.is_empty() => {
                Verdict { allowed: false, reason: "there is no role".to_owned() }
            }
            None => Verdict {
                allowed: false,
                reason: format!("none of the roles holds it: {}", roles.join(", ")),
            },
        }
    }
}

/// Where a new user belongs.
struct Place {
    organization_id: String,
    roles: Vec<String>,
}

/// What changed of a user, for the audit trail. The address is only named: it is nobody else's business.
fn difference(old: &User, new: &User) -> Vec<(&'static str, String)> {
    let mut details = change_of_list(("roles_before", "roles_after"), &old.roles, &new.roles);
    let words = |disabled: bool| if disabled { "true" } else { "false" };
    details.extend(change_of(
        ("disabled_before", words(old.disabled)),
        ("disabled_after", words(new.disabled)),
    ));
    if old.email != new.email {
        details.push(("email", "changed".to_owned()));
    }
    if old.display_name != new.display_name {
        details.push(("display_name", "changed".to_owned()));
    }
    details
}

/// Creates a user for the command line, whose user owns the machine and needs no further authority.
pub(crate) async fn create(store: &Store, clock: &Clock, user: NewUser) -> Result<UserId, Error> {
    let draft =
        Draft::try_new(&user.username, &user.email, "", user.roles).map_err(Error::user_invalid)?;
    passwords::check(user.password.expose(), &draft.username, &draft.email)
        .map_err(Error::PasswordWeak)?;
    let directory = store.directory().await?;
    let organization = user.organization.unwrap_or_else(|| DEFAULT_ORGANIZATION.to_owned());
    if directory.organization(&organization).is_none() {
        return Err(Error::Directory(DirectoryError::OrganizationNotFound {
            id: cut(&organization),
        }));
    }
    if let Some(role) = directory.unknown_role(&organization, &draft.roles) {
        return Err(Error::RoleUnknown { role: cut(role) });
    }
    let hash = Passwords::new(1, 0).hash(&user.password).await?;
    let (id, now) = (UserId::generate(), clock.now());
    if organization == DEFAULT_ORGANIZATION {
        let roles = vec![Role::Admin];
        let first = draft.clone().into_user(id.clone(), organization.clone(), roles, now);
        if store.insert_first_user(&first, &hash).await? {
            return Ok(id);
        }
    }
    let roles = match draft.roles.as_slice() {
        [] => vec![Role::Viewer.into()],
        roles => roles.to_vec(),
    };
    let user = draft.into_user(id.clone(), organization, roles, now);
    if !store.insert_user(&user, &hash, directory.number).await? {
        return Err(Error::EtagMismatch);
    }
    Ok(id)
}
