//! The page's server: on this machine's own address alone, for whoever knows the secret in it.

use std::io::{self, Cursor, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tiny_http::{Header, Method, Request, Response, Server, StatusCode};

use super::guard::{Asked, Guard, MAX_BODY, Refusal, new_token};
use super::session::{Session, SessionError};
use super::{picture, sound};

/// Why there is no page.
#[derive(Debug, Error)]
pub enum ReviewError {
    /// The port can't be had.
    #[error("the page can't be served on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port that was asked for; 0 is any.
        port: u16,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no secret to be had.
    #[error("the system gives no random bytes: {0}")]
    Token(io::Error),
}

const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Nothing from anywhere but this server, no other page around this one, and no form that leads away.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How often it is looked whether to end.
const LOOK: Duration = Duration::from_millis(100);

/// How long decisions that are being recorded are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A page that waits to be opened.
pub struct Review {
    server: Server,
    guard: Arc<Guard>,
    session: Arc<Session>,
}

type Answer = Response<Box<dyn Read + Send>>;

impl Review {
    /// Starts to listen, on any port that is free where `port` is 0.
    ///
    /// # Errors
    /// [`ReviewError`].
    pub fn new(session: Session, port: u16) -> Result<Self, ReviewError> {
        let listen = |source| ReviewError::Listen { port, source };
        let token = new_token().map_err(ReviewError::Token)?;
        let server = Server::http(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(listen)?;
        let port = server.server_addr().to_ip().map_or(port, |address| address.port());
        Ok(Self { server, guard: Arc::new(Guard { token, port }), session: Arc::new(session) })
    }

    /// Where the page is. The address is the key: whoever has it can listen and decide.
    pub fn address(&self) -> String {
        self.guard.address()
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Serves until `stop` is set. What is being decided then is recorded before this returns.
    ///
    /// # Errors
    /// Where nothing can be received any more.
    pub fn serve(&self, stop: &AtomicBool) -> io::Result<()> {
        let deciding = Arc::new(AtomicUsize::new(0));
        while !stop.load(Ordering::Relaxed) {
            let Some(request) = self.server.recv_timeout(LOOK)? else { continue };
            let (guard, session, deciding) =
                (Arc::clone(&self.guard), Arc::clone(&self.session), Arc::clone(&deciding));
            // A client that reads or writes slowly costs a thread, and nobody else's time.
            let answering = std::thread::Builder::new().name("review".to_owned()).spawn(move || {
                let done = crate::catch_quietly(|| answer(&guard, &session, &deciding, request));
                if let Ok(Err(error)) = done {
                    log::debug!("an answer was not taken: {error}");
                }
            });
            if let Err(error) = answering {
                log::warn!("a request can't be answered: {error}");
            }
        }
        let patience = Instant::now() + PATIENCE;
        while deciding.load(Ordering::Relaxed) > 0 && Instant::now() < patience {
            std::thread::sleep(LOOK / 10);
        }
        Ok(())
    }
}

fn answer(guard: &Guard, session: &Session, deciding: &AtomicUsize, mut request: Request) -> io::Result<()> {
    let method = request.method().clone();
    let admitted = {
        let headers = request.headers().iter();
        let asked = Asked {
            post: method == Method::Post,
            url: request.url(),
            headers: headers.map(|h| (h.field.as_str().as_str().to_ascii_lowercase(), h.value.as_str())).collect(),
            body: request.body_length().or_else(|| {
                // Only what comes in chunks has no length.
                let chunked = request.headers().iter().any(|h| h.field.equiv("Transfer-Encoding"));
                (!chunked).then_some(0)
            }),
        };
        match (&method, guard.admit(&asked)) {
            (_, Err(refusal)) => Err(refusal),
            (Method::Get | Method::Post, Ok((path, query))) => {
                Ok((path.to_owned(), query.to_owned(), asked.header("range").map(str::to_owned)))
            }
            (_, Ok(_)) => Err(Refusal::Method),
        }
    };
    let response = match admitted {
        // Its body was not read: this answers at once, and passes over the body when that comes.
        Err(refusal) => return request.respond(secured(refused(refusal))),
        Ok((path, _, _)) if method == Method::Post => {
            let mut body = Vec::new();
            request.as_reader().take(MAX_BODY as u64).read_to_end(&mut body)?;
            deciding.fetch_add(1, Ordering::Relaxed);
            let done = crate::catch_quietly(|| post(session, &path, &body));
            deciding.fetch_sub(1, Ordering::Relaxed);
            done.unwrap_or_else(|payload| json(500, &Told { error: crate::panic_message(payload.as_ref()) }))
        }
        Ok((path, query, range)) => get(session, &path, &query, range.as_deref()),
    };
    send(request, secured(response))
}

/// Sends an answer and asks for the connection to be closed. tiny_http has a thread for each connection, and takes them
/// from a pool that may leave one waiting while others are kept open for later requests.
fn send(request: Request, response: Answer) -> io::Result<()> {
    let (status, len) = (response.status_code(), response.data_length().unwrap_or(0));
    let mut head = format!("HTTP/1.1 {} {}\r\n", status.0, status.default_reason_phrase());
    for header in response.headers() {
        head += &format!("{}: {}\r\n", header.field, header.value);
    }
    head += &format!("Content-Length: {len}\r\nConnection: close\r\n\r\n");
    let mut writer = request.into_writer();
    writer.write_all(head.as_bytes())?;
    io::copy(&mut response.into_reader().take(len as u64), &mut writer)?;
    writer.flush()
}

/// An answer with what keeps browsers from doing anything else with it.
fn secured(response: Answer) -> Answer {
    let header = |(name, value): (&str, &str)| Header::from_bytes(name, value).ok();
    let all = [
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    ];
    all.into_iter().filter_map(header).fold(response, Response::with_header)
}

fn text(status: u16, kind: &str, text: impl Into<Vec<u8>>) -> Answer {
    let text = text.into();
    let len = text.len();
    let headers = Header::from_bytes("Content-Type", kind).into_iter().collect();
    Response::new(StatusCode(status), headers, Box::new(Cursor::new(text)) as Box<dyn Read + Send>, Some(len), None)
}

fn json(status: u16, value: &impl Serialize) -> Answer {
    // Strings and numbers can't fail to be written.
    text(status, "application/json", serde_json::to_vec(value).unwrap_or_default())
}

fn refused(refusal: Refusal) -> Answer {
    text(refusal.status(), "text/plain; charset=utf-8", "refused\n")
}

#[derive(Serialize)]
struct Told {
    error: String,
}

fn failed(error: SessionError) -> Answer {
    let status = match error {
        SessionError::NoSample(_) => 404,
        SessionError::Label(_) => 422,
        SessionError::Record(_) => 503,
    };
    json(status, &Told { error: error.to_string() })
}

fn get(session: &Session, path: &str, query: &str, range: Option<&str>) -> Answer {
    let (what, place) = path.split_once('/').unwrap_or((path, ""));
    let number = || place.parse::<usize>().map_err(|_| Refusal::NotFound);
    match (what, place) {
        ("", "") => text(200, "text/html; charset=utf-8", PAGE),
        ("page.css", "") => text(200, "text/css; charset=utf-8", STYLE),
        ("page.js", "") => text(200, "text/javascript; charset=utf-8", SCRIPT),
        ("about", "") => json(200, &session.about()),
        ("state", "") => json(200, &session.decisions()),
        ("item", _) => match number() {
            Ok(place) => session.item(place).map_or_else(failed, |item| json(200, &item)),
            Err(refusal) => refused(refusal),
        },
        ("picture", _) => match number() {
            Ok(place) => match session.sample(place) {
                Ok(sample) => match sound::decoded(&session.root, &sample, picture::of) {
                    Ok(picture) => text(200, "application/octet-stream", picture),
                    Err(error) => json(500, &Told { error }),
                },
                Err(error) => failed(error),
            },
            Err(refusal) => refused(refusal),
        },
        ("audio", _) => match number() {
            Ok(place) => audio(session, place, query == "decoded", range),
            Err(refusal) => refused(refusal),
        },
        _ => refused(Refusal::NotFound),
    }
}

fn audio(session: &Session, place: usize, decoded: bool, range: Option<&str>) -> Answer {
    let sample = match session.sample(place) {
        Ok(sample) => sample,
        Err(error) => return failed(error),
    };
    let sound = match sound::of(&session.root, &sample, decoded) {
        Ok(sound) => sound,
        Err(error) => return json(500, &Told { error }),
    };
    let (kind, len) = (sound.kind, sound.len);
    let mut headers: Vec<Header> = Header::from_bytes("Content-Type", kind).into_iter().collect();
    headers.extend(Header::from_bytes("Accept-Ranges", "bytes"));
    let wanted = range.map_or(Some((0, len)), |range| sound::range(range, len));
    let Some((from, to)) = wanted else {
        headers.extend(Header::from_bytes("Content-Range", format!("bytes */{len}")));
        let nothing: Box<dyn Read + Send> = Box::new(io::empty());
        return Response::new(StatusCode(416), headers, nothing, Some(0), None);
    };
    let status = if (from, to) == (0, len) && range.is_none() { 200 } else { 206 };
    if status == 206 {
        headers.extend(Header::from_bytes("Content-Range", format!("bytes {from}-{}/{len}", to.saturating_sub(1))));
    }
    match sound.part(from, to) {
        Ok(bytes) => {
            let len = usize::try_from(to - from).ok();
            Response::new(StatusCode(status), headers, bytes, len, None).with_chunked_threshold(usize::MAX)
        }
        Err(error) => json(500, &Told { error: error.to_string() }),
    }
}

#[derive(Deserialize)]
struct Say {
    place: usize,
    label: String,
}

#[derive(Deserialize)]
struct Skip {
    place: usize,
}

#[derive(Serialize)]
struct Undone {
    place: Option<usize>,
    state: super::Decisions,
}

fn post(session: &Session, path: &str, body: &[u8]) -> Answer {
    fn parsed<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Answer> {
        serde_json::from_slice(body).map_err(|error| json(400, &Told { error: error.to_string() }))
    }
    match path {
        "say" => parsed::<Say>(body).map_or_else(
            |answer| answer,
            |say| session.say(say.place, &say.label).map_or_else(failed, |state| json(200, &state)),
        ),
        "skip" => parsed::<Skip>(body).map_or_else(
            |answer| answer,
            |skip| session.skip(skip.place).map_or_else(failed, |state| json(200, &state)),
        ),
        "undo" => session.undo().map_or_else(failed, |(place, state)| json(200, &Undone { place, state })),
        "again" => json(200, &session.again()),
        _ => refused(Refusal::NotFound),
    }
}
