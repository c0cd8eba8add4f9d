//! Removes secrets from requests and replies before they are written to a trace: by the names of headers, elements, members and
//! parameters, and wherever a secret that was found by its name is repeated. Errors do not repeat those of a program's request either.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::input::percent_decoded;
use crate::runtime::redact::{LEFT_OUT, Redactor, SHORT, as_text, code_unit, without_references};
use crate::runtime::secret::{MASK, Wiped};

/// In the place of a body that cannot be understood.
const UNREADABLE: &str = "(the body names a secret in a form that is not understood and is left out)";

/// A name that contains one of these, in any case and whatever stands between its words, is the name of a secret.
const WORDS: &[&str] = &[
    "password", "passwd", "passphrase", "secret", "token", "ticket", "cookie", "signature", "assertion",
    "authorization", "sessionid", "apikey", "privatekey", "pwd",
];

/// What an `Authorization` holds besides secrets.
const PUBLIC: &[&str] =
    &["username", "realm", "uri", "algorithm", "qop", "nc", "nonce", "signature_alg", "signedheaders"];

/// As many different secrets of one exchange are looked for.
const MOST: usize = 64;
/// As much of the body of a program's request is searched for them.
const SEARCHED: usize = 1 << 20;

/// Whether what has this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let mut bare = Wiped::new(String::with_capacity(name.len()));
    bare.extend(name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()));
    // The header of WS-Security, with tokens and signatures.
    matches!(bare.as_str(), "security" | "sig") || WORDS.iter().any(|word| bare.contains(word))
}

fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    is_secret(&name)
        || ["session", "csrf", "xsrf"].iter().any(|word| name.contains(word))
        || name.split(['-', '_']).any(|word| matches!(word, "auth" | "authentication"))
}

/// The secrets of an exchange that were found by their names.
#[derive(Default)]
pub(crate) struct Secrets {
    found: Vec<Wiped<String>>,
    /// A body is not what it begins like, or says too late that something in it is a secret.
    is_unclear: bool,
    /// How many values were masked.
    pub(super) masked: usize,
}

