//! Files: parts that were uploaded, and documents out of messages.
//!
//! A document lives in its message, and is gone with it.

use std::collections::{BTreeMap, VecDeque};

use grammers_tl_types::types;

use super::store::{MessageKey, Stored};
use super::{Owner, Place, World};
use crate::content::Document;
use crate::model::Refusal;
use crate::tl;

/// The largest part.
const MAX_PART: usize = 512 * 1024;

/// The largest file that may be uploaded with `upload.saveFilePart`.
const MAX_FILE: usize = 10 * 1024 * 1024;

/// The most parts of one file.
const MAX_PARTS: i32 = 4000;

/// How many bytes and files wait to be sent; the oldest files are forgotten first.
const MAX_WAITING: usize = 64 * 1024 * 1024;
const MAX_FILES: usize = 1000;

struct Upload {
    account: i64,
    file: i64,
    parts: BTreeMap<i32, Vec<u8>>,
}

impl Upload {
    fn size(&self) -> usize {
        self.parts.values().map(Vec::len).sum()
    }
}

/// Files that are being uploaded, the oldest first. They stay for a while after they are
/// sent, for a client that tries again.
#[derive(Default)]
pub(crate) struct Uploads {
    waiting: VecDeque<Upload>,
}

impl Uploads {
    /// Takes one part of a file.
    pub(crate) fn save(
        &mut self,
        account: i64,
        file: i64,
        part: i32,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        if !(0..MAX_PARTS).contains(&part) {
            return Err(Refusal::bad("FILE_PART_INVALID"));
        }
        if bytes.is_empty() {
            return Err(Refusal::bad("FILE_PART_EMPTY"));
        }
        if bytes.len() > MAX_PART {
            return Err(Refusal::bad("FILE_PART_TOO_BIG"));
        }
        let same = |one: &&mut Upload| one.account == account && one.file == file;
        if let Some(upload) = self.waiting.iter_mut().find(same) {
            let others = upload.size() - upload.parts.get(&part).map_or(0, Vec::len);
            if others + bytes.len() > MAX_FILE {
                return Err(Refusal::bad("FILE_PARTS_INVALID"));
            }
            upload.parts.insert(part, bytes);
        } else {
            let parts = BTreeMap::from([(part, bytes)]);
            self.waiting.push_back(Upload {
                account,
                file,
                parts,
            });
        }
        while self.waiting.len() > MAX_FILES
            || self.waiting.iter().map(Upload::size).sum::<usize>() > MAX_WAITING
        {
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Puts a file together.
    pub(crate) fn whole(&self, account: i64, file: i64, count: i32) -> Result<Vec<u8>, Refusal> {
        if !(1..=MAX_PARTS).contains(&count) {
            return Err(Refusal::bad("FILE_PARTS_INVALID"));
        }
        let mut waiting = self.waiting.iter();
        let upload = waiting.find(|one| one.account == account && one.file == file);
        let part = |number: i32| upload.and_then(|upload| upload.parts.get(&number));
        let unit = part(0).map_or(0, Vec::len);
        if count > 1 && unit > 0 && (!unit.is_multiple_of(1024) || !MAX_PART.is_multiple_of(unit)) {
            return Err(Refusal::bad("FILE_PART_SIZE_INVALID"));
        }
        let mut whole = Vec::new();
        for number in 0..count {
            let bytes =
                part(number).ok_or_else(|| Refusal::bad(&format!("FILE_PART_{number}_MISSING")))?;
            let last = number == count - 1;
            if bytes.len() > unit || (!last && bytes.len() < unit) {
                return Err(Refusal::bad("FILE_PART_SIZE_CHANGED"));
            }
            whole.extend_from_slice(bytes);
        }
        Ok(whole)
    }
}

impl World {
    /// The document of a message, as `viewer` is told of it.
    pub(super) fn tl_document(
        &self,
        key: MessageKey,
        stored: &Stored,
        viewer: i64,
    ) -> Option<types::Document> {
        let document = stored.document.as_ref()?;
        let id = i64::try_from(key.0).ok()?;
        let hash = self.access_hash(viewer, b'd', id);
        let home = self.home(stored.author);
        Some(types::Document {
            file_reference: self.file_reference(viewer, id),
            ..tl::document(id, hash, home, stored.date, document)
        })
    }

    /// The file behind a location, if `viewer` can see a message with it.
    pub(crate) fn document(
        &self,
        viewer: i64,
        location: &types::InputDocumentFileLocation,
    ) -> Result<&Document, Refusal> {
        let invalid = || Refusal::bad("LOCATION_INVALID");
        let id = location.id;
        if location.access_hash != self.access_hash(viewer, b'd', id)
            || !location.thumb_size.is_empty()
        {
            return Err(invalid());
        }
        if location.file_reference.is_empty() {
            return Err(Refusal::bad("FILE_REFERENCE_EMPTY"));
        }
        if location.file_reference != self.file_reference(viewer, id) {
            return Err(Refusal::bad("FILE_REFERENCE_INVALID"));
        }
        let key = MessageKey(u64::try_from(id).map_err(|_| invalid())?);
        let stored = self.store.get(key);
        let stored = stored.filter(|stored| self.sees(viewer, stored));
        let document = stored.and_then(|stored| stored.document.as_ref());
        document.ok_or_else(|| Refusal::bad("FILE_REFERENCE_EXPIRED"))
    }

    /// Whether a copy of the message is where `viewer` can read it.
    pub(super) fn sees(&self, viewer: i64, stored: &Stored) -> bool {
        match stored.place {
            Place::Channel(id) => {
                let channel = self.channels.get(&id);
                channel.is_some_and(|channel| channel.members.contains(&viewer))
            }
            Place::Private { .. } | Place::Group(_) => {
                stored.id_in(Owner::Account(viewer)).is_some()
            }
        }
    }

    fn file_reference(&self, viewer: i64, id: i64) -> Vec<u8> {
        self.access_hash(viewer, b'r', id).to_le_bytes().to_vec()
    }
}
