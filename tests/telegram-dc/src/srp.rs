//! The two-step password: the server's half of SRP, as Telegram does it.

use grammers_tl_types::types::{
    InputCheckPasswordSrp,
    PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow as Algorithm,
};
use num_bigint::BigUint;
use sha2::{Digest, Sha256, Sha512};

use crate::keyexchange::group;

const ITERATIONS: u32 = 100_000;

/// What the server keeps of a password.
pub(crate) struct Verifier {
    salt1: Vec<u8>,
    salt2: Vec<u8>,
    /// The generator to the power of the password's hash.
    power: BigUint,
    challenge: Option<Challenge>,
}

/// One attempt, which is good for one answer.
#[derive(Clone)]
struct Challenge {
    id: i64,
    secret: BigUint,
    public: Vec<u8>,
}

/// What a client needs to prove that it knows the password.
pub(crate) struct Question {
    pub(crate) algorithm: Algorithm,
    pub(crate) srp_id: i64,
    pub(crate) srp_b: Vec<u8>,
}

/// Why a proof was refused; the text is Telegram's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// `SRP_ID_INVALID`
    Stale,
    /// `PASSWORD_HASH_INVALID`
    Password,
}

impl Verifier {
    pub(crate) fn new(password: &str) -> Self {
        let salt1 = crate::random::bytes::<16>().to_vec();
        let salt2 = crate::random::bytes::<16>().to_vec();
        let exponent = hash_password(password.as_bytes(), &salt1, &salt2);
        let power = group::g().modpow(&BigUint::from_bytes_be(&exponent), &group::prime());
        Self {
            salt1,
            salt2,
            power,
            challenge: None,
        }
    }

    /// A fresh question; it replaces the one before.
    pub(crate) fn ask(&mut self) -> Question {
        let prime = group::prime();
        let secret = BigUint::from_bytes_be(&crate::random::bytes::<256>());
        let public = (multiplier() * &self.power + group::g().modpow(&secret, &prime)) % &prime;
        let srp_b = group::pad(&public).to_vec();
        let challenge = Challenge {
            id: crate::random::id(),
            secret,
            public: srp_b.clone(),
        };
        let algorithm = Algorithm {
            salt1: self.salt1.clone(),
            salt2: self.salt2.clone(),
            g: group::G,
            p: group::prime_bytes().to_vec(),
        };
        let srp_id = challenge.id;
        self.challenge = Some(challenge);
        Question {
            algorithm,
            srp_id,
            srp_b,
        }
    }

    /// Checks a proof.
    pub(crate) fn check(&mut self, proof: &InputCheckPasswordSrp) -> Result<(), Wrong> {
        let challenge = self.challenge.take().ok_or(Wrong::Stale)?;
        if challenge.id != proof.srp_id {
            return Err(Wrong::Stale);
        }
        let prime = group::prime();
        let a = BigUint::from_bytes_be(&proof.a);
        if &a % &prime == BigUint::ZERO || a.bits() > 2048 {
            return Err(Wrong::Password);
        }
        let a_bytes = group::pad(&a);
        let u = BigUint::from_bytes_be(&hash(&[&a_bytes, &challenge.public]));
        let shared = (a * self.power.modpow(&u, &prime)).modpow(&challenge.secret, &prime);
        let session_key = hash(&[&group::pad(&shared)]);
        let expected = hash(&[
            &xor(
                hash(&[group::prime_bytes()]),
                hash(&[&group::pad(&group::g())]),
            ),
            &hash(&[&self.salt1]),
            &hash(&[&self.salt2]),
            &a_bytes,
            &challenge.public,
            &session_key,
        ]);
        if proof.m1 == expected {
            Ok(())
        } else {
            Err(Wrong::Password)
        }
    }
}

/// The `k` of SRP: a hash of the prime and the generator.
fn multiplier() -> BigUint {
    BigUint::from_bytes_be(&hash(&[group::prime_bytes(), &group::pad(&group::g())]))
}

fn hash_password(password: &[u8], salt1: &[u8], salt2: &[u8]) -> [u8; 32] {
    let salted = |data: &[u8], salt: &[u8]| hash(&[salt, data, salt]);
    let first = salted(&salted(password, salt1), salt2);
    let mut stretched = [0; 64];
    pbkdf2::pbkdf2_hmac::<Sha512>(&first, salt1, ITERATIONS, &mut stretched);
    salted(&stretched, salt2)
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn xor(mut left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    for (byte, other) in left.iter_mut().zip(right) {
        *byte ^= other;
    }
    left
}

#[cfg(test)]
mod tests {
    use grammers_crypto::two_factor_auth::calculate_2fa;

    use super::*;

    fn proof(question: &Question, password: &str) -> InputCheckPasswordSrp {
        let algorithm = &question.algorithm;
        let (m1, a) = calculate_2fa(
            &algorithm.salt1,
            &algorithm.salt2,
            &algorithm.p,
            &algorithm.g,
            question.srp_b.clone(),
            vec![5; 256],
            password,
        );
        InputCheckPasswordSrp {
            srp_id: question.srp_id,
            a: a.to_vec(),
            m1: m1.to_vec(),
        }
    }

    #[test]
    fn the_clients_proof_is_accepted_once_and_only_for_the_password() {
        let mut verifier = Verifier::new("correct horse");
        let question = verifier.ask();
        assert_eq!(
            verifier.check(&proof(&question, "wrong")),
            Err(Wrong::Password)
        );
        let question = verifier.ask();
        let good = proof(&question, "correct horse");
        assert_eq!(verifier.check(&good), Ok(()));
        assert_eq!(verifier.check(&good), Err(Wrong::Stale));
    }
}
