//! Stopping somebody everywhere with one call, and letting them go on.
//!
//! What is kept is pushed to every service with the access state, and each refuses the subject by
//! itself, whatever token or key it comes with and whoever it acts for.

use lightning_mesh::identity::Caller;
use lightning_proto::agents::v1::{GetAgentRequest, agent_service_client::AgentServiceClient};
use tonic::Code;

use super::{
    Auth,
    directory::{cut, invalid},
    organization_of,
};
use crate::{
    Error,
    domain::{is_line, principals::Subject},
    error::DirectoryError,
    store::{Stopped, stopped},
};

/// The most that a list shows.
const MOST: i64 = 1_000;

impl Auth {
    /// Stops somebody. Who is stopped stays so, with the first reason.
    pub(crate) async fn stop(
        &self,
        caller: &Caller,
        text: &str,
        reason: &str,
    ) -> Result<Stopped, Error> {
        let organization = organization_of(caller)?;
        let reason = reason.trim();
        if !is_line(reason, 1, 500) {
            let rule = "must have 1 to 500 characters and no control characters";
            return Err(invalid("reason", rule));
        }
        let subject = self.known_subject(caller, text).await?;
        let user = match &subject {
            Subject::User(id) => Some(self.user_in(caller, id).await?.id),
            Subject::ServiceAccount(_) | Subject::Agent(_) | Subject::Client(_) => None,
        };
        let new = Stopped {
            subject: subject.full(),
            organization_id: organization.to_owned(),
            reason: reason.to_owned(),
            by: caller.subject.clone(),
            at: self.clock.now(),
        };
        self.change_directory(
            |_| Ok((stopped::stop(&new, user.as_ref()), ())),
            || Error::LastAdmin,
        )
        .await?;
        tracing::warn!(subject = new.subject, by = new.by, "principal stopped");
        let details = vec![("reason", new.reason.clone())];
        self.note(caller, "principal.stopped", ("principal", &new.subject), details).await?;
        let kept = self.store.stopped_subject(&new.subject, organization).await?;
        kept.ok_or_else(|| unknown(text))
    }

    /// Lets somebody go on. Who is not stopped stays so.
    pub(crate) async fn start(&self, caller: &Caller, text: &str) -> Result<(), Error> {
        let organization = organization_of(caller)?;
        let subject = Subject::parse(text).full();
        if self.store.stopped_subject(&subject, organization).await?.is_none() {
            self.known_subject(caller, text).await?;
            return Ok(());
        }
        self.change_directory(
            |_| Ok((stopped::start(&subject, organization), ())),
            || Error::EtagMismatch,
        )
        .await?;
        tracing::warn!(subject, by = caller.subject, "principal started");
        self.note(caller, "principal.started", ("principal", &subject), Vec::new()).await
    }

    /// Who is stopped in the caller's organisation, the newest first.
    pub(crate) async fn stopped(&self, caller: &Caller) -> Result<Vec<Stopped>, Error> {
        self.store.stopped(organization_of(caller)?, MOST).await
    }

    /// Somebody of the caller's organisation.
    async fn known_subject(&self, caller: &Caller, text: &str) -> Result<Subject, Error> {
        let organization = organization_of(caller)?;
        let subject = Subject::parse(text);
        match &subject {
            Subject::User(id) if text.starts_with("user:") => {
                self.user_in(caller, id).await.map_err(|error| {
                    let is_unknown = matches!(error, Error::UserNotFound { .. });
                    if is_unknown { unknown(text) } else { error }
                })?;
            }
            Subject::ServiceAccount(id) => {
                let directory = self.access.directory();
                let own = directory.account(id).is_some_and(|account| {
                    account.organization_id == organization && account.agent_id.is_none()
                });
                if !own {
                    return Err(unknown(text));
                }
            }
            Subject::Agent(id) => self.must_own_agent(caller, id).await?,
            Subject::User(_) | Subject::Client(_) => return Err(unknown(text)),
        }
        Ok(subject)
    }

    /// Fails unless the agent is one of the caller's organisation. Agents that have no account here are
    /// known to their own service alone. When it cannot be asked, the operator's word is enough: stopping
    /// must work when other things do not.
    pub(super) async fn must_own_agent(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let text = format!("agent:{id}");
        if lightning_mesh::id::check(id).is_err() {
            return Err(unknown(&text));
        }
        if let Some(account) = self.access.directory().account_of_agent(id) {
            let own = account.organization_id == caller.organization_id;
            return if own { Ok(()) } else { Err(unknown(&text)) };
        }
        let request = caller.request(GetAgentRequest { id: id.to_owned() });
        match AgentServiceClient::new(self.agents.clone()).get_agent(request).await {
            Ok(_) => Ok(()),
            Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => {
                Err(unknown(&text))
            }
            Err(_) if caller.permits("organizations.write") => Ok(()),
            Err(status) if status.code() == Code::PermissionDenied => {
                Err(Error::Denied { permission: "agents.read".to_owned() })
            }
            Err(status) => {
                Err(Error::Directory(DirectoryError::AgentsUnreachable(Box::new(status))))
            }
        }
    }
}

fn unknown(subject: &str) -> Error {
    Error::Directory(DirectoryError::PrincipalNotFound { subject: cut(subject) })
}
