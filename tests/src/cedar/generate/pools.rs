//! What names, texts and numbers are drawn from.
//!
//! The pools are small, so that two draws are often equal, and hold what an implementation gets wrong: the ends of
//! ranges, texts that look alike, names that need quotes, several texts for one value.

use crate::cedar::choices::Choices;

/// Names that a schema and a policy can hold; the first of a case are the most frequent.
const NAMES: &[&str] = &["owner", "level", "name", "acl", "since", "meta", "type", "id", "a", "b"];

/// Names that need quotes, that Cedar or JSON uses itself, or that look like another.
const ODD_NAMES: &[&str] = &[
    "in",
    "if",
    "has",
    "true",
    "principal",
    "resource",
    "when",
    "permit",
    "a.b",
    "a b",
    "",
    "\"",
    "a\"b",
    "\\",
    "\0",
    "\n",
    "é",
    "e\u{301}",
    "😀",
    "名",
    "Name",
    "__proto__",
    "$",
    "*",
];

const TEXTS: &[&str] = &["a", "b", "ab", "abc", "alice", "", "owner", "1.0"];

const ODD_TEXTS: &[&str] = &[
    "A",
    "a\0",
    "\0",
    "*",
    "a*b",
    "\\*",
    "\\",
    "\"",
    "'",
    "\n",
    "\r\n",
    "\t",
    "é",
    "e\u{301}",
    "😀",
    "😀😀",
    "a😀b",
    "\u{10ffff}",
    "\u{ffff}",
    "\u{200d}",
    "ß",
    "SS",
    "İ",
    " a",
    "a ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    "true",
    "1",
    "10.0.0.1",
    "2024-10-15",
    "1d",
    "User::\"alice\"",
    "${a}",
];

const LONGS: &[i64] = &[0, 1, 2, 3, 5, 10, -1, -2, -5, 100];

const ODD_LONGS: &[i64] = &[
    i64::MIN,
    i64::MIN + 1,
    i64::MAX,
    i64::MAX - 1,
    i64::MAX / 2 + 1,
    i64::MIN / 2,
    3_037_000_500,
    -3_037_000_500,
    1 << 31,
    1 << 32,
    1 << 53,
    (1 << 53) + 1,
    86_400_000,
];

const IDS: &[&str] = &["alice", "bob", "a", "1"];

const ODD_IDS: &[&str] = &[
    "",
    "a\"b",
    "line\nbreak",
    "\0",
    "a\0",
    "é",
    "e\u{301}",
    "😀",
    "x::y",
    "\\",
    "*",
    "Alice",
    "alice ",
    "__entity",
    "view",
];

/// The texts of an extension type.
#[derive(Debug)]
pub(super) struct ExtensionTexts {
    /// The constructor.
    pub(super) constructor: &'static str,
    /// Texts that it takes.
    pub(super) valid: &'static [&'static str],
    /// Texts that it refuses.
    pub(super) invalid: &'static [&'static str],
}

/// Decimals: one value in several texts, and the ends of the range.
pub(super) const DECIMAL: ExtensionTexts = ExtensionTexts {
    constructor: "decimal",
    valid: &[
        "0.0",
        "-0.0",
        "1.0",
        "1.00",
        "01.0000",
        "1.5",
        "-1.5",
        "0.0001",
        "-0.0001",
        "-0.5",
        "12.34",
        "922337203685477.5807",
        "-922337203685477.5808",
        "922337203685477.5806",
    ],
    invalid: &[
        "",
        "1",
        "1.",
        ".5",
        "1.23456",
        "922337203685477.5808",
        "-922337203685477.5809",
        "99999999999999999999.0",
        "+1.0",
        "1e3",
        " 1.0",
        "1.0 ",
        "1.0\n",
        "1,0",
        "-.5",
        "--1.0",
        "١.٠",
        "1.0.0",
    ],
};

