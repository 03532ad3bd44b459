//! `upload.*`, and sending what was uploaded.

use grammers_tl_types::functions::messages::SendMedia;
use grammers_tl_types::functions::upload::{GetFile, SaveFilePart};
use grammers_tl_types::{enums, types};

use super::messages::{post, reply_to};
use super::{Answer, Context, bots};
use crate::content::Document;
use crate::model::{Draft, Refusal};

/// The most bytes in one answer, and what offsets count in.
const MAX_CHUNK: i32 = 1024 * 1024;
const PRECISE_UNIT: i32 = 1024;
const UNIT: i32 = 4096;

pub(super) fn save_part(context: &mut Context<'_>, request: SaveFilePart) -> Answer<bool> {
    let SaveFilePart {
        file_id,
        file_part,
        bytes,
    } = request;
    let uploads = &mut context.world.uploads;
    uploads.save(context.account, file_id, file_part, bytes)?;
    Ok(true)
}

pub(super) fn send_media(context: &mut Context<'_>, request: SendMedia) -> Answer<enums::Updates> {
    let random_id = request.random_id;
    post(context, &request.peer.clone(), random_id, |context| {
        let document = document(context, request.media)?;
        Ok(Draft {
            text: request.message,
            entities: request.entities.unwrap_or_default(),
            reply_to: reply_to(request.reply_to.as_ref()),
            document: Some(document),
            noforwards: request.noforwards,
            markup: bots::markup(context, request.reply_markup)?,
            ..Draft::default()
        })
    })
}

/// The document that a message is to carry. Only uploaded ones are served.
fn document(context: &Context<'_>, media: enums::InputMedia) -> Answer<Document> {
    let enums::InputMedia::UploadedDocument(media) = media else {
        return Err(Refusal::bad("MEDIA_INVALID"));
    };
    let enums::InputFile::File(file) = media.file else {
        return Err(Refusal::bad("MEDIA_INVALID"));
    };
    let name = media.attributes.into_iter().find_map(|attribute| {
        if let enums::DocumentAttribute::Filename(named) = attribute {
            Some(named.file_name)
        } else {
            None
        }
    });
    let uploads = &context.world.uploads;
    Ok(Document {
        name: name.unwrap_or(file.name),
        bytes: uploads.whole(context.account, file.id, file.parts)?,
        mime_type: media.mime_type,
    })
}

pub(super) fn get_file(context: &mut Context<'_>, request: GetFile) -> Answer<enums::upload::File> {
    let enums::InputFileLocation::InputDocumentFileLocation(location) = request.location else {
        return Err(Refusal::bad("LOCATION_INVALID"));
    };
    let unit = if request.precise { PRECISE_UNIT } else { UNIT };
    let limit = request.limit;
    let fits = if request.precise {
        limit <= MAX_CHUNK
    } else {
        limit > 0 && MAX_CHUNK % limit == 0
    };
    if limit <= 0 || limit % unit != 0 || !fits {
        return Err(Refusal::bad("LIMIT_INVALID"));
    }
    let offset = usize::try_from(request.offset);
    let offset = offset
        .ok()
        .filter(|_| request.offset % i64::from(unit) == 0);
    let offset = offset.ok_or_else(|| Refusal::bad("OFFSET_INVALID"))?;
    let document = context.world.document(context.account, &location)?;
    let length = usize::try_from(limit).unwrap_or(0);
    let bytes = document.bytes.iter().skip(offset).take(length).copied();
    Ok(types::upload::File {
        r#type: enums::storage::FileType::FilePartial,
        mtime: context.shared.clock.unix(),
        bytes: bytes.collect(),
    }
    .into())
}
