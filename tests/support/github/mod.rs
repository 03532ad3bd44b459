//! A simulated GitHub: its Actions API over plain HTTP on loopback, with GitHub's answers, limits
//! and faults, under the test's control. Shapes and statuses follow GitHub's published description
//! of its API (version 2022-11-28), of which `published/` has an excerpt that they are held against.
#![allow(
    dead_code,
    unused_imports,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by test targets, of which none uses all of it; tests may panic and look around"
)]

mod app;
mod places;
mod routes;
mod shapes;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) use self::app::AppKey;
pub(crate) use self::shapes::{commit, job, pending, told_of_job};
pub(crate) use self::world::{Details, World};

/// One request that came, and the status it was answered with.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) authorization: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    /// 0: it got none.
    pub(crate) status: u16,
    /// What was said.
    pub(crate) answer: Vec<u8>,
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is not done, and answered so.
    Status(u16),
    /// It is not done, and answered with these words.
    Says(u16, &'static str),
    /// It is not done, and the connection ends.
    Dropped,
    /// It is done, and the connection ends.
    Lost,
    /// It is done, and answered after a while.
    Slow(Duration),
    /// The primary limit is used up, for so many seconds.
    Spent(i64),
    /// The secondary limit is, for so many seconds, if that is said.
    Secondary(Option<i64>),
    /// It is somewhere else.
    Moved(u16, String),
    /// The answer has so many bytes.
    Huge(usize),
    /// The answer is no JSON.
    Garbage,
}

/// The server. Ends with this value.
pub(crate) struct GitHub {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    task: tokio::task::JoinHandle<()>,
}

/// An answer, before it is HTTP.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl GitHub {
    /// Starts it, with nothing in it but what is always there.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(World::new(format!("http://{address}"))));
        let served = world.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let world = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| serve(world.clone(), request));
                    let connection = http1::Builder::new();
                    drop(
                        connection
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self {
            address,
            world,
            task,
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What is in it.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Has `fault` befall the next request whose `METHOD target` holds `which`, after those that
    /// are to befall others like it.
    pub(crate) fn fault(&self, which: &str, fault: Fault) {
        self.world().faults.push((which.to_owned(), fault));
    }

    /// The requests so far whose `METHOD target` holds `which`.
    pub(crate) fn calls(&self, which: &str) -> Vec<Call> {
        let world = self.world();
        let calls = world.calls.iter().filter(|call| call.is(which));
        calls.cloned().collect()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Call {
    fn is(&self, which: &str) -> bool {
        format!("{} {}", self.method, self.target).contains(which)
    }
}

async fn serve(
    world: Arc<Mutex<World>>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    let mut call = Call {
        method: head.method.to_string(),
        target: head.uri.path_and_query().unwrap().to_string(),
        authorization: head
            .headers
            .get("authorization")
            .map(text)
            .unwrap_or_default(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        status: 0,
        answer: vec![],
    };
    let (answer, wait) = {
        let mut world = world.lock().unwrap();
        let position = world.faults.iter().position(|(which, _)| call.is(which));
        let fault = position.map(|position| world.faults.remove(position).1);
        let (answer, wait) = world.answer(&call, fault);
        if let Some(answer) = &answer {
            call.status = answer.status;
            call.answer.clone_from(&answer.body);
        }
        world.calls.push(call);
        (answer, wait)
    };
    tokio::time::sleep(wait).await;
    // An error ends the connection without an answer.
    let answer = answer.ok_or_else(|| io::Error::other("lost"))?;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(answer.body))).unwrap())
}
