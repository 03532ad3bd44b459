//! Making an auth key with a client that has none.
//!
//! Three questions and answers: the client proves that it can factorise (and gets the
//! fingerprint of our RSA key), sends a nonce under RSA, and both make the key by
//! Diffie-Hellman under keys derived from that nonce.

pub(crate) mod group;
mod overheard;
mod padding;
mod rsa;

use grammers_crypto::{AuthKey as ClientKey, aes, generate_key_data_from_nonce};
use grammers_tl_types::functions::{ReqDhParams, ReqPq, ReqPqMulti, SetClientDhParams};
use grammers_tl_types::{Cursor, Deserializable, Identifiable, Serializable, enums, types};
use num_bigint::BigUint;
pub(crate) use rsa::RsaKey;
use sha1::{Digest, Sha1};

use crate::shared::Shared;
use crate::tl;
use crate::world::Standing;

/// The product of two primes, 1229739323 and 1402015859, for every client to factorise.
const PQ: u64 = 1_229_739_323 * 1_402_015_859;

/// The state of one connection's key exchange.
#[derive(Default)]
pub(crate) struct KeyExchange {
    step: Step,
}

/// What is remembered from one question to the next.
#[derive(Default)]
enum Step {
    #[default]
    Start,
    Asked {
        nonce: [u8; 16],
        server_nonce: [u8; 16],
    },
    Offered {
        nonce: [u8; 16],
        server_nonce: [u8; 16],
        new_nonce: [u8; 32],
        secret: BigUint,
    },
}

/// An answer, or what is wrong with the question.
type Answer = Result<Vec<u8>, &'static str>;

impl KeyExchange {
    /// Answers one unencrypted message: its number, length and object.
    pub(crate) fn receive(&mut self, shared: &Shared, message: &[u8]) -> Answer {
        let object = message.get(12..).unwrap_or_default();
        let body = object.get(4..).unwrap_or_default();
        match tl::constructor(object) {
            Some(ReqPqMulti::CONSTRUCTOR_ID) => {
                let request = ReqPqMulti::from_bytes(body).map_err(|_| "req_pq_multi")?;
                Ok(self.ask(shared, request.nonce))
            }
            Some(ReqPq::CONSTRUCTOR_ID) => {
                let request = ReqPq::from_bytes(body).map_err(|_| "req_pq")?;
                Ok(self.ask(shared, request.nonce))
            }
            Some(ReqDhParams::CONSTRUCTOR_ID) => {
                let request = ReqDhParams::from_bytes(body).map_err(|_| "req_DH_params")?;
                self.offer(shared, &request)
            }
            Some(SetClientDhParams::CONSTRUCTOR_ID) => {
                let request =
                    SetClientDhParams::from_bytes(body).map_err(|_| "set_client_DH_params")?;
                self.finish(shared, request)
            }
            // Clients acknowledge what needs no acknowledging.
            Some(types::MsgsAck::CONSTRUCTOR_ID) => Ok(Vec::new()),
            _ => Err("unencrypted message"),
        }
    }

    fn ask(&mut self, shared: &Shared, nonce: [u8; 16]) -> Vec<u8> {
        let server_nonce = crate::random::bytes();
        self.step = Step::Asked {
            nonce,
            server_nonce,
        };
        let question = types::ResPq {
            nonce,
            server_nonce,
            pq: PQ.to_be_bytes().to_vec(),
            server_public_key_fingerprints: match shared.control.overhears() {
                Some(_) => vec![overheard::TELEGRAM],
                None => vec![shared.rsa.fingerprint()],
            },
        };
        enums::ResPq::from(question).to_bytes()
    }

    fn offer(&mut self, shared: &Shared, request: &ReqDhParams) -> Answer {
        let Step::Asked {
            nonce,
            server_nonce,
        } = self.step
        else {
            return Err("order of the key exchange");
        };
        if (request.nonce, request.server_nonce) != (nonce, server_nonce) {
            return Err("nonce");
        }
        let new_nonce = match shared.control.overhears() {
            Some(file) if request.public_key_fingerprint == overheard::TELEGRAM => {
                overheard::new_nonce(&file, nonce).ok_or("overheard nonce")?
            }
            Some(_) | None => decrypt(&shared.rsa, request)?,
        };
        let secret = BigUint::from_bytes_be(&crate::random::bytes::<256>());
        let public = group::g().modpow(&secret, &group::prime());
        let offer = types::ServerDhInnerData {
            nonce,
            server_nonce,
            g: group::G,
            dh_prime: group::prime_bytes().to_vec(),
            g_a: group::pad(&public).to_vec(),
            server_time: shared.clock.unix(),
        };
        let mut encrypted_answer = hashed(&enums::ServerDhInnerData::from(offer).to_bytes());
        let (key, iv) = generate_key_data_from_nonce(&server_nonce, &new_nonce);
        aes::ige_encrypt(&mut encrypted_answer, &key, &iv);
        self.step = Step::Offered {
            nonce,
            server_nonce,
            new_nonce,
            secret,
        };
        let answer = types::ServerDhParamsOk {
            nonce,
            server_nonce,
            encrypted_answer,
        };
        Ok(enums::ServerDhParams::from(answer).to_bytes())
    }

