//! Accounts and factors.

use lightning_mesh::{clock::Timestamp, fault::Fault, mask::Mask};
use lightning_proto::auth::v1 as pb;

use crate::domain::{
    factors::{Factor, Kind},
    users::Change,
};

/// A change of one's own user, and the etag.
pub(crate) fn account_change(request: pb::UpdateAccountRequest) -> Result<(Change, String), Fault> {
    let allowed = ["display_name", "email"];
    let output_only = ["id", "create_time", "update_time", "etag"];
    let mask = Mask::parse(request.update_mask.as_ref(), &allowed, &output_only)?;
    let user = request.user.unwrap_or_default();
    let has = |field: &str, is_present: bool| {
        if mask.is_empty() { is_present } else { mask.has(field) }
    };
    let change = Change {
        email: has("email", !user.email.is_empty()).then_some(user.email),
        display_name: has("display_name", !user.display_name.is_empty())
            .then_some(user.display_name),
        ..Change::default()
    };
    Ok((change, user.etag))
}

pub(crate) fn factor(factor: &Factor) -> pb::Factor {
    let kind = match factor.kind {
        Kind::Totp => pb::FactorKind::Totp,
        Kind::Passkey => pb::FactorKind::Passkey,
    };
    pb::Factor {
        id: factor.id.to_string(),
        kind: kind.into(),
        name: factor.name.clone(),
        confirmed: factor.confirmed_at.is_some(),
        create_time: Some(factor.created_at.to_proto()),
        last_use_time: factor.used_at.map(Timestamp::to_proto),
    }
}
