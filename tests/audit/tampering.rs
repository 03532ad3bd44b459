//! Tampering, exhaustively: every byte of a file in every way that matters, every record removed,
//! swapped or repeated, and every end cut off. Each is found, and at the right line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vaultgram::audit::key::SigningKey;
use vaultgram::audit::posted::{Posted, read_chat};
use vaultgram::audit::verify::{Demands, VerifyError, verify_as};
use vaultgram::audit::{AuditFile, Settings};
use vaultgram::broker::ports::{AuditHead, AuditSink};

use crate::{check, entry, key, of_keys, signing, write, write_with};

/// A closed audit of four records and, where signed, a checkpoint after each two.
struct Audit {
    bytes: Vec<u8>,
    key: Option<Arc<SigningKey>>,
    posted: Vec<Posted>,
    /// What its head file says.
    noted: Vec<String>,
}

impl Audit {
    async fn plain() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        write(&path, 1, 4).await;
        Self::of(dir, &path, None, vec![])
    }

    async fn signed() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("audit.jsonl"), key());
        write_with(signing(&path, &key), 1, 2).await;
        write_with(signing(&path, &key), 3, 4).await;
        Self::of(dir, &path, Some(key), vec![])
    }

    /// Its head stands in a chat.
    async fn posted() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        write(&path, 1, 3).await;
        let audit = crate::open(&path);
        audit.record(entry(4)).await.unwrap();
        let line = audit.head().await.unwrap().unwrap().line;
        audit.close().await.unwrap();
        Self::of(dir, &path, None, read_chat(&line))
    }

    fn of(
        dir: tempfile::TempDir,
        path: &Path,
        key: Option<Arc<SigningKey>>,
        posted: Vec<Posted>,
    ) -> Self {
        let head: serde_json::Value =
            serde_json::from_slice(&fs::read(path.with_extension("jsonl.head")).unwrap()).unwrap();
        let bytes = fs::read(path).unwrap();
        drop(dir);
        Self {
            bytes,
            key,
            posted,
            noted: vec![head["hash"].as_str().unwrap().to_owned()],
        }
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        let lines = self.bytes.split_inclusive(|byte| *byte == b'\n');
        lines.map(<[u8]>::to_vec).collect()
    }

    /// What the head file and the chat say, and the key.
    fn demands(&self) -> Demands {
        let keys: Vec<_> = self.key.iter().map(|key| key.public()).collect();
        Demands {
            noted: self.noted.clone(),
            posted: self.posted.clone(),
            ..of_keys(&keys, !keys.is_empty())
        }
    }

    /// Whoever can write the audit can remove its head.
    fn forget_head(&mut self) {
        self.noted.clear();
    }

    /// The line at which `bytes` in place of the file are found wrong. Not written, for there are
    /// tens of thousands of them.
    fn found(&self, bytes: &[u8]) -> Option<u64> {
        match verify_as(bytes, &self.demands()) {
            Ok(_) => None,
            Err(VerifyError::Flaw(flaw)) => Some(flaw.line),
            Err(VerifyError::Read(error)) => panic!("{error}"),
        }
    }
}

/// The line, from 1, that the byte at `at` is in.
fn line_at(bytes: &[u8], at: usize) -> u64 {
    bytes[..at].split(|byte| *byte == b'\n').count() as u64
}

/// Every byte, with each of its bits flipped, and as a line end, a quote, a zero and a blank.
fn every_byte(audit: &Audit) {
    assert_eq!(audit.found(&audit.bytes), None, "it is sound to begin with");
    for at in 0..audit.bytes.len() {
        let byte = audit.bytes[at];
        let flipped = (0..8).map(|bit| byte ^ (1 << bit));
        let others = flipped.chain([b'\n', b'"', 0, b' ', b'\r']);
        for other in others.filter(|other| *other != byte) {
            let mut bytes = audit.bytes.clone();
            bytes[at] = other;
            let line = line_at(&audit.bytes, at);
            assert_eq!(
                audit.found(&bytes),
                Some(line),
                "byte {at}: {byte} to {other}"
            );
        }
        // One byte less, and one more.
        let mut bytes = audit.bytes.clone();
        bytes.remove(at);
        assert_eq!(
            audit.found(&bytes),
            Some(line_at(&audit.bytes, at)),
            "byte {at} removed"
        );
        let mut bytes = audit.bytes.clone();
        bytes.insert(at, b'0');
        assert_eq!(
            audit.found(&bytes),
            Some(line_at(&audit.bytes, at)),
            "byte {at} added"
        );
    }
}

/// Every record removed, every two swapped, every one repeated anywhere later.
fn every_record(audit: &Audit) {
    let lines = audit.lines();
    let count = lines.len();
    for at in 0..count {
        let mut fewer = lines.clone();
        fewer.remove(at);
        assert_eq!(
            audit.found(&fewer.concat()),
            Some(at as u64 + 1),
            "{at} removed"
        );
        for other in at + 1..count {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            assert_eq!(
                audit.found(&swapped.concat()),
                Some(at as u64 + 1),
                "{at}, {other}"
            );
        }
        for to in at + 1..=count {
            let mut more = lines.clone();
            more.insert(to, lines[at].clone());
            assert_eq!(
                audit.found(&more.concat()),
                Some(to as u64 + 1),
                "{at} again at {to}"
            );
        }
    }
}

