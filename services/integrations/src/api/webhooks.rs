//! `WebhookService`.

use std::sync::Arc;

use lightning_mesh::{fault::Fault, idempotency::Key, identity::Caller, page::Page};
use lightning_proto::integrations::v1::{
    DeleteWebhookRequest, GetWebhookRequest, ListWebhookEventsRequest, ListWebhookEventsResponse,
    ListWebhooksRequest, ListWebhooksResponse, ReceiveWebhookRequest, ReceiveWebhookResponse,
    RegisterWebhookRequest, Webhook, webhook_service_server::WebhookService,
};
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::{convert, hub::Made, store::Listing, webhooks::Webhooks};

const FILTERS: [&str; 2] = ["name", "workflow_id"];

/// Answers for the webhooks.
pub(crate) struct WebhookApi {
    pub(crate) webhooks: Arc<Webhooks>,
}

#[tonic::async_trait]
impl WebhookService for WebhookApi {
    async fn get_webhook(
        &self,
        request: Request<GetWebhookRequest>,
    ) -> Result<Response<Webhook>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::webhook_id(&request.id)?;
        let webhook = self.webhooks.get(caller.organization()?, &id).await?;
        Ok(Response::new(convert::webhook(&webhook)))
    }

    async fn list_webhooks(
        &self,
        request: Request<ListWebhooksRequest>,
    ) -> Result<Response<ListWebhooksResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let ListWebhooksRequest { page_size, page_token, filter, order_by } = request;
        let (page, filter) = convert::page(page_size, &page_token, &order_by, &filter, FILTERS)?;
        let listing = convert::listing(caller.organization()?, &page, &filter, FILTERS);
        let mut found = self.webhooks.list(&listing).await?;
        let more = found.len() > page.size();
        found.truncate(page.size());
        let last = found.last().map(|last| (last.created_at.as_micros(), last.id.as_str()));
        Ok(Response::new(ListWebhooksResponse {
            next_page_token: page.next(more, last),
            webhooks: found.iter().map(convert::webhook).collect(),
        }))
    }

    async fn register_webhook(
        &self,
        request: Request<RegisterWebhookRequest>,
    ) -> Result<Response<Webhook>, Status> {
        let (caller, mut request) = Caller::split(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let repeat = Key::of(&caller, "RegisterWebhook", request_id, &request)?;
        let registration = convert::registration(request)?;
        let encode = |made: &_| convert::webhook(made).encode_to_vec();
        let webhook = match self.webhooks.register(&caller, registration, repeat, encode).await? {
            (Made::New(webhook), secret) => Webhook { secret, ..convert::webhook(&webhook) },
            (Made::Before(reply), _) => {
                let before: Webhook = super::integrations::kept(&reply)?;
                // The kept answer holds no secret in clear; it is opened from the webhook again.
                let id = convert::webhook_id(&before.id)?;
                let secret = self.webhooks.secret(&caller, &id).await?;
                Webhook { secret, ..before }
            }
        };
        Ok(Response::new(webhook))
    }

    async fn delete_webhook(
        &self,
        request: Request<DeleteWebhookRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::webhook_id(&request.id)?;
        self.webhooks.delete(&caller, &id).await?;
        Ok(Response::new(()))
    }

    async fn receive_webhook(
        &self,
        request: Request<ReceiveWebhookRequest>,
    ) -> Result<Response<ReceiveWebhookResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let id = convert::webhook_id(&message.id)?;
        let delivery = convert::delivery(&metadata, message.body);
        let event_id = self.webhooks.receive(&id, delivery).await?;
        Ok(Response::new(ReceiveWebhookResponse { event_id }))
    }

    async fn list_webhook_events(
        &self,
        request: Request<ListWebhookEventsRequest>,
    ) -> Result<Response<ListWebhookEventsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let ListWebhookEventsRequest { webhook_id, page_size, page_token } = request;
        // The webhook stands where a filter would: a token of another webhook is refused.
        let page = Page::parse(page_size, &page_token, "", &webhook_id, &convert::ORDERS[..1])
            .map_err(Fault::from)?;
        let listing = Listing {
            organization: caller.organization()?,
            newest_first: true,
            after: page.after(),
            limit: page.size() + 1,
            equal: [None; 2],
        };
        let mut found = self.webhooks.events(&convert::webhook_id(&webhook_id)?, &listing).await?;
        let more = found.len() > page.size();
        found.truncate(page.size());
        let last = found.last().map(|last| (last.created_at.as_micros(), last.id.as_str()));
        Ok(Response::new(ListWebhookEventsResponse {
            next_page_token: page.next(more, last),
            events: found.iter().map(convert::event).collect(),
        }))
    }
}
