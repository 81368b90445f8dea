//! Secrets are masked in every form, and ordinary values are not.

use puypuy::config::ini;
use puypuy::config::masking::{Secrets, file, is_secret, shown};

#[test]
fn keys_say_whether_their_value_is_a_secret() {
    for key in
        ["pass", "webpassword", "token", "apikey", "uuid", "community", "admin_secret", "AUTH_PASS", "secret_key"]
    {
        assert!(is_secret(key), "{key}");
    }
    for key in ["user", "address", "token_file", "client_key", "ca_file", "keys", "host", "hysteresis", "database"] {
        assert!(!is_secret(key), "{key}");
    }
}

#[test]
fn secrets_within_values_are_masked() {
    for (line, expected) in [
        ("pass = x", "***"),
        ("pass =", ""),
        ("address = http://ann:p@ss@host:1/x", "http://***@host:1/x"),
        ("address = http://host/x?a=b", "http://host/x?***"),
        ("command = /bin/x -H host -psecret --token=abc word --flag", "/bin/x -H *** -p*** --token=*** *** --flag"),
        ("dsn = host=db password='a b' port=1", "host=db password='***' port=1"),
        ("file = /var/lib/x", "/var/lib/x"),
        ("text = é=ü token=ö…", "é=ü token=***"),
    ] {
        let read = ini::parse(&format!("[S]\n{line}\n"), "x.ini");
        let section = read.section("S").unwrap();
        assert_eq!(shown(section, &section.entries[0]), expected, "{line}");
    }
}

#[test]
fn known_secrets_and_what_looks_like_one_are_masked_in_any_text() {
    let read = ini::parse("[S]\npass = geh\"eim\nport = 8080\nurl = http://u:w%20w@h/?q=long-value-of-it\n", "x.ini");
    let secrets = Secrets::of(&read.sections);
    for (text, expected) in [
        ("it is geh\"eim", "it is ***"),
        ("\"geh\\\"eim\"", "\"***\""),
        ("geh%22eim", "***"),
        ("w%20w and long-value-of-it", "*** and ***"),
        ("port 8080", "port 8080"),
        ("Authorization: Basic YW5uOm9uZQ==, x", "Authorization: Basic ***, x"),
        ("Basic auth", "Basic auth"),
        (
            "{\"api_key\" : \"a\", \"apikey\":\"b\", \"token\": 5}",
            "{\"api_key\" : \"***\", \"apikey\":\"***\", \"token\": ***}",
        ),
        ("a=b ://", "a=b ://"),
        ("pass=", "pass="),
    ] {
        assert_eq!(secrets.mask(text), expected);
    }
}

#[test]
fn a_file_keeps_its_lines_and_loses_its_comments() {
    let text =
        "# head\n\n[A]\n# pass = old\nhigh = 1\npass = x\n\n[DEFAULT]\ncommon = y\n[B]\nmore = 1\n   2\nlast = z\n";
    let shown = file(&ini::parse(text, "x.ini"));
    assert_eq!(shown, "\n\n[A]\n\nhigh = 1\npass = ***\n\n[DEFAULT]\ncommon = y\n[B]\nmore = 1\n    2\nlast = z\n");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z=:\"'/@?&; \u{e9}\n-]{0,60}", value in "[a-z=:\"'/@?&; \u{e9}-]{0,40}") {
        let read = ini::parse(&format!("[S]\npass = {value}\nx = {value}\n"), "x.ini");
        Secrets::of(&read.sections).mask(&text);
        file(&read);
    }
}
