//! Second factors: enrolling, confirming, deleting, and checking what is typed at a login.

use lightning_mesh::clock::Timestamp;
use qrcode::{EcLevel, QrCode, render::svg};

use super::{Auth, credentials::Recent};
use crate::{
    Error,
    audit::Outcome,
    domain::{
        FactorId, UserId, Violation,
        factors::{self, App, Factor, Kind, MAX_FACTORS, MAX_NAME},
        is_line,
        users::User,
    },
    error::FactorError,
    lockout::Axis,
};

/// After which time an enrolment that was not confirmed is forgotten.
const ABANDONED: std::time::Duration = std::time::Duration::from_hours(1);

/// What an authenticator app needs. Has no `Debug`: it holds the secret.
pub(crate) struct Enrolment {
    pub(crate) factor: Factor,
    /// In base32.
    pub(crate) secret: String,
    pub(crate) address: String,
    /// The address as a QR code, an SVG picture.
    pub(crate) picture: String,
}

impl Auth {
    /// The factors of a user and how many recovery codes are left.
    pub(crate) async fn factors(&self, user: &UserId) -> Result<(Vec<Factor>, i64), Error> {
        Ok((self.store.factors(user).await?, self.store.codes_left(user).await?))
    }

    /// What a password login of this user needs beside the password: one of these, or nothing. Passkeys
    /// are not among them: they are logins of their own.
    pub(crate) async fn second_factors(&self, user: &UserId) -> Result<Vec<Factor>, Error> {
        let mut factors = self.store.factors(user).await?;
        factors.retain(|factor| factor.kind == Kind::Totp && factor.confirmed_at.is_some());
        Ok(factors)
    }

    /// Begins with an authenticator app.
    pub(crate) async fn enroll_totp(
        &self,
        recent: &Recent,
        name: &str,
    ) -> Result<Enrolment, Error> {
        let user = &recent.user;
        let name = factor_name(name, "Authenticator app")?;
        self.check_room(&user.id).await?;
        let now = self.clock.now();
        let secret = App::secret();
        let app = App::new(&secret, &self.issuer_host(), user);
        let address = app.and_then(|app| app.address()).ok_or(Error::Row { what: "factor" })?;
        let id = FactorId::generate();
        let factor = Factor {
            data: self.seal_text(&about(&id), &secret),
            id,
            user_id: user.id.clone(),
            kind: Kind::Totp,
            name,
            credential_id: None,
            counter: -1,
            confirmed_at: None,
            created_at: now,
            used_at: None,
        };
        self.store.insert_factor(&factor, now.before(ABANDONED)).await?;
        let picture = picture(&address)?;
        let secret = totp_rs::Secret::from(secret.to_vec()).to_base32();
        Ok(Enrolment { factor, secret, address, picture })
    }

    /// Confirms an app by a code of it. Answers recovery codes if the user had none.
    pub(crate) async fn confirm_totp(
        &self,
        recent: &Recent,
        id: &str,
        code: &str,
    ) -> Result<Vec<String>, Error> {
        let user = &recent.user;
        let factors = self.store.factors(&user.id).await?;
        let factor = own(factors, id)?;
        if factor.kind != Kind::Totp || factor.confirmed_at.is_some() {
            return Err(Error::Factor(FactorError::FactorNotFound { id: shown(id) }));
        }
        let axes = [Axis::Account(&user.id), Axis::Factor(&user.id)];
        let now = self.clock.now();
        let attempt = self.lockout.begin(&axes, now)?;
        let Some(step) = self.step_of(user, &factor, &factors::typed_code(code), now)? else {
            attempt.failed(now);
            return Err(wrong("code", "is not the one that the app shows now"));
        };
        // Not `succeeded`: whoever enrols a new app knows its codes, which clears nothing.
        drop(attempt);
        let has_codes = self.store.codes_left(&user.id).await? > 0;
        let codes = if has_codes { Vec::new() } else { factors::recovery_codes() };
        let hashes = hashes(&user.id, &codes);
        if !self.store.confirm_factor(&factor, step, &hashes, now).await? {
            return Err(Error::Factor(FactorError::FactorNotFound { id: shown(id) }));
        }
        self.audit(&recent.event("factor.confirmed", Outcome::Success).on("factor", factor.id));
        Ok(codes)
    }

