//! Which values a setting accepts, for the code that checks them and in words for people.

const EXAMPLE: &str = "https://id.example.org";
const OPENSSL: &str = "for example the output of `openssl rand -base64 32`";

/// Which values a setting accepts.
#[derive(Debug)]
pub enum Rule {
    /// A whole number: least, greatest, what is counted.
    Whole(i64, i64, &'static str),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A secret of at least so many bytes.
    Secret(usize),
    /// A path; a relative one begins at the folder of the file that names it.
    Path,
    /// One or more IP addresses with port.
    Sockets,
    /// IP networks or addresses.
    Networks,
    /// Web origins.
    Origins,
    /// An http or https URL without a path.
    Root,
    /// An http or https URL; a path is allowed.
    Link,
    /// An https URL, or http on this machine; path and query are allowed.
    Feed,
    /// The issuer of an OpenID provider: an https URL, or http on this machine, kept to the letter.
    Issuer,
    /// Words without spaces and quotes (RFC 6749, section 3.3).
    Scopes,
    /// A map of groups to roles.
    Pairs,
    /// A duration from 1 s to 365 days, at a precision of 1 ms.
    Span,
    /// A minute of the day.
    TimeOfDay,
    /// Public keys of age.
    Recipients,
    /// The name or IP address of a machine.
    Host,
    /// A TCP port.
    Port,
    /// An e-mail address of ASCII characters.
    Address,
    /// One line of at most so many characters.
    Line(usize),
    /// A word of at most so many lower-case ASCII letters, digits and these other characters.
    Word(usize, &'static str),
}

impl Rule {
    pub(super) fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Sockets
                | Self::Networks
                | Self::Origins
                | Self::Scopes
                | Self::Pairs
                | Self::Recipients
        )
    }

    /// What would be right, as the object of "give".
    pub(super) fn right(&self) -> String {
        match self {
            Self::Whole(min, max, unit) => format!("a whole number of {unit} from {min} to {max}"),
            Self::Flag => "true or false".into(),
            Self::OneOf(words) => words.join(" or "),
            Self::Secret(1) => "it as the other side knows it".into(),
            Self::Secret(min) => format!("at least {min} bytes, {OPENSSL}"),
            Self::Path => "a path".into(),
            Self::Sockets => "one or more IP addresses with port, such as 127.0.0.1:8080".into(),
            Self::Networks => "a list of IP networks or addresses, such as 10.0.0.0/8".into(),
            Self::Origins => "a list of origins, such as https://app.example.org".into(),
            Self::Root => format!("an http or https URL without a path, such as {EXAMPLE}"),
            Self::Link => format!("an http or https URL, such as {EXAMPLE}/start"),
            Self::Feed => "an https URL (http only for localhost, 127.0.0.1 or [::1])".into(),
            Self::Issuer => "an https URL without a query, such as https://login.example.org (http only for localhost, 127.0.0.1 or [::1])".into(),
            Self::Scopes => "a list of words, such as [openid, profile, email, groups]".into(),
            Self::Pairs => "a map of groups to roles".into(),
            Self::Span => "a duration such as 8h, 90m or 1h30m, from 1s to 8760h".into(),
            Self::TimeOfDay => "a time such as 03:30, from 00:00 to 23:59".into(),
            Self::Recipients => "a list of age keys, as age-keygen prints them: age1 and 58 letters and digits".into(),
            Self::Host => "a host name or IP address, such as mail.example.org".into(),
            Self::Port => "a port from 1 to 65535".into(),
            Self::Address => "an address such as gate@example.org".into(),
            Self::Line(max) => format!("one line of 1 to {max} characters"),
            Self::Word(max, "") => format!("1 to {max} lower-case letters or digits"),
            Self::Word(max, _) => format!("1 to {max} lower-case letters, digits, - or _"),
        }
    }
}
