//! Removes secrets from requests and replies before they are written to a trace: by the names of headers, elements, members and
//! parameters, and wherever a secret that was found by its name is repeated.

use crate::runtime::redact::{Redactor, without_references};
use crate::runtime::secret::{MASK, Wiped};

/// In the place of a body that repeats a secret in a form in which it cannot be cut out.
const LEFT_OUT: &str = "(the body repeats a secret in another form and is left out)";

/// A name that contains one of these, in any case and whatever stands between its words, is the name of a secret.
const WORDS: &[&str] = &[
    "password", "passwd", "passphrase", "secret", "token", "ticket", "cookie", "signature", "assertion",
    "authorization", "sessionid", "apikey", "privatekey",
];

/// As many different secrets of one exchange are looked for.
const MOST: usize = 64;

/// Whether what has this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let bare: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    // The header of WS-Security, with tokens and signatures.
    bare == "security" || WORDS.iter().any(|word| bare.contains(word))
}

/// The secrets of an exchange that were found by their names.
#[derive(Default)]
pub(super) struct Secrets {
    found: Vec<Wiped<String>>,
    /// How many values were masked.
    pub(super) masked: usize,
}

impl Secrets {
    /// Notes a value and masks it.
    fn mask(&mut self, value: &str) -> &'static str {
        self.masked += 1;
        let value = value.trim();
        // What is no secret wherever else it stands.
        let is_common = matches!(value, "" | "true" | "false" | "null" | MASK)
            || value.len() < 4 && value.bytes().all(|b| b.is_ascii_digit());
        if !is_common && self.found.len() < MOST && self.found.iter().all(|known| known.as_str() != value) {
            self.found.push(Wiped::new(value.to_string()));
        }
        MASK
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
        if is_secret(name) {
            let secret = value.split_once(' ').map_or(value, |(_, secret)| secret);
            self.mask(secret);
            return None;
        }
        if is("location") || is("referer") {
            return Some(self.target(value));
        }
        Some(value.to_string())
    }

    /// A target or an address, whose query may hold secrets.
    pub(super) fn target(&mut self, target: &str) -> String {
        match target.split_once('?') {
            Some((path, query)) => format!("{path}?{}", self.form(query)),
            None => target.to_string(),
        }
    }

    /// Parameters of a query or a form: `a=b&c=d`.
    fn form(&mut self, text: &str) -> String {
        let mut clean = Vec::new();
        for pair in text.split('&') {
            clean.push(match pair.split_once('=') {
                Some((name, value)) if is_secret(name) || name.starts_with("SAML") => {
                    format!("{name}={}", self.mask(value))
                }
                _ => pair.to_string(),
            });
        }
        clean.join("&")
    }

    /// A body as it may be shown. `all`: each of its texts is a secret.
    pub(super) fn body(&mut self, body: &[u8], is_form: bool, all: bool) -> Wiped<Vec<u8>> {
        let Some(text) = as_text(body) else { return self.binary(body) };
        let by_name = Wiped::new(match text.trim_start().bytes().next() {
            Some(b'<') => self.xml(text, all),
            Some(b'{' | b'[' | b'"') => self.json(text, all),
            _ if is_form => self.form(text),
            _ if all && !text.trim().is_empty() => self.mask(text).to_string(),
            _ => text.to_string(),
        });
        Wiped::new(self.without_repetitions(&by_name).into_bytes())
    }

    /// The text without the secrets that have been found, wherever they stand.
    pub(super) fn without_repetitions(&self, text: &str) -> String {
        let found: Vec<&str> = self.found.iter().map(|secret| secret.as_str()).collect();
        let redactor = Redactor(&found);
        if found.is_empty() || !redactor.is_in(text) {
            return text.to_string();
        }
        let is_xml = text.trim_start().starts_with('<');
        let marks = if is_xml { &['<', '>'][..] } else { &['"', '\n'] };
        let mut clean = String::with_capacity(text.len());
        for piece in text.split_inclusive(marks) {
            if is_xml && piece.ends_with('>') {
                // The names in a tag are the API's own. A short password is part of many words.
                for (number, part) in piece.split('"').enumerate() {
                    clean.push_str(if number == 0 { "" } else { "\"" });
                    let redacted = (number % 2 == 1).then(|| redactor.redact_xml(part)).flatten();
                    clean.push_str(redacted.as_deref().unwrap_or(part));
                }
                continue;
            }
            let bare = piece.trim_end_matches(marks);
            clean.push_str(redactor.redact_xml(bare).as_deref().unwrap_or(bare));
            clean.push_str(&piece[bare.len()..]);
        }
        // Markup may split a secret.
        let is_left = if is_xml { redactor.is_in_escaped(&clean) } else { redactor.is_in(&clean) };
        if is_left { LEFT_OUT.into() } else { clean }
    }

    /// A body that is no text: only what it repeats word for word can be found.
    fn binary(&mut self, body: &[u8]) -> Wiped<Vec<u8>> {
        let repeats = self.found.iter().filter(|secret| secret.len() >= 4);
        match repeats.into_iter().any(|secret| memchr::memmem::find(body, secret.as_bytes()).is_some()) {
            true => Wiped::new(LEFT_OUT.into()),
            false => Wiped::new(body.to_vec()),
        }
    }

    fn xml(&mut self, text: &str, all: bool) -> String {
        let mut clean = String::with_capacity(text.len() + 256);
        // The names of the open elements, and whether each one's content is secret.
        let mut open: Vec<(&str, bool)> = Vec::new();
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
            let (name, secret) = *open.last().unwrap_or(&("", all));
            if is_text && secret && name != "_this" && !piece.trim().is_empty() {
                let bare = piece.strip_prefix("<![CDATA[").map(|text| text.trim_end_matches("]]>"));
                let plain = Wiped::new(bare.map_or_else(|| without_references(piece), str::to_string));
                clean.push_str(self.mask(&plain));
            } else if is_text || piece.starts_with("<!") || piece.starts_with("<?") {
                if matches!(name, "key" | "name") {
                    named = is_secret(piece);
                }
                clean.push_str(if secret && piece.starts_with("<!--") { "" } else { piece });
            } else if piece.starts_with("</") {
                open.pop();
                clean.push_str(piece);
            } else {
                let name = piece[1..].split(|c: char| c.is_whitespace() || matches!(c, '/' | '>')).next();
                let name = name.unwrap_or_default();
                let name = name.rsplit(':').next().unwrap_or_default();
                let follows = matches!(name, "value" | "val") && std::mem::take(&mut named);
                if !piece.ends_with("/>") {
                    open.push((name, secret || follows || is_secret(name)));
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
        // Whether what stands in each open object or array is secret.
        let mut open: Vec<bool> = Vec::new();
        // Whether the value that comes next is secret.
        let mut next = all;
        let (mut named, mut is_name) = (false, false);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let within = open.last().copied().unwrap_or(all);
            let length = match first {
                '"' => end_of_string(rest),
                '-' | '0'..='9' => rest
                    .find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+' | 'e' | 'E'))
                    .unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            let (piece, behind) = rest.split_at(length);
            rest = behind;
            match first {
                '"' if behind.trim_start().starts_with(':') => {
                    let name = piece.trim_matches('"');
                    let follows = matches!(name, "value" | "val") && std::mem::take(&mut named);
                    next = within || follows || is_secret(name);
                    is_name = matches!(name, "key" | "name");
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
                        '"' if is_name => named = is_secret(piece),
                        '{' | '[' => open.push(next),
                        '}' | ']' => {
                            open.pop();
                            next = open.last().copied().unwrap_or(all);
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
                    let code: String = chars.by_ref().take(4).collect();
                    plain.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
                }
                Some(other) => plain.push(other),
                None => {}
            },
            (c, false) => plain.push(c),
        }
    }
    plain
}

/// The body as text. A character that was cut off at its end is left out.
fn as_text(body: &[u8]) -> Option<&str> {
    match std::str::from_utf8(body) {
        Ok(text) => Some(text).filter(|text| !text.contains('\0')),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&body[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> String {
        String::from_utf8(Secrets::default().body(text.as_bytes(), false, false).to_vec()).unwrap()
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
            (r#""a text""#, r#""a text""#),
        ] {
            assert_eq!(body(given), shown);
        }
        let all = |text: &str| {
            String::from_utf8(Secrets::default().body(text.as_bytes(), false, true).to_vec()).unwrap()
        };
        assert_eq!(all(r#""b00b-cafe""#), r#""***""#);
        assert_eq!(all(r#"{"value":"b00b-cafe"}"#), r#"{"value":"***"}"#);
        assert_eq!(all("b00b-cafe"), "***");
        let mut secrets = Secrets::default();
        assert_eq!(secrets.target("/a?b=c&access_token=t-12345678&d"), "/a?b=c&access_token=***&d");
        let form = secrets.body(b"grant_type=x&client_secret=s-123&e=t-12345678", true, false);
        assert_eq!(*form, b"grant_type=x&client_secret=***&e=***");
    }

    #[test]
    fn what_was_found_by_its_name_is_masked_wherever_it_is_repeated() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.header("Cookie", "vmware_soap_session=\"52aa-bb\"; b=c0ffee77"), None);
        assert_eq!(secrets.header("Authorization", "Basic dXNlcjpwYXNz"), None);
        assert_eq!(secrets.header("vmware-api-session-id", "id-4711x"), None);
        assert_eq!(secrets.header("Accept", "text/xml").as_deref(), Some("text/xml"));
        secrets.body(b"<password>Tr0ub&amp;dor</password>", false, false);
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
                let shown = secrets.body(text.as_bytes(), false, false);
                let shown = String::from_utf8(shown.to_vec()).unwrap();
                assert!(!shown.contains(repeated) && shown.contains(MASK), "{shown}");
            }
        }
        let mut short = Secrets::default();
        let login = short.body(b"<L><userName>pass</userName><password>pass</password></L>", false, false);
        assert_eq!(*login, b"<L><userName>***</userName><password>***</password></L>");
        let split = secrets.body(b"<p>52aa<b>-bb</b></p>", false, false);
        assert_eq!(*split, LEFT_OUT.as_bytes());
        assert_eq!(*secrets.body(b"\xff\x00id-4711x", false, false), LEFT_OUT.as_bytes());
        assert_eq!(*secrets.body(b"\xff\x00other", false, false), b"\xff\x00other");
    }
}
