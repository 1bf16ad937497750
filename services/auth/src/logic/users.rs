//! Registering, reading and changing users.

use lightning_mesh::{
    clock::Clock,
    config::Secret,
    etag,
    identity::{Caller, DEFAULT_ORGANIZATION},
};

use super::{Auth, is_local, may_grant};
use crate::{
    Error, NewUser,
    config::Registration,
    contract,
    domain::{
        UserId,
        permissions::{self, Role},
        users::{Change, Draft, User, roles_of},
    },
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
        &self,
        caller: &Caller,
        draft: Draft,
        password: &Secret,
    ) -> Result<User, Error> {
        let is_first = self.store.users().await? == 0;
        let roles = self.roles_for(caller, &draft, is_first)?;
        passwords::check(password.expose(), &draft.username, &draft.email)
            .map_err(Error::PasswordWeak)?;
        let hash = self.passwords.hash(password).await?;
        if is_first {
            let organization = DEFAULT_ORGANIZATION.to_owned();
            let user =
                draft.clone().into_user(UserId::generate(), organization, roles, self.clock.now());
            if self.store.insert_first_user(&user, &hash).await? {
                return Ok(self.registered(user).await);
            }
        }
        // Somebody else was first: what counted a moment ago counts no more.
        let roles = self.roles_for(caller, &draft, false)?;
        let organization = match caller.organization_id.as_str() {
            "" => DEFAULT_ORGANIZATION.to_owned(),
            id => id.to_owned(),
        };
        let user = draft.into_user(UserId::generate(), organization, roles, self.clock.now());
        self.store.insert_user(&user, &hash).await?;
        Ok(self.registered(user).await)
    }

    async fn registered(&self, user: User) -> User {
        self.access.changed().await;
        let roles: Vec<_> = user.roles.iter().map(|role| role.name()).collect();
        tracing::info!(user_id = %user.id, ?roles, "user registered");
        user
    }

    /// The roles that a new user gets, or why the caller may not register one.
    fn roles_for(
        &self,
        caller: &Caller,
        draft: &Draft,
        is_first: bool,
    ) -> Result<Vec<Role>, Error> {
        if is_first {
            let may = is_local(caller) || caller.is_service() || caller.permits("auth.write");
            return if may { Ok(vec![Role::Admin]) } else { Err(Error::FirstUserElsewhere) };
        }
        if !is_local(caller) && caller.permits("auth.write") {
            let roles =
                if draft.roles.is_empty() { vec![Role::Viewer] } else { draft.roles.clone() };
            may_grant(caller, &roles)?;
            return Ok(roles);
        }
        if self.config.registration == Registration::Open {
            return match draft.roles.as_slice() {
                [] | [Role::Viewer] => Ok(vec![Role::Viewer]),
                [..] => Err(Error::Denied { permission: "auth.write".to_owned() }),
            };
        }
        Err(if is_local(caller) { Error::OpenModeEnded } else { Error::RegistrationClosed })
    }

    pub(crate) async fn user(&self, id: &str) -> Result<User, Error> {
        let unknown = || Error::UserNotFound { id: id.chars().take(128).collect() };
        let known = UserId::parse(id).map_err(|_| unknown())?;
        self.store.user(&known).await?.ok_or_else(unknown)
    }

    pub(crate) async fn users(
        &self,
        slice: &Slice,
        username: Option<&str>,
        email: Option<&str>,
    ) -> Result<Vec<User>, Error> {
        self.store.users_in(slice, username, email).await
    }

    /// Changes a user. Empty `etag`: whatever its revision is.
    pub(crate) async fn update_user(
        &self,
        caller: &Caller,
        id: &str,
        change: &Change,
        etag: &str,
    ) -> Result<User, Error> {
        for _ in 0..ATTEMPTS {
            let user = self.user(id).await?;
            if is_local(caller) {
                return Err(Error::OpenModeEnded);
            }
            if !etag::matches(etag, user.revision) {
                return Err(Error::EtagMismatch);
            }
            let now = self.clock.now();
            let changed = user.changed(change.clone(), now).map_err(Error::user_invalid)?;
            let added: Vec<Role> =
                changed.roles.iter().filter(|role| !user.roles.contains(role)).copied().collect();
            may_grant(caller, &added)?;
            match self.store.update_user(&changed, now).await? {
                Changed::Yes => {
                    self.access.changed().await;
                    tracing::info!(user_id = %changed.id, disabled = changed.disabled, "user changed");
                    return Ok(changed);
                }
                Changed::LastAdmin => return Err(Error::LastAdmin),
                Changed::Stale => {}
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
            return Err(Error::ScopeInvalid {
                what: format!("no method needs a permission {shown:?}"),
            });
        }
        if user_id.is_empty() || caller.user_id() == Some(user_id) {
            return Ok(self.verdict_of_caller(caller, permission));
        }
        if !caller.permits("auth.read") {
            return Err(Error::UserNotFound { id: user_id.chars().take(128).collect() });
        }
        let user = self.user(user_id).await?;
        if user.disabled {
            return Ok(Verdict { allowed: false, reason: "the user is disabled".to_owned() });
        }
        Ok(verdict(&user.roles, permission))
    }

    fn verdict_of_caller(&self, caller: &Caller, permission: &str) -> Verdict {
        let roles: Vec<Role> = caller.roles.iter().filter_map(|name| Role::parse(name)).collect();
        let by_role = verdict(&roles, permission);
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
}

/// Creates a user for the command line, whose user owns the machine and needs no further authority.
pub(crate) async fn create(store: &Store, clock: &Clock, user: NewUser) -> Result<UserId, Error> {
    let roles = roles_of(&user.roles).map_err(|role| Error::RoleUnknown { role })?;
    let draft =
        Draft::try_new(&user.username, &user.email, "", roles).map_err(Error::user_invalid)?;
    passwords::check(user.password.expose(), &draft.username, &draft.email)
        .map_err(Error::PasswordWeak)?;
    let hash = Passwords::new(1, 0).hash(&user.password).await?;
    let (id, now) = (UserId::generate(), clock.now());
    let first = draft.clone().into_user(
        id.clone(),
        DEFAULT_ORGANIZATION.to_owned(),
        vec![Role::Admin],
        now,
    );
    if !store.insert_first_user(&first, &hash).await? {
        let roles = if draft.roles.is_empty() { vec![Role::Viewer] } else { draft.roles.clone() };
        let organization = DEFAULT_ORGANIZATION.to_owned();
        let user = draft.into_user(id.clone(), organization, roles, now);
        store.insert_user(&user, &hash).await?;
    }
    Ok(id)
}

fn verdict(roles: &[Role], permission: &str) -> Verdict {
    let holds = |role: &Role| {
        permissions::allows(
            &permissions::granted(&[*role], &[], contract::permissions()),
            permission,
        )
    };
    match roles.iter().find(|role| holds(role)) {
        Some(role) => {
            Verdict { allowed: true, reason: format!("the role {} holds it", role.name()) }
        }
        None if roles.is_empty() => {
            Verdict { allowed: false, reason: "there is no role".to_owned() }
        }
        None => {
            let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
            Verdict {
                allowed: false,
                reason: format!("none of the roles holds it: {}", names.join(", ")),
            }
        }
    }
}