impl Secrets {
    /// Those in a request that a program makes.
    pub(crate) fn of_request<'a>(
        headers: impl Iterator<Item = (&'a str, &'a str)>,
        target: &str,
        body: &[u8],
    ) -> Secrets {
        let mut secrets = Secrets::default();
        for (name, value) in headers {
            secrets.header(name, value);
        }
        secrets.target(target);
        if let Some(text) = as_text(&body[..body.len().min(SEARCHED)]) {
            secrets.by_name(text, false);
            if secrets.is_unclear && is_secret(text) {
                // Which of its texts are secrets is not known.
                secrets.by_name(text, true);
            }
        }
        secrets
    }

    /// The secrets that are long enough to be told from other words.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.found.iter().map(|secret| secret.as_str()).filter(|secret| secret.chars().count() >= SHORT)
    }

    /// Masks a value, and notes it to find it elsewhere.
    fn mask(&mut self, value: &str) -> &'static str {
        self.masked += 1;
        self.note(value);
        MASK
    }

    fn note(&mut self, value: &str) {
        let value = value.trim();
        // What is no secret wherever else it stands.
        let is_common = matches!(value, "" | "true" | "false" | "null" | MASK)
            || value.len() < 4 && value.bytes().all(|b| b.is_ascii_digit());
        if !is_common && self.found.len() < MOST && self.found.iter().all(|known| known.as_str() != value) {
            self.found.push(Wiped::new(value.to_string()));
        }
    }

    /// A header as it may be shown. `None`: its name says that its value is a secret.
    pub(super) fn header(&mut self, name: &str, value: &str) -> Option<String> {
        let value = value.trim();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("set-cookie") {
            let (cookie, attributes) = value.split_once(';').unwrap_or((value, ""));
            let (name, secret) = cookie.split_once('=').unwrap_or(("", cookie));
            let masked = self.mask(secret.trim().trim_matches('"'));
            return Some(format!("{name}={masked};{attributes}"));
        }
        if is("cookie") {
            for cookie in value.split(';') {
                let secret = cookie.split_once('=').map_or(cookie, |(_, secret)| secret);
                self.mask(secret.trim().trim_matches('"'));
            }
            return None;
        }
        if is("www-authenticate") || is("proxy-authenticate") || is("authentication-info") {
            // The scheme, without the challenge.
            return Some(format!("{} {MASK}", value.split(' ').next().unwrap_or_default()));
        }
        if is_secret_header(name) {
            // Behind the scheme is a secret, or parameters of which some are.
            let secret = value.split_once(' ').map_or(value, |(_, secret)| secret);
            self.mask(secret);
            // Some write base64 without its end, and some a text in quotes.
            self.note(secret.trim_end_matches('='));
            self.note(secret.trim().trim_matches('"'));
            for parameter in secret.split(',') {
                let (name, value) = parameter.split_once('=').unwrap_or_default();
                let value = value.trim().trim_matches('"');
                // Behind the end of base64 is nothing.
                if value.len() >= SHORT && !PUBLIC.contains(&name.trim().to_ascii_lowercase().as_str()) {
                    self.note(value);
                }
            }
            if let Ok(plain) = BASE64_STANDARD.decode(secret).map(Wiped::new)
                && let Some((_, password)) =
                    std::str::from_utf8(&plain).ok().and_then(|it| it.split_once(':'))
            {
                self.note(password);
            }
            if !name.to_ascii_lowercase().contains("authorization") {
                self.note(value);
            }
            return None;
        }
        if is("location") || is("referer") {
            return Some(self.target(value));
        }
        Some(value.to_string())
    }

    /// A target or an address, whose query and segments may hold secrets.
    pub(crate) fn target(&mut self, target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut shown = path.split('/').map(|segment| self.form(segment)).collect::<Vec<_>>().join("/");
        if path.len() < target.len() {
            shown.push('?');
            shown.push_str(&self.form(query));
        }
        shown
    }

    /// Parameters of a query or a form: `a=b&c=d`. Those of a text stand on lines.
    fn form(&mut self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let ends = ['&', ';', '\n'];
        for part in text.split_inclusive(ends) {
            let pair = part.trim_end_matches(ends);
            match pair.split_once('=') {
                Some((name, value)) if is_secret(&without_percents(name)) || name.starts_with("SAML") => {
                    // As it was meant, it is found in each spelling.
                    self.note(&without_percents(value));
                    clean.push_str(&[name, "=", self.mask(value)].concat());
                }
                _ => clean.push_str(pair),
            }
            clean.push_str(&part[pair.len()..]);
        }
        clean
    }

    /// A body as it may be shown. `all`: each of its texts is a secret.
    pub(super) fn body(&mut self, body: &[u8], all: bool) -> Wiped<Vec<u8>> {
        let Some(text) = as_text(body) else { return self.binary(body, all) };
        self.is_unclear = false;
        let by_name = self.by_name(text, all);
        if self.is_unclear && (all || is_secret(text)) {
            self.masked += 1;
            // The reply may repeat any of its texts.
            self.by_name(text, true);
            return Wiped::new(UNREADABLE.into());
        }
        Wiped::new(self.without_repetitions(&by_name).into_bytes())
    }

    /// The text without what has the name of a secret.
    fn by_name(&mut self, text: &str, all: bool) -> Wiped<String> {
        let bare = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        Wiped::new(match bare.bytes().next() {
            Some(b'<') => self.xml(text, all),
            Some(b'{' | b'[' | b'"') => self.json(text, all),
            Some(_) if all => self.mask(text).to_string(),
            _ => {
                // The parts of a multipart body have their names in headers.
                self.is_unclear = bare.starts_with("--");
                self.form(text)
            }
        })
    }

    /// The text without the secrets that have been found, wherever they stand.
    pub(super) fn without_repetitions(&self, text: &str) -> String {
        let found: Vec<&str> = self.found.iter().map(|secret| secret.as_str()).collect();
        Redactor(&found).redact_document(text).unwrap_or_else(|| text.to_string())
    }

    /// A body that is no text: only what it repeats word for word can be found.
    fn binary(&mut self, body: &[u8], all: bool) -> Wiped<Vec<u8>> {
        // As UTF-16 it may name a secret.
        let mut lower = Wiped::new(Vec::with_capacity(body.len()));
        lower.extend(body.iter().filter(|byte| **byte != 0).map(u8::to_ascii_lowercase));
        if all || WORDS.iter().any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some()) {
            self.masked += 1;
            return Wiped::new(UNREADABLE.into());
        }
        let repeats = self.found.iter().filter(|secret| secret.len() >= 4);
        match repeats.into_iter().any(|secret| memchr::memmem::find(body, secret.as_bytes()).is_some()) {
            true => Wiped::new(LEFT_OUT.into()),
            false => Wiped::new(body.to_vec()),
        }
    }

    fn xml(&mut self, text: &str, all: bool) -> String {
        let mut clean = String::with_capacity(text.len() + 256);
        // The names of the open elements, whether each one's content is secret, and whether a `value` has stood in it.
        let mut open: Vec<(&str, bool, bool)> = Vec::new();
        // The last `key` or `name` names a secret, and a `value` follows.
        let mut named = false;
        let mut rest = text;
        while !rest.is_empty() {
            let is_text = !rest.starts_with('<') || rest.starts_with("<![CDATA[");
            let end = match rest {
                _ if rest.starts_with("<![CDATA[") => rest.find("]]>").map(|at| at + 3),
                _ if rest.starts_with("<!--") => rest.find("-->").map(|at| at + 3),
                _ if is_text => rest.find('<'),
                _ => rest.find('>').map(|at| at + 1),
            };
            let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
            rest = behind;
            let (name, secret, _) = *open.last().unwrap_or(&("", all, false));
            if is_text && secret && name != "_this" && !piece.trim().is_empty() {
                let bare = piece.strip_prefix("<![CDATA[").map(|text| text.trim_end_matches("]]>"));
                let plain = Wiped::new(bare.map_or_else(|| without_references(piece), str::to_string));
                clean.push_str(self.mask(&plain));
            } else if is_text || piece.starts_with("<!") || piece.starts_with("<?") {
                // Its entities may stand for secrets.
                self.is_unclear |= piece.starts_with("<!DOCTYPE");
                if matches!(name, "key" | "name") {
                    named = is_secret(piece);
                    // What it names has been written.
                    self.is_unclear |= named && open.iter().nth_back(1).is_some_and(|parent| parent.2);
                }
                clean.push_str(if secret && piece.starts_with("<!--") { "" } else { piece });
            } else if piece.starts_with("</") {
                open.pop();
                clean.push_str(piece);
            } else {
                let name = piece[1..].split(|c: char| c.is_whitespace() || matches!(c, '/' | '>')).next();
                let name = name.unwrap_or_default();
                let name = name.rsplit(':').next().unwrap_or_default();
                let is_value = matches!(name, "value" | "val");
                let follows = is_value && std::mem::take(&mut named);
                if let Some(parent) = open.last_mut() {
                    parent.2 |= is_value && !follows;
                }
                if !piece.ends_with("/>") {
                    open.push((name, secret || follows || is_secret(name), false));
                }
                self.tag(piece, &mut clean);
            }
        }
        clean
    }

    /// A start tag, of which attributes may be secrets.
    fn tag(&mut self, tag: &str, clean: &mut String) {
        let mut rest = tag;
        while let Some(at) = rest.find(['"', '\'']) {
            let (before, value) = rest.split_at(at);
            let end = value[1..].find(&value[..1]).map_or(value.len(), |end| end + 1);
            let name = before.trim_end_matches(['=', ' ']).rsplit([' ', ':', '\n', '\t']).next();
            clean.push_str(before);
            if name.is_some_and(is_secret) && end > 1 {
                let masked = self.mask(&without_references(&value[1..end]));
                clean.push_str(&[&value[..1], masked].concat());
            } else {
                clean.push_str(&value[..end]);
            }
            clean.push_str(value.get(end..end + 1).unwrap_or_default());
            rest = value.get(end + 1..).unwrap_or_default();
        }
        clean.push_str(rest);
    }

    fn json(&mut self, text: &str, all: bool) -> String {
        let mut clean = String::with_capacity(text.len() + 256);
        // Whether what stands in each open object or array is secret, and whether a `value` has stood in it.
        let mut open: Vec<(bool, bool)> = Vec::new();
        // Whether the value that comes next is secret.
        let mut next = all;
        let (mut named, mut is_name) = (false, false);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let within = open.last().map_or(all, |outer| outer.0);
            let length = match first {
                '"' => end_of_string(rest),
                '-' | '0'..='9' => rest
                    .find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+' | 'e' | 'E'))
                    .unwrap_or(rest.len()),
                _ if first.is_alphanumeric() => {
                    rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())
                }
                _ => first.len_utf8(),
            };
            let (piece, behind) = rest.split_at(length);
            rest = behind;
            if first == '\'' || first.is_alphabetic() && !matches!(piece, "true" | "false" | "null") {
                // No JSON, or its end was cut off.
                self.is_unclear |= !behind.is_empty();
            }
            match first {
                '"' if behind.trim_start().starts_with(':') => {
                    let name = without_escapes(piece.trim_matches('"'));
                    let is_value = matches!(name.as_str(), "value" | "val");
                    let follows = is_value && std::mem::take(&mut named);
                    if let Some(outer) = open.last_mut() {
                        outer.1 |= is_value && !follows;
                    }
                    next = within || follows || is_secret(&name);
                    is_name = matches!(name.as_str(), "key" | "name");
                    clean.push_str(piece);
                }
                '"' if next => {
                    let masked = self.mask(&without_escapes(piece.trim_matches('"')));
                    clean.push_str(&["\"", masked, "\""].concat());
                }
                '-' | '0'..='9' if next => {
                    let masked = self.mask(piece);
                    clean.push_str(&["\"", masked, "\""].concat());
                }
                _ => {
                    match first {
                        '"' if is_name => {
                            named = is_secret(&without_escapes(piece));
                            // What it names has been written.
                            self.is_unclear |= named && open.last().is_some_and(|outer| outer.1);
                        }
                        '{' | '[' => open.push((next, false)),
                        '}' | ']' => {
                            open.pop();
                            next = open.last().map_or(all, |outer| outer.0);
                        }
                        ',' => next = within,
                        _ => {}
                    }
                    clean.push_str(piece);
                }
            }
        }
        clean
    }
}

