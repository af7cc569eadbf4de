//! Mail addresses, taken and refused as 3.3.0 does (contract 04, section 3): by the rules of Python's
//! email-validator, without asking anybody whether the domain exists.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::compat::validation::Fields;

/// RFC 5321, 4.5.3.1.
const LONGEST_LOCAL: usize = 64;
const LONGEST: usize = 254;
const LONGEST_LABEL: usize = 63;
/// Names that no mail can be sent to (RFC 2606, RFC 6761, RFC 7686 and others), which
/// email-validator refuses.
const SPECIAL_USE: [&str; 8] = [
    "arpa",
    "invalid",
    "local",
    "localhost",
    "onion",
    "test",
    "internal",
    "alt",
];

/// The address in this field: without blanks and a name around it, the domain in lower case. The local
/// part stays as it is.
pub(super) fn of(fields: &mut Fields, name: &'static str) -> String {
    let text = fields.string(name);
    if !fields.is_text(name) {
        return text;
    }
    match normalised(&text) {
        Ok(address) => address,
        Err(reason) => {
            let msg = format!("value is not a valid email address: {reason}");
            fields.refuse(name, "value_error", msg);
            text
        }
    }
}

fn normalised(text: &str) -> Result<String, &'static str> {
    let address = bare(text.trim());
    let Some((local, domain)) = address.rsplit_once('@') else {
        return Err("An email address must have an @-sign.");
    };
    check_local(local)?;
    let domain = check_domain(domain)?;
    let address = format!("{local}@{domain}");
    if address.len() > LONGEST {
        return Err("The email address is too long.");
    }
    Ok(address)
}

/// What stands in the brackets of `Name <a@b.c>`.
fn bare(text: &str) -> &str {
    let inner = text
        .strip_suffix('>')
        .and_then(|text| text.rsplit_once('<'));
    inner.map_or(text, |(_name, address)| address.trim())
}

fn check_local(local: &str) -> Result<(), &'static str> {
    const SPECIAL: &str = "!#$%&'*+-/=?^_`{|}~.";
    if local.is_empty() {
        return Err("There must be something before the @-sign.");
    }
    if local.len() > LONGEST_LOCAL {
        return Err("The email address is too long before the @-sign.");
    }
    if local.starts_with('.') {
        return Err("An email address cannot start with a period.");
    }
    if local.ends_with('.') {
        return Err("An email address cannot have a period immediately before the @-sign.");
    }
    if local.contains("..") {
        return Err("An email address cannot have two periods in a row.");
    }
    let fits = |sign: char| sign.is_alphanumeric() || SPECIAL.contains(sign);
    if !local.chars().all(fits) {
        return Err("The email address contains invalid characters before the @-sign.");
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<String, &'static str> {
    const NOT_VALID: &str = "The part after the @-sign contains invalid characters.";
    if domain.is_empty() {
        return Err("There must be something after the @-sign.");
    }
    if domain.starts_with('.') {
        return Err("An email address cannot have a period immediately after the @-sign.");
    }
    if domain.ends_with('.') {
        return Err("An email address cannot end with a period.");
    }
    if domain.contains("..") {
        return Err("An email address cannot have two periods in a row.");
    }
    if domain.parse::<Ipv4Addr>().is_ok()
        || domain.starts_with('[')
        || domain.parse::<Ipv6Addr>().is_ok()
    {
        return Err("A bracketed or numeric address after the @-sign is not allowed here.");
    }
    let domain = domain.to_lowercase();
    for label in domain.split('.') {
        let fits = |sign: char| sign.is_alphanumeric() || sign == '-';
        if label.len() > LONGEST_LABEL {
            return Err("The part after the @-sign is too long.");
        }
        if !label.chars().all(fits) || label.starts_with('-') || label.ends_with('-') {
            return Err(NOT_VALID);
        }
    }
    let is_special = |name: &str| {
        domain == name
            || domain
                .strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    if SPECIAL_USE.iter().any(|name| is_special(name)) {
        return Err(
            "The part after the @-sign is a special-use or reserved name that cannot be used with email.",
        );
    }
    let Some((_, last)) = domain.rsplit_once('.') else {
        return Err("The part after the @-sign is not valid. It should have a period.");
    };
    if !last.chars().any(char::is_alphabetic) {
        return Err(
            "The part after the @-sign is not valid. It is not within a valid top-level domain.",
        );
    }
    Ok(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (given, taken) in [
            ("a@b.de", "a@b.de"),
            (" Anna.B+tag@Example.ORG ", "Anna.B+tag@example.org"),
            ("Anna B. <anna@example.org>", "anna@example.org"),
            ("<a@b.de>", "a@b.de"),
            ("änne@müller.de", "änne@müller.de"),
            ("o'brien_{x}@a-b.co.uk", "o'brien_{x}@a-b.co.uk"),
        ] {
            assert_eq!(normalised(given).as_deref(), Ok(taken));
        }
    }

    #[test]
    fn what_no_mail_can_be_sent_to_is_refused() {
        let local = format!("{}@b.de", "a".repeat(65));
        let domain = format!("a@{}.de", "b".repeat(64));
        let whole = format!("a@{}de", format!("{}.", "b".repeat(60)).repeat(5));
        for bad in [
            "",
            "a",
            "@b.de",
            "a@",
            "a@b",
            ".a@b.de",
            "a.@b.de",
            "a..b@c.de",
            "a b@c.de",
            "a@b..de",
            "a@.b.de",
            "a@b.de.",
            "a@-b.de",
            "a@b-.de",
            "a@b_c.de",
            "a@b.test",
            "a@localhost",
            "a@x.localhost",
            "a@x.local",
            "a@1.2.3.4",
            "a@[1.2.3.4]",
            "a@b.1",
            "a@b@c.de",
            "a\u{0}@b.de",
            "Anna <a@b.de> x",
            &local,
            &domain,
            &whole,
        ] {
            assert!(normalised(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic_and_what_it_takes_it_takes_again(text in "[a-zÄ@.<> \\-\\[]{0,40}") {
            if let Ok(address) = normalised(&text) {
                proptest::prop_assert_eq!(normalised(&address), Ok(address));
            }
        }
    }
}