    fn finish(&mut self, shared: &Shared, request: SetClientDhParams) -> Answer {
        let Step::Offered {
            nonce,
            server_nonce,
            new_nonce,
            secret,
        } = std::mem::take(&mut self.step)
        else {
            return Err("order of the key exchange");
        };
        if (request.nonce, request.server_nonce) != (nonce, server_nonce) {
            return Err("nonce");
        }
        let mut plain = request.encrypted_data;
        if plain.is_empty() || !plain.len().is_multiple_of(16) {
            return Err("client_DH_inner_data");
        }
        let (key, iv) = generate_key_data_from_nonce(&server_nonce, &new_nonce);
        aes::ige_decrypt(&mut plain, &key, &iv);
        let public = client_public(&plain, nonce, server_nonce).ok_or("client_DH_inner_data")?;
        let prime = group::prime();
        if public <= BigUint::from(1_u8) || public >= &prime - 1_u8 {
            return Err("g_b");
        }
        let data = group::pad(&public.modpow(&secret, &prime));
        shared
            .world()
            .keys
            .add(data, shared.dc_id, Standing::Fresh, shared.clock.unix());
        let new_nonce_hash1 = ClientKey::from_bytes(data).calc_new_nonce_hash(&new_nonce, 1);
        let answer = types::DhGenOk {
            nonce,
            server_nonce,
            new_nonce_hash1,
        };
        Ok(enums::SetClientDhParamsAnswer::from(answer).to_bytes())
    }
}

/// The new nonce, from what the client encrypted to `rsa`.
fn decrypt(rsa: &RsaKey, request: &ReqDhParams) -> Result<[u8; 32], &'static str> {
    if request.public_key_fingerprint != rsa.fingerprint() {
        return Err("fingerprint");
    }
    let block = rsa.decrypt(&request.encrypted_data);
    let data = padding::undo_rsa_pad(&block)
        .or_else(|| padding::undo_old(&block, |data| Some(read_inner(data)?.length)))
        .ok_or("RSA padding")?;
    let inner = read_inner(&data).ok_or("p_q_inner_data")?;
    let nonces = (request.nonce, request.server_nonce);
    if inner.nonces != nonces || inner.pq != PQ.to_be_bytes() {
        return Err("p_q_inner_data");
    }
    Ok(inner.new_nonce)
}

/// What the client sends under RSA, in any of its forms.
struct Inner {
    nonces: ([u8; 16], [u8; 16]),
    new_nonce: [u8; 32],
    pq: Vec<u8>,
    length: usize,
}

fn read_inner(data: &[u8]) -> Option<Inner> {
    use enums::PQInnerData as Data;
    let mut cursor = Cursor::from_slice(data);
    let inner = Data::deserialize(&mut cursor).ok()?;
    let length = cursor.pos();
    let (nonces, new_nonce, pq) = match inner {
        Data::Data(data) => ((data.nonce, data.server_nonce), data.new_nonce, data.pq),
        Data::Dc(data) => ((data.nonce, data.server_nonce), data.new_nonce, data.pq),
        // Temporary keys are not told apart: they last as long as the datacenter.
        Data::Temp(data) => ((data.nonce, data.server_nonce), data.new_nonce, data.pq),
        Data::TempDc(data) => ((data.nonce, data.server_nonce), data.new_nonce, data.pq),
    };
    Some(Inner {
        nonces,
        new_nonce,
        pq,
        length,
    })
}

/// The client's half of Diffie-Hellman, if its hash and nonces are right.
fn client_public(plain: &[u8], nonce: [u8; 16], server_nonce: [u8; 16]) -> Option<BigUint> {
    let (hash, padded) = plain.split_first_chunk::<20>()?;
    let mut cursor = Cursor::from_slice(padded);
    let enums::ClientDhInnerData::Data(inner) =
        enums::ClientDhInnerData::deserialize(&mut cursor).ok()?;
    let right = *hash == *Sha1::digest(padded.get(..cursor.pos())?)
        && (inner.nonce, inner.server_nonce) == (nonce, server_nonce);
    right.then(|| BigUint::from_bytes_be(&inner.g_b))
}

/// A hash, the data, and padding up to AES's block.
fn hashed(data: &[u8]) -> Vec<u8> {
    let mut out = Sha1::digest(data).to_vec();
    out.extend(data);
    let padding = (16 - out.len() % 16) % 16;
    out.extend(crate::random::bytes::<16>().iter().take(padding));
    out
}