/// Cut off at every byte, from nothing to all but one.
fn every_end(audit: &Audit) {
    for length in 0..audit.bytes.len() {
        let line = line_at(&audit.bytes, length);
        assert_eq!(
            audit.found(&audit.bytes[..length]),
            Some(line),
            "cut at {length}"
        );
    }
}

#[tokio::test]
async fn a_chain_with_its_head_file() {
    let audit = Audit::plain().await;
    every_byte(&audit);
    every_record(&audit);
    every_end(&audit);
}

#[tokio::test]
async fn a_signed_chain() {
    let audit = Audit::signed().await;
    every_byte(&audit);
    every_record(&audit);
    every_end(&audit);
}

#[tokio::test]
async fn a_chain_whose_head_stands_in_a_chat() {
    let mut audit = Audit::posted().await;
    audit.forget_head();
    every_byte(&audit);
    every_record(&audit);
    every_end(&audit);
}

/// A chain that was made anew is another one: no head that was signed is of it.
#[tokio::test]
async fn a_signed_chain_that_was_replaced_and_whose_head_stands_in_a_chat() {
    let (dir, key) = (tempfile::tempdir().unwrap(), key());
    let path = dir.path().join("audit.jsonl");
    let audit = AuditFile::open(signing(&path, &key)).unwrap();
    for number in 1..=3 {
        audit.record(entry(number)).await.unwrap();
    }
    let line = audit.head().await.unwrap().unwrap().line;
    audit.close().await.unwrap();
    let demands = Demands {
        posted: read_chat(&line),
        ..of_keys(&[key.public()], false)
    };
    assert!(verify_as(fs::read(&path).unwrap().as_slice(), &demands).is_ok());
    let anew = dir.path().join("anew.jsonl");
    write(&anew, 5, 9).await;
    for replaced in [vec![], fs::read(&anew).unwrap()] {
        assert!(verify_as(replaced.as_slice(), &demands).is_err());
    }
}

/// Without the head file, a signed chain that ends with a checkpoint is a true one, only older; all
/// other ends are found.
#[tokio::test]
async fn a_signed_chain_without_its_head_file() {
    let mut audit = Audit::signed().await;
    audit.forget_head();
    every_byte(&audit);
    let lines = audit.lines();
    for length in 1..audit.bytes.len() {
        let found = audit.found(&audit.bytes[..length]);
        if length == lines[..3].concat().len() {
            assert_eq!(found, None, "only a head kept elsewhere shows this");
        } else {
            assert!(found.is_some(), "cut at {length}");
        }
    }
}

/// Over rotated files: each byte of each, each file left out, and files in the wrong order.
#[tokio::test]
async fn a_chain_over_several_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let key = key();
    let audit = AuditFile::open(Settings {
        rotate_at: Some(1),
        ..signing(&path, &key)
    })
    .unwrap();
    for number in 1..=3 {
        audit.record(entry(number)).await.unwrap();
        // Each record begins a file.
        crate::rotation::until_files(dir.path(), usize::try_from(number).unwrap() + 1).await;
    }
    audit.close().await.unwrap();
    let files = crate::rotation::files(dir.path());
    let folder = [dir.path().to_owned()];
    let demands = || of_keys(&[key.public()], true);
    let sound = check(&folder, demands()).unwrap();
    assert_eq!(
        (sound.from, sound.records),
        (1, 10),
        "3, 3 times continued, and signed 4 times"
    );
    for file in &files {
        let bytes = fs::read(file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(file, &changed).unwrap();
            let (found, line, _) = check(&folder, demands()).unwrap_err();
            // Where the first line tells no more where it belongs, its neighbours miss it.
            let line_is_right = found == name && line == line_at(&bytes, at);
            assert!(
                line_is_right || line_at(&bytes, at) == 1,
                "{name}: {at}: {found}: {line}"
            );
        }
        fs::write(file, &bytes).unwrap();
    }
    for left_out in 1..files.len() {
        let mut some = files.clone();
        some.remove(left_out);
        let last = left_out + 1 == files.len();
        let checked = check(&some, demands());
        assert!(
            checked.is_err() || last,
            "without {}",
            files[left_out].display()
        );
    }
    let mut reversed = files.clone();
    reversed.reverse();
    assert_eq!(check(&reversed, demands()).unwrap().records, sound.records);
    assert!(is_gone(&files[1], &folder, &demands));
}

/// Whether the loss of `file` from the folder shows.
fn is_gone(file: &Path, folder: &[PathBuf], demands: &dyn Fn() -> Demands) -> bool {
    fs::remove_file(file).unwrap();
    check(folder, demands()).is_err_and(|(_, line, what)| line == 1 && what == "missing")
}
