//! `AuditService`.

use std::pin::Pin;

use futures_util::{Stream, stream};
use lightning_mesh::{clock::Timestamp, identity::Caller};
use lightning_proto::{
    auth::v1::{self as pb, audit_service_server::AuditService},
    google::api::HttpBody,
};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert::audit as convert;

/// How many events are read at once for an export.
const CHUNK: i64 = 500;
/// The media type of JSON lines.
const LINES: &str = "application/x-ndjson";

#[tonic::async_trait]
impl AuditService for Api {
    type ExportAuditEventsStream = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let convert::Asked { page, query } = convert::asked(&request)?;
        let place = page.after().map(|(sequence, _)| sequence);
        let limit = i64::try_from(page.size() + 1).unwrap_or(i64::MAX);
        let mut links = self.auth.events(&caller, query, true, place, limit).await?;
        let more = links.len() > page.size();
        links.truncate(page.size());
        let next_page_token = page.next(more, links.last().map(|link| (link.sequence, "")));
        let audit_events = links.into_iter().map(convert::event).collect();
        Ok(Response::new(pb::ListAuditEventsResponse { audit_events, next_page_token }))
    }

    async fn export_audit_events(
        &self,
        request: Request<pb::ExportAuditEventsRequest>,
    ) -> Result<Response<Self::ExportAuditEventsStream>, Status> {
        let (caller, request) = Caller::split(request)?;
        let start = request.start_time.as_ref().and_then(Timestamp::from_proto);
        let end = request.end_time.as_ref().and_then(Timestamp::from_proto);
        let query = convert::query(&request.filter, start, end)?;
        let auth = self.auth.clone();
        // The first part comes whether or not there are events, so that there is an answer.
        let first = auth.events(&caller, query.clone(), false, None, CHUNK).await?;
        let parts = stream::try_unfold(Some(first), move |links| {
            let (auth, caller, query) = (auth.clone(), caller.clone(), query.clone());
            async move {
                let Some(links) = links else { return Ok(None) };
                let body = HttpBody {
                    content_type: LINES.to_owned(),
                    data: convert::lines(&links),
                    ..HttpBody::default()
                };
                let place = links.last().map(|link| link.sequence);
                let next = match place {
                    Some(place) => auth.events(&caller, query, false, Some(place), CHUNK).await?,
                    None => Vec::new(),
                };
                Ok(Some((body, Some(next).filter(|next| !next.is_empty()))))
            }
        });
        Ok(Response::new(Box::pin(parts)))
    }

    async fn verify_audit_events(
        &self,
        request: Request<pb::VerifyAuditEventsRequest>,
    ) -> Result<Response<pb::VerifyAuditEventsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let verdict = self.auth.verify_events(&caller, request.start_sequence).await?;
        Ok(Response::new(convert::verdict(verdict)))
    }

    async fn report_events(
        &self,
        request: Request<pb::ReportEventsRequest>,
    ) -> Result<Response<pb::ReportEventsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (entries, dropped) = convert::reported(request, self.clock.now())?;
        self.auth.report(&caller, entries, dropped).await?;
        Ok(Response::new(pb::ReportEventsResponse {}))
    }
}
