//! Whatever is done to a chain is found, at the right line.

use std::sync::LazyLock;

use proptest::prelude::*;
use vaultgram::audit::verify::{Damage, Flaw, Summary, VerifyError, verify, verify_file};

use crate::write;

const RECORDS: usize = 9;

/// Lines with their newlines.
type Lines = Vec<Vec<u8>>;

static CHAIN: LazyLock<Lines> = LazyLock::new(|| chain(1));
static OTHER: LazyLock<Lines> = LazyLock::new(|| chain(100));

/// A chain as the broker writes it, about messages from `first`.
fn chain(first: i32) -> Lines {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let last = first + i32::try_from(RECORDS).unwrap() - 1;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(write(&path, first, last));
        let text = std::fs::read(path).unwrap();
        text.split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    })
    .join()
    .unwrap()
}

fn check(lines: &[Vec<u8>], noted: &[String]) -> Result<Summary, Flaw> {
    match verify(lines.concat().as_slice(), noted) {
        Ok(summary) => Ok(summary),
        Err(VerifyError::Flaw(flaw)) => Err(flaw),
        Err(VerifyError::Read(error)) => panic!("{error}"),
    }
}

fn head(lines: &[Vec<u8>]) -> String {
    check(lines, &[]).unwrap().head
}

/// The line, from 1, of what comes after `before`.
fn line_of(before: &[u8]) -> u64 {
    before.split(|byte| *byte == b'\n').count() as u64
}

#[test]
fn a_sound_chain_is_summed_up() {
    let summary = check(&CHAIN, &[head(&CHAIN[..4]), head(&CHAIN)]).unwrap();
    assert_eq!(summary.records, RECORDS as u64);
    assert_eq!(summary.first.as_deref(), Some("2026-11-21T08:00:01.000Z"));
    assert_eq!(summary.last.as_deref(), Some("2026-11-21T08:00:09.000Z"));
    let last = String::from_utf8(CHAIN[RECORDS - 1].clone()).unwrap();
    assert!(last.ends_with(&format!("\"hash\":\"{}\"}}\n", summary.head)));
}

#[test]
fn nothing_is_a_sound_chain_until_a_head_was_noted() {
    assert_eq!(check(&[], &[]).unwrap().records, 0);
    let noted = head(&CHAIN);
    let what = Damage::HeadMissing(noted.clone());
    assert_eq!(check(&[], &[noted]), Err(Flaw { line: 1, what }));
}

#[test]
fn a_genuine_record_of_another_chain_does_not_fit() {
    for line in 1..RECORDS {
        let mut lines = CHAIN.clone();
        lines[line] = OTHER[line].clone();
        let line = line as u64 + 1;
        assert_eq!(
            check(&lines, &[]),
            Err(Flaw {
                line,
                what: Damage::Detached
            })
        );
    }
    // Nothing precedes the first record, so the second one tells.
    let mut lines = CHAIN.clone();
    lines[0] = OTHER[0].clone();
    assert_eq!(
        check(&lines, &[]),
        Err(Flaw {
            line: 2,
            what: Damage::Detached
        })
    );
}

#[test]
fn a_rewritten_chain_is_found_by_its_noted_head() {
    let noted = head(&CHAIN[..4]);
    let what = Damage::HeadMissing(noted.clone());
    assert_eq!(check(&OTHER, &[noted]), Err(Flaw { line: 10, what }));
}

#[test]
fn a_line_without_end_is_not_read_into_memory() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let Err(VerifyError::Flaw(flaw)) = verify(endless, &[]) else {
        panic!("accepted")
    };
    assert_eq!(
        flaw,
        Flaw {
            line: 1,
            what: Damage::Changed
        }
    );
}

#[tokio::test]
async fn the_head_file_shows_a_removed_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    write(&path, 1, 3).await;
    assert_eq!(verify_file(&path, None).unwrap().records, 3);
    let text = std::fs::read_to_string(&path).unwrap();
    let two: String = text.split_inclusive('\n').take(2).collect();
    std::fs::write(&path, two).unwrap();
    let Err(VerifyError::Flaw(flaw)) = verify_file(&path, None) else {
        panic!("accepted")
    };
    assert_eq!((flaw.line, flaw.what.name()), (3, "head_missing"));
}

#[test]
fn any_removed_record_is_found() {
    for at in 0..RECORDS {
        let mut lines = CHAIN.clone();
        lines.remove(at);
        let line = at as u64 + 1;
        let what = if at + 1 == RECORDS {
            Damage::HeadMissing(head(&CHAIN))
        } else {
            Damage::Missing {
                expected: line,
                found: line + 1,
            }
        };
        assert_eq!(check(&lines, &[head(&CHAIN)]), Err(Flaw { line, what }));
    }
}

#[test]
fn any_two_swapped_records_are_found() {
    for a in 0..RECORDS {
        for b in a + 1..RECORDS {
            let mut lines = CHAIN.clone();
            lines.swap(a, b);
            let line = a as u64 + 1;
            let what = Damage::Missing {
                expected: line,
                found: b as u64 + 1,
            };
            assert_eq!(check(&lines, &[]), Err(Flaw { line, what }));
        }
    }
}

#[test]
fn any_repeated_record_is_found() {
    for from in 0..RECORDS {
        for to in from + 1..=RECORDS {
            let mut lines = CHAIN.clone();
            lines.insert(to, lines[from].clone());
            let line = to as u64 + 1;
            let what = Damage::Repeated {
                expected: line,
                found: from as u64 + 1,
            };
            assert_eq!(check(&lines, &[]), Err(Flaw { line, what }));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_is_found(at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = CHAIN.concat();
        let at = at.index(bytes.len());
        let line = line_of(&bytes[..at]);
        bytes[at] ^= 1u8 << bit;
        let what = if at + 1 == bytes.len() { Damage::Torn } else { Damage::Changed };
        prop_assert_eq!(check(&[bytes], &[]), Err(Flaw { line, what }));
    }

    #[test]
    fn a_changed_piece_is_found(
        at in any::<prop::sample::Index>(),
        length in 0usize..40,
        piece in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let original = CHAIN.concat();
        let mut bytes = original.clone();
        let at = at.index(bytes.len());
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, piece);
        prop_assume!(bytes != original);
        let same = original.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
        let line = line_of(&original[..same]);
        // What follows the last newline is one record more, which shows at its own line.
        let flaw = check(&[bytes], &[head(&CHAIN)]).unwrap_err();
        prop_assert_eq!(flaw.line, line);
    }

    #[test]
    fn a_removed_end_is_found_by_a_noted_head(kept in 0..RECORDS, cut in any::<prop::sample::Index>()) {
        let mut lines = CHAIN[..=kept].to_vec();
        let length = cut.index(lines[kept].len());
        lines[kept].truncate(length);
        let flaw = check(&lines, &[head(&CHAIN)]).unwrap_err();
        prop_assert_eq!(flaw.line, kept as u64 + 1);
    }
}
