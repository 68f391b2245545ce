//! Password hashes against mosquitto's own and against the bounds.

use espbroker_config::{
    model::PasswordHash,
    password::{ITERATIONS_DEFAULT, ITERATIONS_MAX, PasswordError, SALT_DEFAULT},
};

/// `mosquitto_passwd -H sha512-pbkdf2 -b -c FILE ann "correct horse"` of mosquitto 2.0, 101 iterations.
const MOSQUITTO: &str = "$7$101$OHfjcQg5sqtXYLsY$bUllY8tgfa3Nf1jIqfLSzYlKclPPN8LzlDoey5sSHDk3rD8NURYCS62bceIkaoruaNTliKNckhuLUNCVJYIg/A==";
/// The same with `-I 5`.
const MOSQUITTO_5: &str = "$7$5$t7koibjbtmhUVyjM$j9vCJiULD7JTwcoqUh4GAwmVi09mhR3VhUY42vumvaX5xhvhqG6xb/oergdj6BB5nL17enp/hRjBlQ8SBNiniA==";
/// The same with `-I 1000`, the default of mosquitto 2.1.
const MOSQUITTO_1000: &str = "$7$1000$Jb3h4kG0Fh1QjmJv$DUDbkrT6UjFWm52/gHqJdHaUF0/SZgQJAUbAdKy5upmAgTJTfxFX6H+zx5EIKvY9iaeDZzD5T/DunioZIRRn3A==";

#[test]
fn a_hash_made_by_mosquitto_is_read_verified_and_written_back() {
    for (text, iterations) in
        [(MOSQUITTO, ITERATIONS_DEFAULT), (MOSQUITTO_5, 5), (MOSQUITTO_1000, ITERATIONS_MAX)]
    {
        let hash = PasswordHash::from_text(text).unwrap();
        assert_eq!((hash.iterations, hash.salt.len()), (iterations, SALT_DEFAULT));
        assert!(hash.verify(b"correct horse"));
        assert!(!hash.verify(b"correct hors") && !hash.verify(b"correct horse ") && !hash.verify(b""));
        assert_eq!(hash.to_text(), text);
    }
}

#[test]
fn deriving_with_mosquittos_salt_gives_mosquittos_hash() {
    let expected = PasswordHash::from_text(MOSQUITTO).unwrap();
    let derived = PasswordHash::derive(b"correct horse", &expected.salt, expected.iterations).unwrap();
    assert_eq!(derived, expected);
}

#[test]
fn any_bytes_can_be_a_password() {
    for password in [&b""[..], b"\0", b"\xFF\xFE", &[b'x'; 300]] {
        let hash = PasswordHash::derive(password, b"01234567", 2).unwrap();
        assert!(hash.verify(password) && !hash.verify(b"another"));
        assert_eq!(PasswordHash::from_text(&hash.to_text()), Ok(hash));
    }
}

#[test]
fn iterations_and_salt_are_taken_to_their_bounds_and_no_further() {
    let derive = |salt: usize, iterations| PasswordHash::derive(b"p", &vec![7; salt], iterations).map(drop);
    assert_eq!(derive(8, 1), Ok(()));
    assert_eq!(derive(64, 1), Ok(()));
    assert_eq!(derive(8, 1000), Ok(()));
    assert_eq!(derive(7, 1), Err(PasswordError::Salt));
    assert_eq!(derive(65, 1), Err(PasswordError::Salt));
    assert_eq!(derive(8, 0), Err(PasswordError::Iterations));
    assert_eq!(derive(8, 1001), Err(PasswordError::Iterations));
}

#[test]
fn text_in_another_form_is_refused_with_the_part_that_is_wrong() {
    let salt = "MDEyMzQ1Njc=";
    let hash = "A".repeat(86) + "==";
    let text = |iterations: &str, salt: &str, hash: &str| format!("$7${iterations}${salt}${hash}");
    assert!(PasswordHash::from_text(&text("1000", salt, &hash)).is_ok());
    let cases = [
        (String::new(), PasswordError::Form),
        ("$6$salt$hash".into(), PasswordError::Form),
        (format!("$7$101${salt}"), PasswordError::Form),
        (text("101", salt, &hash) + "$", PasswordError::Form),
        (text("0", salt, &hash), PasswordError::Iterations),
        (text("1001", salt, &hash), PasswordError::Iterations),
        (text("+5", salt, &hash), PasswordError::Iterations),
        (text("", salt, &hash), PasswordError::Iterations),
        (text("99999999999", salt, &hash), PasswordError::Iterations),
        (text("101", "MDEyMzQ1Ng==", &hash), PasswordError::Salt),
        (text("101", &"A".repeat(88), &hash), PasswordError::Salt),
        (text("101", "MDEyMzQ1Njc", &hash), PasswordError::Salt),
        (text("101", "MDEy*zQ1Njc=", &hash), PasswordError::Salt),
        (text("101", salt, &"A".repeat(84)), PasswordError::Hash),
        (text("101", salt, &"A".repeat(88)), PasswordError::Hash),
        (text("101", salt, ""), PasswordError::Hash),
    ];
    for (text, error) in cases {
        assert_eq!(PasswordHash::from_text(&text), Err(error), "{text}");
    }
}

#[test]
fn a_hash_from_flash_that_is_outside_its_bounds_costs_nothing_and_matches_nothing() {
    let mut hash = PasswordHash::derive(b"p", b"01234567", 1).unwrap();
    for iterations in [0, 1001, u32::MAX] {
        hash.iterations = iterations;
        assert!(!hash.verify(b"p"), "{iterations}");
    }
}
