//! `ApiKeyService`.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, api_key_service_server::ApiKeyService};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{Api, unkept};
use crate::{
    Error,
    convert::{self, List},
    store::Which,
};

/// What keys can be filtered by.
const KEY_FIELDS: [&str; 3] = ["user_id", "name", "service_account_id"];

#[tonic::async_trait]
impl ApiKeyService for Api {
    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let pb::ListApiKeysRequest { page_size, page_token, filter, order_by } = request;
        let list = List::parse(page_size, &page_token, &order_by, &filter, &KEY_FIELDS)?;
        let which = Which {
            user: list.filter.get("user_id"),
            account: list.filter.get("service_account_id"),
            name: list.filter.get("name"),
        };
        let mut keys = self.auth.api_keys(&caller, &list.slice(), &which).await?;
        let next_page_token =
            list.cut(&mut keys, |key| (key.created_at.as_micros(), key.id.to_string()));
        let api_keys = keys.iter().map(|key| convert::api_key(key, None)).collect();
        Ok(Response::new(pb::ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::ApiKey>, Status> {
        let (caller, mut request) = Caller::split(request)?;
        let repeat = convert::repeat(&caller, &mut request)?;
        let draft = convert::api_key_draft(request, self.clock.now())?;
        let answer = |key: &_, text: &_| convert::api_key(key, Some(text)).encode_to_vec();
        let answer = self.auth.create_api_key(&caller, draft, repeat, answer).await?;
        let key = pb::ApiKey::decode(answer.as_slice()).map_err(Error::from)?;
        Ok(unkept(key))
    }

    async fn delete_api_key(
        &self,
        request: Request<pb::DeleteApiKeyRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.delete_api_key(&caller, &request.id).await?;
        Ok(Response::new(()))
    }
}
