use super::*;
use proptest::prelude::*;

fn written(family: &str, sample: &str, labels: &[(&str, &str)], help: &str) -> String {
    let mut out = Vec::new();
    write(&mut out, family, sample, labels.iter().copied(), help);
    String::from_utf8(out).unwrap()
}

/// The expected texts are what Python 3.11 printed for the same values.
#[test]
fn keys_are_what_python_writes() {
    assert_eq!(
        written("a", "a_total", &[], ""),
        r#"["a", "a_total", {}, ""]"#
    );
    let labels = [("a", "q\" b\\ s/"), ("b", "\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}")];
    assert_eq!(
        written(
            "h",
            "h_bucket",
            &labels,
            "\u{e9} \u{20ac} \u{1f600} \u{ffff} \u{10ffff}"
        ),
        concat!(
            r#"["h", "h_bucket", {"a": "q\" b\\ s/", "b": "\n\r\t\b\f\u0000\u001f\u007f"}, "#,
            r#""\u00e9 \u20ac \ud83d\ude00 \uffff \udbff\udfff"]"#
        )
    );
}

#[test]
fn each_byte_that_needs_an_escape_is_found_wherever_it_stands() {
    for byte in 0..=u8::MAX {
        for len in 1..=20 {
            for at in 0..len {
                for around in [b' ', b'!', b'}', b'~'] {
                    let mut text = vec![around; len];
                    text[at] = byte;
                    assert_eq!(
                        is_plain(&text),
                        !needs_escape(byte),
                        "{byte} at {at} of {len}"
                    );
                }
            }
        }
    }
    assert!(is_plain(b""));
}

#[test]
fn other_spellings_are_read() {
    let spelled = r#" [ "f","f_total" ,{"b":"2" , "a":"\u00E9\/\ud83D\uDE00","b":"3"},"é"]  "#;
    let key = parse(spelled.as_bytes()).unwrap();
    assert_eq!(
        (&*key.family, &*key.sample, &*key.help),
        ("f", "f_total", "é")
    );
    assert_eq!(
        key.labels,
        [("a".into(), "é/😀".into()), ("b".into(), "3".into())]
    );
}

#[test]
fn lone_surrogates_become_the_replacement_character() {
    for (spelled, expected) in [
        (r"\ud800", "\u{fffd}"),
        (r"\udc00x", "\u{fffd}x"),
        (r"\ud800\ud83d\ude00", "\u{fffd}😀"),
        (r"\ud800\n", "\u{fffd}\n"),
        (r"\ud800\u0041", "\u{fffd}A"),
    ] {
        let key = format!(r#"["f", "f", {{}}, "{spelled}"]"#);
        assert_eq!(parse(key.as_bytes()).unwrap().help, expected, "{spelled}");
    }
}

#[test]
fn what_is_no_key_says_where() {
    for (spelled, expected) in [
        (&b""[..], "expected `[` at byte 0 of the key"),
        (
            b"[\"f\", \"f\", {}, \"h\"",
            "expected `]` at byte 18 of the key",
        ),
        (
            b"[\"f\", \"f\", {}, \"h\"] x",
            "expected the end at byte 20 of the key",
        ),
        (b"[\"f\", \"f\", {}]", "expected `,` at byte 13 of the key"),
        (
            b"[\"f\", \"f\", [], \"h\"]",
            "expected `{` at byte 11 of the key",
        ),
        (
            b"[\"f\", \"f\", {\"a\": 1}, \"h\"]",
            "expected a string at byte 17 of the key",
        ),
        (
            b"[\"f\", \"f\", {\"a\": \"1\",}, \"\"]",
            "expected a string at byte 21 of the key",
        ),
        (
            b"[null, \"f\", {}, \"h\"]",
            "expected a string at byte 1 of the key",
        ),
        (
            b"[\"f\n\", \"f\", {}, \"h\"]",
            "raw control character in a string at byte 3 of the key",
        ),
        (
            b"[\"f\\x\", \"f\", {}, \"h\"]",
            "invalid escape in a string at byte 3 of the key",
        ),
        (
            b"[\"f\\u12g4\"",
            "invalid escape in a string at byte 3 of the key",
        ),
        (
            b"[\"f\\u12",
            "invalid escape in a string at byte 3 of the key",
        ),
        (b"[\"\xff\"", "invalid utf-8 at byte 2 of the key"),
        (b"[\"f", "expected `\"` at byte 3 of the key"),
    ] {
        assert_eq!(parse(spelled).unwrap_err().to_string(), expected);
    }
}

type Decoded = (
    String,
    String,
    std::collections::BTreeMap<String, String>,
    String,
);

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        family in ".*", sample in ".*", help in any::<String>(),
        labels in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..5),
    ) {
        let mut out = Vec::new();
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        write(&mut out, &family, &sample, pairs, &help);
        prop_assert!(out.is_ascii());
        let key = parse(&out).unwrap();
        let read: Decoded = (
            key.family.into_owned(),
            key.sample.into_owned(),
            key.labels.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect(),
            key.help.into_owned(),
        );
        prop_assert_eq!(&read, &(family, sample, labels, help));
        prop_assert_eq!(&read, &serde_json::from_slice::<Decoded>(&out).unwrap());
    }

    #[test]
    fn what_serde_json_takes_is_taken_alike(
        text in r#"\[ ?("([a\\"nu0-9é]|\\u00e[0-9A-F]|\\n)*",? ?){2}\{("a": ?"[b-c]*"(, "b":"\\/")?)?\} ?, ?"x*"\]? "#,
    ) {
        let ours = parse(text.as_bytes());
        match serde_json::from_slice::<Decoded>(text.as_bytes()) {
            Ok(theirs) => {
                let ours = ours.unwrap();
                prop_assert_eq!(ours.family, theirs.0);
                prop_assert_eq!(ours.sample, theirs.1);
                prop_assert_eq!(ours.labels.len(), theirs.2.len());
                prop_assert_eq!(ours.help, theirs.3);
            }
            Err(_) => prop_assert!(ours.is_err()),
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }
}
