//! The style sheet and the scripts of the pages, under names that hold the hash of their content, so
//! that browsers may keep them for good. Only what is listed is served; no file system is asked.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use crate::secrets;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
    /// The name with a part of the hash in it.
    served_as: String,
}

const FILES: [(&str, &str, &str); 4] = [
    ("account.css", "text/css; charset=utf-8", include_str!("../../assets/account.css")),
    ("mark.svg", "image/svg+xml", include_str!("../../assets/mark.svg")),
    ("passkey.js", "text/javascript; charset=utf-8", include_str!("../../assets/passkey.js")),
    ("send.js", "text/javascript; charset=utf-8", include_str!("../../assets/send.js")),
];

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(name, content_type, content): (&'static str, _, &'static str)| {
        let hash = secrets::hash(content);
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        let served_as = format!("{stem}.{}.{extension}", hash.get(..16).unwrap_or(&hash));
        Asset { name, content_type, content, served_as }
    };
    FILES.into_iter().map(asset).collect()
});

/// Where an asset is served.
pub(crate) fn path(name: &str) -> String {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    format!("/account/assets/{}", found.map_or(name, |asset| &asset.served_as))
}

/// Serves one.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.served_as == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, asset.content).into_response()
}
