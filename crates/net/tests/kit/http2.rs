//! HTTP/2 clients and origins by the `h2` crate, on a runtime of one thread.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{config_to, PATIENCE};

/// Runs a test's client. It fails if that takes longer than any wait of a test may.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(async {
        tokio::time::timeout(4 * PATIENCE, test)
            .await
            .expect("the test ends")
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A connection to a gateway, and the task that drives it.
pub async fn connect(to: SocketAddr) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    connect_with(to, &h2::client::Builder::new()).await
}

/// The same with settings.
pub async fn connect_with(
    to: SocketAddr,
    builder: &h2::client::Builder,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(to).await.expect("the gateway accepts");
    socket.set_nodelay(true).expect("nodelay");
    let (send, connection) = builder.handshake(socket).await.expect("HTTP/2");
    (send, tokio::spawn(connection))
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|v| v.to_str().expect("text"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request without a body.
pub fn get(path: &str) -> Request<()> {
    request("GET", path, &[])
}

/// A request with these fields.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut r = Request::builder()
        .method(method)
        .uri(format!("http://a{path}"));
    for (name, value) in fields {
        r = r.header(*name, *value);
    }
    r.body(()).expect("a request")
}

/// Sends a request without a body, and reads all of the answer.
pub async fn fetch(send: &SendRequest<Bytes>, request: Request<()>) -> Result<Answer, h2::Error> {
    let mut send = send.clone().ready().await?;
    let (response, _) = send.send_request(request, true)?;
    answer(response.await?).await
}

/// Sends a request with a body in pieces, and maybe trailers.
pub async fn post(
    send: &SendRequest<Bytes>,
    request: Request<()>,
    pieces: &[&[u8]],
    trailers: Option<HeaderMap>,
) -> Result<Answer, h2::Error> {
    let mut send = send.clone().ready().await?;
    let (response, mut body) = send.send_request(request, false)?;
    for (n, piece) in pieces.iter().enumerate() {
        let last = n + 1 == pieces.len() && trailers.is_none();
        give(&mut body, piece, last).await?;
    }
    if let Some(trailers) = trailers {
        body.send_trailers(trailers)?;
    }
    answer(response.await?).await
}

/// Sends bytes as the window allows.
pub async fn give(
    to: &mut SendStream<Bytes>,
    mut bytes: &[u8],
    last: bool,
) -> Result<(), h2::Error> {
    if bytes.is_empty() {
        return to.send_data(Bytes::new(), last);
    }
    while !bytes.is_empty() {
        to.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| to.poll_capacity(cx)).await;
        let n = match room {
            Some(n) => n?.min(bytes.len()),
            None => return Err(h2::Reason::CANCEL.into()),
        };
        to.send_data(
            Bytes::copy_from_slice(&bytes[..n]),
            last && n == bytes.len(),
        )?;
        bytes = &bytes[n..];
    }
    Ok(())
}

/// Reads all of an answer.
pub async fn answer(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.into_parts();
    let (body, trailers) = take(&mut stream).await?;
    Ok(Answer {
        status: parts.status.as_u16(),
        fields: parts.headers,
        body,
        trailers,
    })
}

/// Reads all of a body.
pub async fn take(stream: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok((body, stream.trailers().await?))
}

/// Fields from pairs.
pub fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = fields.iter().map(|(n, v)| {
        let name = http::HeaderName::from_static(n);
        (name, http::HeaderValue::from_static(v))
    });
    pairs.collect()
}