/// The length of the string that begins here, with its quotes.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The text that a JSON string stands for, as far as a secret can be found by it.
fn without_escapes(text: &str) -> Wiped<String> {
    let mut plain = Wiped::new(String::with_capacity(text.len()));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some('u') => {
                    let mut units = Vec::from_iter(code_unit(chars.as_str()));
                    chars = chars.as_str().get(4..).unwrap_or_default().chars();
                    // What lies beyond the first 65,536 characters takes two.
                    if let Some(low) = chars.as_str().strip_prefix("\\u").and_then(code_unit)
                        && matches!(units[..], [0xd800..0xdc00])
                    {
                        units.push(low);
                        chars = chars.as_str().get(6..).unwrap_or_default().chars();
                    }
                    plain.extend(char::decode_utf16(units).flatten());
                }
                Some(other) => plain.push(other),
                None => {}
            },
            (c, false) => plain.push(c),
        }
    }
    plain
}

/// The text that a part of a query or a form stands for.
fn without_percents(text: &str) -> Wiped<String> {
    let plain = Wiped::new(percent_decoded(text));
    Wiped::new(String::from_utf8_lossy(&plain).replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> String {
        String::from_utf8(Secrets::default().body(text.as_bytes(), false).to_vec()).unwrap()
    }

    #[test]
    fn what_has_the_name_of_a_secret_is_masked_in_xml() {
        for (given, shown) in [
            ("<a><password>hunter&amp;42</password><b>x</b></a>", "<a><password>***</password><b>x</b></a>"),
            ("<n:Password t='1'>p</n:Password>", "<n:Password t='1'>***</n:Password>"),
            ("<guestPassword><![CDATA[p<w]]></guestPassword>", "<guestPassword>***</guestPassword>"),
            ("<password>cut of", "<password>***"),
            ("<password/><b>x</b>", "<password/><b>x</b>"),
            (
                "<AcquireCloneTicketResponse xmlns='u'><returnval>cst-1</returnval></AcquireCloneTicketResponse>",
                "<AcquireCloneTicketResponse xmlns='u'><returnval>***</returnval></AcquireCloneTicketResponse>",
            ),
            (
                "<AcquireCloneTicket><_this type='SessionManager'>SessionManager</_this></AcquireCloneTicket>",
                "<AcquireCloneTicket><_this type='SessionManager'>SessionManager</_this></AcquireCloneTicket>",
            ),
            (
                "<wsse:Security><saml:Assertion ID='i'><x>y</x></saml:Assertion></wsse:Security><z>1</z>",
                "<wsse:Security><saml:Assertion ID='i'><x>***</x></saml:Assertion></wsse:Security><z>1</z>",
            ),
            (
                "<o><key>guestinfo.password</key><value>swordfish</value><key>a</key><value>b</value></o>",
                "<o><key>guestinfo.password</key><value>***</value><key>a</key><value>b</value></o>",
            ),
            ("<a sessionId=\"s-1\" b='c'/>", "<a sessionId=\"***\" b='c'/>"),
            ("<a><b>no secret</b></a>", "<a><b>no secret</b></a>"),
        ] {
            assert_eq!(body(given), shown);
        }
    }

    #[test]
    fn what_has_the_name_of_a_secret_is_masked_in_json_and_forms() {
        for (given, shown) in [
            (r#"{"password":"a\"b","c":[1,"d"]}"#, r#"{"password":"***","c":[1,"d"]}"#),
            (
                r#"{"pin_secret": 1234, "d": {"token": ["x", {"y":"z"}]}, "e": "f"}"#,
                r#"{"pin_secret": "***", "d": {"token": ["***", {"y":"***"}]}, "e": "f"}"#,
            ),
            (
                r#"[{"key":"guestinfo.password","value":"swordfish"},{"key":"a","value":"b"}]"#,
                r#"[{"key":"guestinfo.password","value":"***"},{"key":"a","value":"b"}]"#,
            ),
            (r#"{"session-id":"cut of"#, r#"{"session-id":"***""#),
            ("\u{feff}{\"password\":\"x\"}", "\u{feff}{\"password\":\"***\"}"),
            (r#"{"pass\u0077ord":"x"}"#, r#"{"pass\u0077ord":"***"}"#),
            (
                r#"{"key":"guestinfo.pass\u0077ord","value":"x"}"#,
                r#"{"key":"guestinfo.pass\u0077ord","value":"***"}"#,
            ),
            ("username=a&password=hunter42", "username=a&password=***"),
            ("p%61ssword=hunter42;b=c\nx-token=y\nd=e", "p%61ssword=***;b=c\nx-token=***\nd=e"),
            (r#"{"a": 1, "b": tru"#, r#"{"a": 1, "b": tru"#),
            ("[vm] is off", "[vm] is off"),
            (r#""a text""#, r#""a text""#),
        ] {
            assert_eq!(body(given), shown);
        }
        let all =
            |text: &str| String::from_utf8(Secrets::default().body(text.as_bytes(), true).to_vec()).unwrap();
        assert_eq!(all(r#""b00b-cafe""#), r#""***""#);
        assert_eq!(all(r#"{"value":"b00b-cafe"}"#), r#"{"value":"***"}"#);
        assert_eq!(all("b00b-cafe"), "***");
        assert_eq!(
            Secrets::default().target("/a;jsessionid=x-1/b?c;p%61sswd=y-2&d#token=z-3"),
            "/a;jsessionid=***/b?c;p%61sswd=***&d#token=***"
        );
        let mut secrets = Secrets::default();
        assert_eq!(secrets.target("/a?b=c&access_token=t-12345678&d"), "/a?b=c&access_token=***&d");
        let form = secrets.body(b"grant_type=x&client_secret=s-123&e=t-12345678", false);
        assert_eq!(*form, b"grant_type=x&client_secret=***&e=***");
    }

    #[test]
    fn a_body_that_names_a_secret_and_is_not_understood_is_left_out() {
        let utf_16: Vec<u8> =
            "<a><Password>x</Password></a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for given in [
            &utf_16[..],
            b"\xff\xfe<p\0a\0s\0s\0w\0d\0>\0",
            b"--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhunter42\r\n--b--\r\n",
            br#"[{"value":"hunter42","key":"guestinfo.password"}]"#,
            b"<a><value>hunter42</value><key>guestinfo.password</key></a>",
            b"{'password': 'hunter42'}",
            b"{\"a\": password, \"b\": 1}",
        ] {
            let mut secrets = Secrets::default();
            assert_eq!(*secrets.body(given, false), UNREADABLE.as_bytes());
            assert!(secrets.masked > 0, "curl does not send it");
        }
        let harmless = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n";
        assert_eq!(*Secrets::default().body(harmless, false), harmless);
        assert_eq!(*Secrets::default().body(b"\xff\xfe", true), UNREADABLE.as_bytes());
    }

    #[test]
    fn headers_are_secret_by_their_names() {
        for name in [
            "X-Auth", "X-Authorization", "X-CSRF", "X-XSRF-Value", "X-Session-Id", "X-Vmware-Session",
            "X-Api-Key",
        ] {
            assert_eq!(Secrets::default().header(name, "x"), None, "{name}");
        }
        for name in ["X-Author", "Accept", "Content-Type", "X-Request-ID"] {
            assert_eq!(Secrets::default().header(name, "x").as_deref(), Some("x"));
        }
    }

    #[test]
    fn of_a_body_that_names_a_secret_too_late_no_text_is_shown() {
        for body in [
            r#"{"e":[{"value":"swordfish","key":"guestinfo.password"}]}"#,
            "<a><extraConfig><value>swordfish</value><key>guestinfo.password</key></extraConfig></a>",
        ] {
            let request = Secrets::of_request([].into_iter(), "/a", body.as_bytes());
            assert!(request.values().any(|value| value == "swordfish"), "{body}");
            let mut traced = Secrets::default();
            traced.body(body.as_bytes(), false);
            assert!(!traced.without_repetitions("bad value: swordfish").contains("swordfish"), "{body}");
        }
        let quoted = Secrets::of_request([("X-Token", "\"swordfish\"")].into_iter(), "/a", b"");
        assert!(quoted.values().any(|value| value == "swordfish"));
        assert_eq!(body("<!DOCTYPE a [<!ENTITY p 'swordfish'>]><a><password>&p;</password></a>"), UNREADABLE);
    }

    #[test]
    fn the_secrets_of_a_request_are_found_in_its_parts() {
        let headers = [
            ("Authorization", "SIGN token=\"t-1111\", nonce=\"n-2222\", signature=\"s-3333\""),
            ("Proxy-Authorization", "Basic Ym9iOmh1bnRlcjIyeA=="),
            ("Cookie", "a=\"c-4444\"; b=xy"),
            ("X-Secret", "two words"),
        ];
        let body = br#"{"password":"p-5555","b":"b-6666"}"#;
        let secrets = Secrets::of_request(headers.into_iter(), "/a?access_token=q%2D7777", body);
        let found: Vec<&str> = secrets.values().collect();
        for secret in [
            "t-1111",
            "s-3333",
            "Ym9iOmh1bnRlcjIyeA==",
            "hunter22x",
            "c-4444",
            "two words",
            "p-5555",
            "q-7777",
        ] {
            assert!(found.contains(&secret), "{secret}: {found:?}");
        }
        assert!(found.iter().all(|secret| secret.len() >= SHORT && !matches!(*secret, "n-2222" | "b-6666")));
    }

    #[test]
    fn what_was_found_by_its_name_is_masked_wherever_it_is_repeated() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.header("Cookie", "vmware_soap_session=\"52aa-bb\"; b=c0ffee77"), None);
        assert_eq!(secrets.header("Authorization", "Basic dXNlcjpwYXNz"), None);
        assert_eq!(secrets.header("vmware-api-session-id", "id-4711x"), None);
        assert_eq!(secrets.header("Accept", "text/xml").as_deref(), Some("text/xml"));
        secrets.body(b"<password>Tr0ub&amp;dor</password>", false);
        let set = secrets.header("Set-Cookie", "s=\"new-42-id\"; Path=/; Secure").unwrap();
        assert_eq!(set, "s=***; Path=/; Secure");
        for repeated in
            ["52aa-bb", "c0ffee77", "dXNlcjpwYXNz", "id-4711x", "Tr0ub&amp;dor", "Tr0ub%26dor", "new-42-id"]
        {
            for text in [
                format!("<a>bad {repeated}</a>"),
                format!("{{\"a\":\"bad {repeated}.\"}}"),
                format!("bad {repeated}\nx"),
            ] {
                let shown = secrets.body(text.as_bytes(), false);
                let shown = String::from_utf8(shown.to_vec()).unwrap();
                assert!(!shown.contains(repeated) && shown.contains(MASK), "{shown}");
            }
        }
        let mut short = Secrets::default();
        let login = short.body(b"<L><userName>pass</userName><password>pass</password></L>", false);
        assert_eq!(*login, b"<L><userName>***</userName><password>***</password></L>");
        let split = secrets.body(b"<p>52aa<b>-bb</b></p>", false);
        assert_eq!(*split, LEFT_OUT.as_bytes());
        assert_eq!(*secrets.body(b"\xff\x00id-4711x", false), LEFT_OUT.as_bytes());
        assert_eq!(*secrets.body(b"\xff\x00other", false), b"\xff\x00other");
    }
}
