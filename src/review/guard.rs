//! Who may ask. The page is for the person who started it: whoever knows the address, which holds a secret, by a browser
//! that was sent there and nowhere else.

use std::fs::File;
use std::io::{self, Read};

/// The most a request may carry, in bytes.
pub const MAX_BODY: usize = 4096;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It does not know the secret, was sent to another name, or from another page.
    Forbidden,
    /// There is nothing at its path.
    NotFound,
    /// Its method is not one for this.
    Method,
    /// Its body has no length.
    NoLength,
    /// Its body is too long.
    TooLong,
    /// Its body is no JSON.
    NotJson,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::NoLength => 411,
            Self::TooLong => 413,
            Self::NotJson => 415,
        }
    }
}

/// 128 random bits in hexadecimal.
///
/// # Errors
/// Where the system gives none.
pub fn new_token() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(crate::index::record::bytes_to_hex(&bytes))
}

/// What a request says of itself.
pub struct Asked<'r> {
    /// Whether it is a POST; everything else but that is GET.
    pub post: bool,
    /// The path and query as they came.
    pub url: &'r str,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, &'r str)>,
    /// Length of the body as announced; none where it comes in chunks.
    pub body: Option<usize>,
}

impl<'r> Asked<'r> {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'r str> + 'a {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&'r str> {
        self.all(name).next()
    }
}

/// What the server knows of itself.
#[derive(Debug)]
pub struct Guard {
    /// The secret of the address.
    pub token: String,
    /// The port.
    pub port: u16,
}

impl Guard {
    /// The address of the page.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// The path of a request below the secret, without its query, and the query; or why it is refused. Nothing of its
    /// body was read yet.
    pub fn admit<'r>(&self, asked: &Asked<'r>) -> Result<(&'r str, &'r str), Refusal> {
        // A name that somebody else's server gave to this address (DNS rebinding) is another host.
        let own = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        let hosts: Vec<&str> = asked.all("host").collect();
        if !matches!(&hosts[..], [host] if own.iter().any(|own| own == host)) {
            return Err(Refusal::Forbidden);
        }
        let is_own =
            |origin: &str| origin.strip_prefix("http://").is_some_and(|host| own.iter().any(|own| own == host));
        if !asked.all("origin").all(is_own) {
            return Err(Refusal::Forbidden);
        }
        // What browsers say of where a request comes from: from this page, or typed by a person.
        if !asked.all("sec-fetch-site").all(|site| matches!(site, "same-origin" | "none")) {
            return Err(Refusal::Forbidden);
        }
        let (path, query) = asked.url.split_once('?').unwrap_or((asked.url, ""));
        let (token, path) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        if !same(token.as_bytes(), self.token.as_bytes()) {
            return Err(Refusal::Forbidden);
        }
        if asked.post {
            match asked.body {
                None => return Err(Refusal::NoLength),
                Some(len) if len > MAX_BODY => return Err(Refusal::TooLong),
                Some(_) => {}
            }
            // A form of another page can't send this type without being asked for leave.
            let json = |kind: &str| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json");
            if !asked.header("content-type").is_some_and(json) {
                return Err(Refusal::NotJson);
            }
        } else if asked.body.is_some_and(|len| len > 0) {
            return Err(Refusal::Method);
        }
        Ok((path, query))
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(
        post: bool,
        url: &'static str,
        headers: &[(&str, &'static str)],
    ) -> Result<(&'static str, &'static str), Refusal> {
        let guard = Guard { token: "5ec2e7".to_owned(), port: 8000 };
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        guard.admit(&Asked { post, url, headers, body: Some(if post { 20 } else { 0 }) })
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:8000");
    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn who_knows_the_secret_and_was_sent_here_is_let_in() {
        assert_eq!(admit(false, "/5ec2e7/", &[HOST]), Ok(("", "")));
        let from_here = [HOST, ("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8000")];
        assert_eq!(admit(false, "/5ec2e7/audio/3?decoded", &from_here), Ok(("audio/3", "decoded")));
        assert_eq!(admit(true, "/5ec2e7/say", &[("host", "localhost:8000"), JSON]), Ok(("say", "")));
    }

    #[test]
    fn everybody_else_is_refused_before_anything_is_looked_at() {
        let refused = |post, url, headers: &[_]| admit(post, url, headers).unwrap_err();
        for url in ["/", "", "/5ec2e7", "/5ec2e8/", "/5ec2e/", "//5ec2e7/", "/%35ec2e7/", "/x/../5ec2e7/", "*"] {
            assert_eq!(refused(false, url, &[HOST]), Refusal::Forbidden, "{url}");
        }
        for host in ["evil.example:8000", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8000.evil.example", ""] {
            assert_eq!(refused(false, "/5ec2e7/", &[("host", host)]), Refusal::Forbidden, "{host}");
        }
        assert_eq!(refused(false, "/5ec2e7/", &[]), Refusal::Forbidden);
        assert_eq!(refused(false, "/5ec2e7/", &[HOST, HOST]), Refusal::Forbidden);
        for origin in ["null", "http://evil.example", "https://127.0.0.1:8000", "http://127.0.0.1:8001"] {
            assert_eq!(refused(true, "/5ec2e7/say", &[HOST, JSON, ("origin", origin)]), Refusal::Forbidden);
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(refused(false, "/5ec2e7/", &[HOST, ("sec-fetch-site", site)]), Refusal::Forbidden);
        }
        assert_eq!(refused(true, "/5ec2e7/say", &[HOST]), Refusal::NotJson);
        assert_eq!(refused(true, "/5ec2e7/say", &[HOST, ("content-type", "text/plain")]), Refusal::NotJson);
    }

    #[test]
    fn bodies_are_bounded_and_tokens_are_long_and_never_the_same() {
        let guard = Guard { token: "t".to_owned(), port: 1 };
        let headers = vec![("host".to_owned(), "127.0.0.1:1"), ("content-type".to_owned(), "application/json")];
        let mut asked = Asked { post: true, url: "/t/say", headers, body: Some(MAX_BODY + 1) };
        assert_eq!(guard.admit(&asked), Err(Refusal::TooLong));
        asked.body = None;
        assert_eq!(guard.admit(&asked), Err(Refusal::NoLength));
        asked.body = Some(MAX_BODY);
        assert_eq!(guard.admit(&asked), Ok(("say", "")));
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert!(one.len() == 32 && one != other);
    }
}
