//! `OrganizationService`.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, organization_service_server::OrganizationService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert::{List, directory as convert};

#[tonic::async_trait]
impl OrganizationService for Api {
    async fn get_organization(
        &self,
        request: Request<pb::GetOrganizationRequest>,
    ) -> Result<Response<pb::Organization>, Status> {
        let (caller, request) = Caller::split(request)?;
        let organization = self.auth.organization(&caller, &request.id)?;
        Ok(Response::new(convert::organization(organization)))
    }

    async fn list_organizations(
        &self,
        request: Request<pb::ListOrganizationsRequest>,
    ) -> Result<Response<pb::ListOrganizationsResponse>, Status> {
        let (_, pb::ListOrganizationsRequest { page_size, page_token, filter, order_by }) =
            Caller::split(request)?;
        let list = List::parse(page_size, &page_token, &order_by, &filter, &["name"])?;
        let mut all = self.auth.organizations(&list.slice(), list.filter.get("name"));
        let next_page_token =
            list.cut(&mut all, |known| (known.created_at.as_micros(), known.id.clone()));
        let organizations = all.into_iter().map(convert::organization).collect();
        Ok(Response::new(pb::ListOrganizationsResponse { organizations, next_page_token }))
    }

    async fn create_organization(
        &self,
        request: Request<pb::CreateOrganizationRequest>,
    ) -> Result<Response<pb::Organization>, Status> {
        let (caller, request) = Caller::split(request)?;
        let new = request.organization.unwrap_or_default();
        let organization = self.auth.create_organization(&caller, new.id, &new.name).await?;
        Ok(Response::new(convert::organization(organization)))
    }

    async fn update_organization(
        &self,
        request: Request<pb::UpdateOrganizationRequest>,
    ) -> Result<Response<pb::Organization>, Status> {
        let (caller, request) = Caller::split(request)?;
        let convert::Update { id, etag, change } = convert::organization_update(request)?;
        let organization = self.auth.update_organization(&caller, &id, &change, &etag).await?;
        Ok(Response::new(convert::organization(organization)))
    }

    async fn delete_organization(
        &self,
        request: Request<pb::DeleteOrganizationRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.delete_organization(&caller, &request.id).await?;
        Ok(Response::new(()))
    }
}