/// An origin that speaks HTTP/2. Dropping it stops it.
pub struct Origin2 {
    pub at: SocketAddr,
    /// Heads of the requests that came, and by which connection.
    pub heads: Arc<Mutex<Vec<(usize, http::request::Parts)>>>,
    /// How many connections have ended.
    pub ended: Arc<AtomicUsize>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// One request at an origin.
pub struct Turn {
    pub head: http::request::Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}

impl Turn {
    /// Answers with a body and maybe trailers.
    pub async fn answer(mut self, fields: HeaderMap, body: &[u8], trailers: Option<HeaderMap>) {
        let mut response = Response::new(());
        *response.headers_mut() = fields;
        let ended = body.is_empty() && trailers.is_none();
        let Ok(mut send) = self.respond.send_response(response, ended) else {
            return;
        };
        if !body.is_empty() && give(&mut send, body, trailers.is_none()).await.is_err() {
            return;
        }
        if let Some(trailers) = trailers {
            let _closed = send.send_trailers(trailers);
        }
    }
}

impl Origin2 {
    /// Gives every request to `talk`.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        talk: impl Fn(Turn) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::with(h2::server::Builder::new(), usize::MAX, talk)
    }

    /// With settings, and a GOAWAY after so many requests of a connection.
    pub fn with<F: Future<Output = ()> + Send + 'static>(
        builder: h2::server::Builder,
        most: usize,
        talk: impl Fn(Turn) -> F + Send + Sync + 'static,
    ) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let ended = Arc::new(AtomicUsize::new(0));
        let (seen, over) = (heads.clone(), ended.clone());
        let talk = Arc::new(talk);
        let thread = thread::spawn(move || {
            runtime().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                tell.send(listener.local_addr().expect("an address"))
                    .expect("it is awaited");
                let accept = async {
                    for number in 0.. {
                        let (socket, _) = listener.accept().await.expect("a connection");
                        socket.set_nodelay(true).expect("nodelay");
                        let (builder, seen) = (builder.clone(), seen.clone());
                        let (talk, over) = (talk.clone(), over.clone());
                        tokio::spawn(async move {
                            let Ok(mut c) = builder.handshake::<_, Bytes>(socket).await else {
                                return;
                            };
                            let mut count = 0;
                            while let Some(Ok((request, respond))) = c.accept().await {
                                let (head, body) = request.into_parts();
                                seen.lock().expect("the list").push((number, head.clone()));
                                count += 1;
                                if count >= most {
                                    c.graceful_shutdown();
                                }
                                tokio::spawn(talk(Turn {
                                    head,
                                    body,
                                    respond,
                                }));
                            }
                            over.fetch_add(1, SeqCst);
                        });
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            at: told.recv().expect("an address"),
            heads,
            ended,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Answers what was sent, its head's text as `x-saw`, its trailers too.
    pub fn echo() -> Self {
        Self::start(|mut turn| async move {
            let Ok((body, trailers)) = take(&mut turn.body).await else {
                return;
            };
            let mut fields = HeaderMap::new();
            let saw = format!("{} {}", turn.head.method, turn.head.uri);
            fields.insert("x-saw", saw.parse().expect("a value"));
            turn.answer(fields, &body, trailers).await;
        })
    }

    /// Connections on which requests came.
    pub fn connections(&self) -> usize {
        let heads = self.heads.lock().expect("the list");
        let mut all: Vec<usize> = heads.iter().map(|(n, _)| *n).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }
}

impl Drop for Origin2 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// A config like [`config_to`], whose listener takes HTTP/2; `http2` and `listener` are more of their keys.
pub fn config2(
    endpoints: &[SocketAddr],
    http2: &str,
    listener: &str,
    upstream: &str,
    filters: &str,
) -> String {
    let more = |keys: &str| {
        if keys.is_empty() {
            String::new()
        } else {
            format!(", {keys}")
        }
    };
    let upstream = match upstream {
        "" => "{}".into(),
        // The space keeps its own last brace apart.
        keys => format!("{{{keys} }}"),
    };
    config_to(endpoints, &upstream, filters).replace(
        r#""bind": "127.0.0.1:0" }"#,
        &format!(
            r#""bind": "127.0.0.1:0", "http2": {{ "cleartext": true{} }}{} }}"#,
            more(http2),
            more(listener)
        ),
    )
}
