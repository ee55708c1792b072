//! Requests as they arrive, before anything of them is believed: only what reads in one way.

use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use hyper::{Uri, Version};

use crate::answer::Refusal;

/// Longer paths are refused.
const MAX_PATH: usize = 1024;

/// Whether a text is a segment of a path that nobody decodes: so it can mean nothing else to the database than here.
pub(crate) fn is_plain(segment: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(plain)
}

/// The segments of a path.
pub(crate) fn segments(uri: &Uri) -> Result<Vec<&str>, Refusal> {
    // `GET http://elsewhere/…` is for proxies.
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(Refusal::bad("the request names a whole URL and not a path"));
    }
    let path = uri.path();
    if path == "/" {
        return Ok(Vec::new());
    }
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or_default().split('/').collect();
    if path.len() > MAX_PATH || !segments.iter().all(|segment| is_plain(segment)) {
        return Err(Refusal::bad(
            "the path has other characters than letters, digits, `-`, `_`, `.` and `~`, or an empty segment",
        ));
    }
    Ok(segments)
}

/// Names and values of a query string, each name once.
pub(crate) fn query(uri: &Uri) -> Result<Vec<(&str, &str)>, Refusal> {
    let bad = || Refusal::bad("the query string is not plain names with values");
    let mut read: Vec<(&str, &str)> = Vec::new();
    for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(bad)?;
        if !is_plain(name) || !is_plain(value) || read.iter().any(|(known, _)| *known == name) {
            return Err(bad());
        }
        read.push((name, value));
    }
    Ok(read)
}

/// Refuses what might be read in two ways on the way here.
pub(crate) fn check_framing(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let count = |name| headers.get_all(name).iter().count();
    let chunked = count(TRANSFER_ENCODING);
    let odd = count(CONTENT_LENGTH) > 1 || chunked > 1 || chunked == 1 && version != Version::HTTP_11;
    if odd {
        return Err(Refusal::bad("the length of the body can be read in two ways"));
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Refusal::bad("the body is compressed"));
    }
    Ok(())
}

/// The token: in `Authorization: Bearer`, or in `api-key`, where Qdrant's clients put it. Where there are two, they must be the same.
pub(crate) fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut found: Option<&str> = None;
    for value in headers.get_all(AUTHORIZATION) {
        let text = value.to_str().map_err(Refusal::unauthorized)?;
        let bearer = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) = bearer.ok_or_else(|| Refusal::unauthorized("`Authorization` is no bearer token"))?;
        one_more(&mut found, token)?;
    }
    for value in headers.get_all("api-key") {
        one_more(&mut found, value.to_str().map_err(Refusal::unauthorized)?)?;
    }
    found.ok_or_else(|| Refusal::unauthorized("no token"))
}

fn one_more<'a>(found: &mut Option<&'a str>, token: &'a str) -> Result<(), Refusal> {
    let token = token.trim();
    match *found {
        Some(other) if other != token => Err(Refusal::unauthorized("two tokens")),
        _ => {
            *found = Some(token);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_in_one_way() {
        let read = |text: &str| {
            let uri: Uri = text.parse().unwrap();
            segments(&uri).map(|segments| segments.join("|")).ok()
        };
        assert_eq!(read("/"), Some(String::new()));
        assert_eq!(
            read("/collections/a-b_c.d~e/points?x=1").as_deref(),
            Some("collections|a-b_c.d~e|points")
        );
        for text in [
            "//collections",
            "/collections/",
            "/collections//points",
            "/collections/a/../b/points",
            "/collections/./a",
            "/collections/%2e%2e/points",
            "/collections/a%2Fpoints",
            "/collections/a;x/points",
            "/collections/a:b",
            "http://elsewhere/collections/a",
            "*",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn query_strings_are_plain() {
        let read = |text: &str| {
            let uri: Uri = format!("/?{text}").parse().unwrap();
            query(&uri).map(|query| query.len()).ok()
        };
        assert_eq!(read(""), Some(0));
        assert_eq!(read("wait=true&ordering=strong"), Some(2));
        for text in ["wait", "a=%61", "a=1&a=2", "a=", "=a", "a=b=c"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn one_token_is_found() {
        let headers = |values: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                headers.append(*name, value.parse().unwrap());
            }
            token(&headers).map(str::to_owned).ok()
        };
        for (values, expected) in [
            (vec![("authorization", "Bearer a")], Some("a")),
            (vec![("authorization", "bearer a")], Some("a")),
            (vec![("api-key", "a")], Some("a")),
            (vec![("api-key", "a"), ("authorization", "Bearer a")], Some("a")),
            (vec![("api-key", "a"), ("authorization", "Bearer b")], None),
            (vec![("api-key", "a"), ("api-key", "b")], None),
            (vec![("authorization", "Bearer a"), ("authorization", "Bearer b")], None),
            (vec![("authorization", "Basic a")], None),
            (vec![("authorization", "Basic a"), ("api-key", "a")], None),
            (vec![], None),
        ] {
            assert_eq!(headers(&values).as_deref(), expected, "{values:?}");
        }
    }
}
