//! `webuser` and `webpassword`: the login for the page.

use crate::config::section::Section;
use crate::model::error::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::hint::black_box;

/// `name:password`; `None` if no login is needed.
#[derive(Clone)]
pub struct Login(Option<String>);

impl fmt::Debug for Login {
    /// Without the password.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.debug_struct("Login").field("is_needed", &self.is_needed()).finish_non_exhaustive()
    }
}

/// The result of checking an `Authorization` header.
#[derive(Clone, Copy, PartialEq)]
pub enum Proof {
    Fine,
    Missing,
    Wrong,
}

impl Login {
    /// # Errors
    /// One of the two keys is missing, or its value is not possible.
    pub fn read(section: &Section) -> Result<Login> {
        let text = |key| section.text(key).filter(|text| !text.is_empty());
        match (text("webuser"), text("webpassword")) {
            (None, None) => Ok(Login(None)),
            (Some(user), _) if user.contains(':') => {
                Err(section.problem("webuser", "a name with a colon cannot log in"))
            }
            (Some(_), Some(_)) if section.is_sample("webpassword") => {
                Err(section.problem("webpassword", "is that of the sample; write your own"))
            }
            (Some(user), Some(password)) => Ok(Login(Some(format!("{user}:{password}")))),
            (Some(_), None) => Err(section.problem("webpassword", "missing, while webuser is there; write one")),
            (None, Some(_)) => Err(section.problem("webuser", "missing, while webpassword is there; write one")),
        }
    }

    pub fn is_needed(&self) -> bool {
        self.0.is_some()
    }

    /// Checks the header (Basic authentication, RFC 7617).
    pub fn prove(&self, header: Option<&[u8]>) -> Proof {
        let Some(wanted) = &self.0 else { return Proof::Fine };
        let Some((scheme, text)) = header.and_then(|header| header.split_at_checked(6)) else { return Proof::Missing };
        let given = STANDARD.decode(text.trim_ascii()).unwrap_or_default();
        match scheme.eq_ignore_ascii_case(b"basic ") && is_same(wanted.as_bytes(), &given) {
            true => Proof::Fine,
            false => Proof::Wrong,
        }
    }
}

/// Compares a secret in constant time with respect to its content.
pub fn is_same(secret: &[u8], given: &[u8]) -> bool {
    let differing = secret.iter().zip(given.iter().chain(std::iter::repeat(&0)));
    let differing = differing.fold(0, |sum, (one, other)| black_box(sum | (one ^ other)));
    differing == 0 && secret.len() == given.len()
}