    /// Deletes one of the caller's factors.
    pub(crate) async fn delete_factor(&self, recent: &Recent, id: &str) -> Result<(), Error> {
        let user = &recent.user;
        let unknown = || Error::Factor(FactorError::FactorNotFound { id: shown(id) });
        let known = FactorId::parse(id).map_err(|_| unknown())?;
        if !self.store.delete_factor(&user.id, &known).await? {
            return Err(unknown());
        }
        self.audit(&recent.event("factor.deleted", Outcome::Success).on("factor", known));
        Ok(())
    }

    /// Replaces the caller's recovery codes.
    pub(crate) async fn renew_codes(&self, recent: &Recent) -> Result<Vec<String>, Error> {
        let user = &recent.user;
        if self.second_factors(&user.id).await?.is_empty() {
            return Err(Error::Factor(FactorError::LoginTooOld(
                "recovery codes stand for a second factor; confirm an authenticator app first",
            )));
        }
        let codes = factors::recovery_codes();
        self.store.replace_codes(&user.id, &hashes(&user.id, &codes)).await?;
        self.audit(
            &recent
                .event("recovery_codes.renewed", Outcome::Success)
                .on("user", user.id.to_string()),
        );
        Ok(codes)
    }

    /// Checks a code that was typed after the password: of an app, or a recovery code. True uses it up.
    pub(super) async fn is_code_right(
        &self,
        user: &User,
        code: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let typed = factors::typed_code(code);
        for factor in self.second_factors(&user.id).await? {
            if let Some(step) = self.step_of(user, &factor, &typed, now)? {
                return self.store.use_step(&factor.id, step, now).await;
            }
        }
        match factors::recovery_hash(&user.id, code) {
            Some(hash) => {
                let is_right = self.store.use_code(&user.id, &hash, now).await?;
                if is_right {
                    tracing::info!(user_id = %user.id, "a recovery code was used");
                }
                Ok(is_right)
            }
            None => Ok(false),
        }
    }

    fn step_of(
        &self,
        user: &User,
        factor: &Factor,
        code: &str,
        now: Timestamp,
    ) -> Result<Option<i64>, Error> {
        let secret = self.open_text(&about(&factor.id), &factor.data)?;
        let app = App::new(&secret, "", user).ok_or(Error::Row { what: "factor" })?;
        Ok(app.step_of(code, now, factor.counter))
    }

    /// Fails if the user can have no more factors.
    pub(super) async fn check_room(&self, user: &UserId) -> Result<(), Error> {
        let is_full = self.store.factors(user).await?.len() >= MAX_FACTORS;
        if is_full {
            Err(Error::Factor(FactorError::TooManyFactors { most: MAX_FACTORS }))
        } else {
            Ok(())
        }
    }
}

/// What a factor's secret is sealed for: one of another row does not open.
fn about(id: &FactorId) -> String {
    format!("factor:{id}")
}

fn hashes(user: &UserId, codes: &[String]) -> Vec<String> {
    codes.iter().filter_map(|code| factors::recovery_hash(user, code)).collect()
}

fn own(factors: Vec<Factor>, id: &str) -> Result<Factor, Error> {
    let own = factors.into_iter().find(|factor| factor.id.as_str() == id);
    own.ok_or_else(|| Error::Factor(FactorError::FactorNotFound { id: shown(id) }))
}

fn shown(id: &str) -> String {
    id.chars().take(128).collect()
}

fn wrong(field: &'static str, text: &str) -> Error {
    Error::Factor(FactorError::FactorInvalid(vec![Violation { field, text: text.to_owned() }]))
}

/// The name of a factor, or a usual one.
pub(super) fn factor_name(typed: &str, usual: &str) -> Result<String, Error> {
    let name = typed.trim();
    if !is_line(name, 0, MAX_NAME) {
        return Err(wrong("name", "must have at most 100 characters and no control characters"));
    }
    Ok(if name.is_empty() { usual.to_owned() } else { name.to_owned() })
}

fn picture(address: &str) -> Result<String, Error> {
    let code = QrCode::with_error_correction_level(address, EcLevel::M)
        .map_err(|_| Error::Row { what: "factor" })?;
    Ok(code
        .render::<svg::Color<'_>>()
        .min_dimensions(200, 200)
        .dark_color(svg::Color("#000"))
        .light_color(svg::Color("#fff"))
        .build())
}