/// Addresses and networks of both versions, among them networks whose address has bits beyond the prefix.
pub(super) const IP: ExtensionTexts = ExtensionTexts {
    constructor: "ip",
    valid: &[
        "10.0.0.1",
        "10.0.0.1/32",
        "10.0.0.0/8",
        "10.0.0.1/8",
        "10.0.0.1/31",
        "0.0.0.0/0",
        "10.0.0.1/0",
        "0.0.0.0",
        "127.0.0.1",
        "127.0.0.0/8",
        "127.0.0.0/7",
        "127.0.0.1/0",
        "224.0.0.1",
        "224.0.0.0/4",
        "224.0.0.0/3",
        "239.255.255.255",
        "255.255.255.255",
        "::",
        "::1",
        "::1/128",
        "::1/127",
        "::/0",
        "ff00::/8",
        "ff00::/7",
        "ff02::1",
        "2001:db8::/32",
        "2001:db8::1",
        "2001:DB8:0:0:0:0:0:1",
        "::ffff:7f00:1",
        "::ffff:a00:1/96",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    ],
    invalid: &[
        "",
        "10.0.0",
        "10.0.0.01",
        "10.0.0.256",
        "10.0.0.1/33",
        "10.0.0.1/08",
        "10.0.0.1/",
        "10.0.0.1/-1",
        "10.0.0.1/+8",
        "10.0.0.1/032",
        "::/129",
        "::/0128",
        "::ffff:127.0.0.1",
        "fe80::1%eth0",
        "10.0.0.1 ",
        "1:2:3:4:5:6:7",
        "::1::",
        "localhost",
        "[::1]",
        "10.0.0.0/8/8",
    ],
};

/// Moments around the epoch, in several zones, and the ends of what a text can say.
pub(super) const DATETIME: ExtensionTexts = ExtensionTexts {
    constructor: "datetime",
    valid: &[
        "1970-01-01",
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "1969-12-31",
        "1969-12-30T12:00:00Z",
        "2024-02-29",
        "2000-02-29T23:59:59Z",
        "2024-10-15T12:30:00Z",
        "2024-10-15T12:30:00.000Z",
        "2024-10-15T14:30:00+0200",
        "2024-10-15T12:30:00.001-0000",
        "2024-10-14T12:31:00-2359",
        "0000-01-01",
        "0000-01-01T00:00:00.000+2359",
        "9999-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59.999-2359",
    ],
    invalid: &[
        "",
        "2023-02-29",
        "1900-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-10-00",
        "2024-10-15T24:00:00Z",
        "2024-10-15T12:60:00Z",
        "2016-12-31T23:59:60Z",
        "2024-10-15T12:30:00",
        "2024-10-15T12:30Z",
        "2024-10-15T12:30:00.1Z",
        "2024-10-15T12:30:00+2400",
        "2024-10-15T12:30:00+0260",
        "2024-10-15T12:30:00+02:00",
        "2024-10-15 12:30:00Z",
        "2024-10-15t12:30:00z",
        "10000-01-01",
        "-001-01-01",
        "2024-1-1",
        "2024-10-15\n",
        "２024-10-15",
    ],
};

/// Durations: one value in several texts, and the ends of the range.
pub(super) const DURATION: ExtensionTexts = ExtensionTexts {
    constructor: "duration",
    valid: &[
        "0ms",
        "-0d",
        "1ms",
        "-1ms",
        "999ms",
        "-999ms",
        "1s",
        "-59s",
        "61m",
        "1d",
        "24h",
        "1440m",
        "86400s",
        "86400000ms",
        "1d2h3m4s5ms",
        "-1d2h3m4s5ms",
        "007d",
        "9223372036854775807ms",
        "-9223372036854775808ms",
        "106751991167d",
        "-106751991167d7h12m55s808ms",
    ],
    invalid: &[
        "",
        "-",
        "1",
        "d",
        "1h1d",
        "1d1d",
        "1.5h",
        "1D",
        "+1d",
        "--1ms",
        "1 d",
        "1d ",
        "9223372036854775808ms",
        "-9223372036854775809ms",
        "106751991168d",
        "106751991167d7h12m55s808ms",
        "99999999999999999999s",
        "1w",
    ],
};

/// The name of an attribute.
pub(super) fn name(choices: &mut Choices) -> &'static str {
    let odd = choices.chance(14);
    choices.word(if odd { ODD_NAMES } else { NAMES })
}

/// A text.
pub(super) fn text(choices: &mut Choices) -> &'static str {
    let odd = choices.chance(18);
    choices.word(if odd { ODD_TEXTS } else { TEXTS })
}

/// A number.
pub(super) fn long(choices: &mut Choices) -> i64 {
    let odd = choices.chance(12);
    *choices.pick(if odd { ODD_LONGS } else { LONGS })
}

/// The id of an entity.
pub(super) fn id(choices: &mut Choices) -> &'static str {
    let odd = choices.chance(20);
    choices.word(if odd { ODD_IDS } else { IDS })
}
