//! What was there before there were organisations.

use lightning_mesh::identity::Caller;

use super::*;
use crate::domain::{IntegrationId, WebhookId};

const BEFORE: [&str; 3] = [
    "INSERT INTO integrations VALUES ('crm', 'CRM', 'rest_api', '{}', '{}', 1, 1, 1)",
    "INSERT INTO webhooks (id, name, signature_scheme, secret, owner, create_time)
        VALUES ('w', 'W', 'standard', '', '{\"subject\":\"local\",\"name\":\"l\"}', 1)",
    "INSERT INTO webhook_events (webhook_id, id, status, content_type, body, attempts, due_time,
        create_time) VALUES ('w', 'e', 'pending', '', x'', 0, 1, 1)",
];

#[tokio::test]
async fn what_was_there_belongs_to_the_first_organization() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
    let old = Database::open(&settings, "integrations", &MIGRATIONS[..2]).await.unwrap();
    for statement in BEFORE {
        old.execute(statement, params![]).await.unwrap();
    }
    old.close().await;

    let store = Store::open(&settings).await.unwrap();
    let integration = IntegrationId::parse("crm").unwrap();
    let webhook = WebhookId::parse("w").unwrap();
    assert_eq!(store.integration("default", &integration).await.unwrap().name, "CRM");
    assert!(store.integration("other", &integration).await.is_err());
    let owner = store.webhook("default", &webhook).await.unwrap().owner;
    let kept = Caller::new("local", "l", std::iter::empty::<String>()).member_of("default");
    assert_eq!(owner, kept);
    assert!(store.webhook("other", &webhook).await.is_err());
    let due = store.due_events(Timestamp::from_micros(2), 9).await.unwrap();
    assert_eq!(due[0].organization_id, "default");
}
