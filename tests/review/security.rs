//! Who is not let in: other pages, other names for this machine, and who does not know the secret.

use serde_json::json;

use crate::page::Page;
use crate::support::Place;

fn page() -> (Place, Page) {
    let place = Place::with_sounds(3);
    place.index(&[]);
    let page = Page::open(&place.archive(), &place.store(), &[]);
    (place, page)
}

#[test]
fn the_page_listens_on_this_machine_alone_and_keeps_browsers_to_itself() {
    let (_place, page) = page();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(local.contains(&&*format!("0100007F:{:04X}", page.port)), "{table}");
    assert!(!local.contains(&&*format!("00000000:{:04X}", page.port)), "{table}");
    assert_eq!(page.token.len(), 32);
    for path in ["", "page.js", "page.css", "about", "state", "item/0", "picture/0", "audio/0", "no-such"] {
        let answer = page.get(path);
        assert_eq!(answer.status, if path == "no-such" { 404 } else { 200 }, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // Nothing in the page names another host.
    for path in ["", "page.js", "page.css"] {
        let text = String::from_utf8(page.get(path).body).unwrap();
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("url("), "{path}");
    }
}

#[test]
fn who_does_not_know_the_secret_gets_nothing() {
    let (_place, page) = page();
    let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\n", page.port);
    let wrong = format!("{}{}", &page.token[..31], if page.token.ends_with('0') { '1' } else { '0' });
    let token = &page.token;
    let targets = [
        "/".to_owned(),
        "/favicon.ico".to_owned(),
        format!("/{wrong}/"),
        format!("/{wrong}/state"),
        format!("/{token}"),
        format!("/{}/", token.to_uppercase() + "0"),
        format!("//{token}/"),
        format!("/x/../{token}/"),
        format!("/?{token}/"),
    ];
    for target in targets {
        let answer = page.send(format!("GET {target} HTTP/1.1\r\n{host}\r\n").as_bytes());
        assert_eq!((answer.status, &answer.body[..]), (403, &b"refused\n"[..]), "{target}");
    }
    let body = json!({"place": 0, "label": "Kick"}).to_string();
    let head = format!("{host}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for target in ["/say".to_owned(), format!("/{wrong}/say")] {
        assert_eq!(page.send(format!("POST {target} HTTP/1.1\r\n{head}").as_bytes()).status, 403, "{target}");
    }
    assert_eq!(page.get("state").json()["said"], 0);
}

#[test]
fn another_name_for_this_machine_or_another_page_is_refused() {
    let (_place, page) = page();
    let (port, token) = (page.port, &page.token);
    let ask = |headers: &str| {
        page.send(format!("GET /{token}/state HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").as_bytes()).status
    };
    assert_eq!(ask(&format!("Host: 127.0.0.1:{port}\r\n")), 200);
    assert_eq!(ask(&format!("Host: localhost:{port}\r\n")), 200);
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1", "127.0.0.1:1", "[::1]"] {
        assert_eq!(ask(&format!("Host: {host}\r\n")), 403, "{host}");
    }
    assert_eq!(ask(""), 403);
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    for more in ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        assert_eq!(ask(&format!("{own}{more}\r\n")), 403, "{more}");
    }
    let body = json!({"place": 0, "label": "Kick"}).to_string();
    let post = |more: &str| {
        let head =
            format!("POST /{token}/say HTTP/1.1\r\n{own}Connection: close\r\nContent-Length: {}\r\n", body.len());
        page.send(format!("{head}{more}\r\n{body}").as_bytes()).status
    };
    // What a form of another page could send, were it to know the secret.
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        assert_eq!(post(kind), 415, "{kind}");
    }
    assert_eq!(post("Content-Type: application/json\r\nOrigin: http://evil.example\r\n"), 403);
    assert_eq!(page.get("state").json()["said"], 0);
    assert_eq!(post(&format!("Content-Type: application/json\r\nOrigin: http://127.0.0.1:{port}\r\n")), 200);
    assert_eq!(page.get("state").json()["said"], 1);
}

#[test]
fn paths_lead_to_samples_of_the_queue_and_nowhere_else() {
    let (_place, page) = page();
    for path in [
        "../../etc/passwd",
        "audio/../../../etc/passwd",
        "audio/%2e%2e%2fetc%2fpasswd",
        "audio/0/../1",
        "audio/-1",
        "audio/3",
        "audio/99999999999999999999",
        "audio/",
        "audio/0%00",
        "item/x",
        "picture/1e3",
        "page.js/0",
        "say",
    ] {
        assert_eq!(page.get(path).status, 404, "{path}");
    }
    let (port, token) = (page.port, &page.token);
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let head = format!("{method} /{token}/say HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        assert_eq!(page.send(head.as_bytes()).status, 405, "{method}");
    }
}

#[test]
fn bodies_that_are_too_long_or_without_end_are_not_read_and_the_page_goes_on() {
    let (_place, page) = page();
    let (port, token) = (page.port, &page.token);
    let head = |more: &str| {
        format!(
            "POST /{token}/say HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n{more}\r\n"
        )
    };
    // Announced, and never sent: the answer comes at once.
    assert_eq!(page.send(head("Content-Length: 1000000000\r\n").as_bytes()).status, 413);
    assert_eq!(page.send((head("Content-Length: 5000\r\n") + &"x".repeat(5000)).as_bytes()).status, 413);
    assert_eq!(page.send(head("Transfer-Encoding: chunked\r\n").as_bytes()).status, 411);
    assert_eq!(page.send((head("Content-Length: 3\r\n") + "{{{").as_bytes()).status, 400);
    // Without the secret, and hanging on until it is let go of.
    let mut stuck = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!("POST /x/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 4000\r\n\r\n");
    std::io::Write::write_all(&mut stuck, head.as_bytes()).unwrap();
    assert_eq!(page.get("state").status, 200);
    drop(stuck);
    assert_eq!(page.end().status.code(), Some(0));
}
