//! `PolicyService`.

use lightning_mesh::{authorization, identity::Caller, page::Page};
use lightning_proto::auth::v1::{self as pb, policy_service_server::PolicyService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    Error,
    convert::{List, policies as convert},
    domain::policies::{MAX_NOTE, Published},
    error::PolicyError,
    logic::policies::{Publication, check},
};

#[tonic::async_trait]
impl PolicyService for Api {
    async fn get_policy(
        &self,
        request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::Policy>, Status> {
        let (caller, request) = Caller::split(request)?;
        let policy = self.auth.policy(caller.organization()?, &request.id).await?;
        Ok(Response::new(convert::policy(policy)))
    }

    async fn list_policies(
        &self,
        request: Request<pb::ListPoliciesRequest>,
    ) -> Result<Response<pb::ListPoliciesResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let pb::ListPoliciesRequest { page_size, page_token, filter, order_by } = request;
        let list = List::parse(page_size, &page_token, &order_by, &filter, &["name"])?;
        let name = list.filter.get("name");
        let mut policies = self.auth.policies(caller.organization()?, &list.slice(), name).await?;
        let next_page_token =
            list.cut(&mut policies, |one| (one.created_at.as_micros(), one.id.to_string()));
        let policies = policies.into_iter().map(convert::policy).collect();
        Ok(Response::new(pb::ListPoliciesResponse { policies, next_page_token }))
    }

    async fn create_policy(
        &self,
        request: Request<pb::CreatePolicyRequest>,
    ) -> Result<Response<pb::Policy>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.organization()?;
        let change = convert::draft(request.policy.unwrap_or_default());
        let policy = self.auth.create_policy(&caller, change).await?;
        Ok(Response::new(convert::policy(policy)))
    }

    async fn update_policy(
        &self,
        request: Request<pb::UpdatePolicyRequest>,
    ) -> Result<Response<pb::Policy>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.organization()?;
        let (id, etag, change) = convert::update(request)?;
        let policy = self.auth.update_policy(&caller, &id, &change, &etag).await?;
        Ok(Response::new(convert::policy(policy)))
    }

    async fn delete_policy(
        &self,
        request: Request<pb::DeletePolicyRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.organization()?;
        self.auth.delete_policy(&caller, &request.id, &request.etag).await?;
        Ok(Response::new(()))
    }

    async fn validate_policies(
        &self,
        request: Request<pb::ValidatePoliciesRequest>,
    ) -> Result<Response<pb::ValidatePoliciesResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let checked = self.auth.check_policies(caller.organization()?).await?;
        let faults = match request.text.is_empty() {
            true => checked.faults,
            false => {
                let text = Published {
                    id: String::new(),
                    name: String::new(),
                    description: String::new(),
                    text: request.text,
                };
                check(vec![text]).await?.0
            }
        };
        Ok(Response::new(convert::checked(faults, &checked.draft_etag)))
    }

    async fn dry_run_policies(
        &self,
        request: Request<pb::DryRunPoliciesRequest>,
    ) -> Result<Response<pb::DryRunPoliciesResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let trial = convert::trial(caller.organization()?, request)?;
        let difference = self.auth.dry_run(&caller, trial).await?;
        Ok(Response::new(convert::difference(difference)))
    }

    async fn publish_policies(
        &self,
        request: Request<pb::PublishPoliciesRequest>,
    ) -> Result<Response<pb::PolicyVersion>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.organization()?;
        note_fits(&request.note)?;
        let publication = Publication {
            draft_etag: &request.draft_etag,
            base: request.base_version,
            note: &request.note,
        };
        let version = self.auth.publish_policies(&caller, &publication).await?;
        Ok(Response::new(convert::version(version)))
    }

    async fn get_policy_version(
        &self,
        request: Request<pb::GetPolicyVersionRequest>,
    ) -> Result<Response<pb::PolicyVersion>, Status> {
        let (caller, request) = Caller::split(request)?;
        let version = self.auth.policy_version(caller.organization()?, request.version).await?;
        Ok(Response::new(convert::version(version)))
    }

    async fn list_policy_versions(
        &self,
        request: Request<pb::ListPolicyVersionsRequest>,
    ) -> Result<Response<pb::ListPolicyVersionsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let order = ["version desc"];
        let page = Page::parse(request.page_size, &request.page_token, "", "", &order)
            .map_err(lightning_mesh::fault::Fault::from)?;
        let before = page.after_key().and_then(|key| key.first()?.parse().ok()).unwrap_or(i64::MAX);
        let limit = i64::try_from(page.size() + 1).unwrap_or(i64::MAX);
        let organization = caller.organization()?;
        let mut versions = self.auth.policy_versions(organization, before, limit).await?;
        let more = versions.len() > page.size();
        versions.truncate(page.size());
        let last = versions.last().map(|last| last.version.to_string()).unwrap_or_default();
        let next_page_token = page.next_key(more, &[&last]);
        let versions = versions.into_iter().map(convert::version).collect();
        Ok(Response::new(pb::ListPolicyVersionsResponse { versions, next_page_token }))
    }

    async fn roll_back_policies(
        &self,
        request: Request<pb::RollBackPoliciesRequest>,
    ) -> Result<Response<pb::PolicyVersion>, Status> {
        let (caller, request) = Caller::split(request)?;
        caller.organization()?;
        note_fits(&request.note)?;
        let version = self.auth.roll_back_policies(&caller, request.version, &request.note).await?;
        Ok(Response::new(convert::version(version)))
    }

    async fn get_policy_schema(
        &self,
        _: Request<pb::GetPolicySchemaRequest>,
    ) -> Result<Response<pb::PolicySchema>, Status> {
        Ok(Response::new(pb::PolicySchema { text: authorization::schema().to_owned() }))
    }
}

fn note_fits(note: &str) -> Result<(), Error> {
    let mut wrong = crate::domain::Violations::default();
    let fits = note.len() <= MAX_NOTE && !note.contains('\0');
    wrong.check(fits, "note", "must have at most 2,000 bytes and no NUL");
    wrong.finish(()).map_err(|wrong| Error::Policy(PolicyError::PolicyInvalid(wrong.0)))
}
