//! TL objects with every optional field absent: documents and their media.

use grammers_tl_types::{enums, types};

/// A document without previews, whose only attribute is its name.
pub(crate) fn document(
    id: i64,
    access_hash: i64,
    dc_id: i32,
    date: i32,
    document: &crate::content::Document,
) -> types::Document {
    let name = types::DocumentAttributeFilename {
        file_name: document.name.clone(),
    };
    types::Document {
        id,
        access_hash,
        file_reference: Vec::new(),
        date,
        mime_type: document.mime_type.clone(),
        size: i64::try_from(document.bytes.len()).unwrap_or(i64::MAX),
        thumbs: None,
        video_thumbs: None,
        dc_id,
        attributes: vec![name.into()],
    }
}

/// A message's media that is a document.
pub(crate) fn document_media(document: types::Document) -> enums::MessageMedia {
    types::MessageMediaDocument {
        nopremium: false,
        spoiler: false,
        video: false,
        round: false,
        voice: false,
        document: Some(document.into()),
        alt_documents: None,
        video_cover: None,
        video_timestamp: None,
        ttl_seconds: None,
    }
    .into()
}
