//! `waypost setup` without a domain: asks for what it needs, one thing at a time.
//!
//! Invariant: an answer that cannot be used is told at once and asked for again; nothing is made before the last answer.

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::IpAddr;

use anyhow::{Result, bail};
use mail::{Domain, Mailbox};

use super::plan::read_domain;
use crate::cli::{CertificateFrom, Setup};
use crate::dns::public_addresses;
use crate::output::{BOLD, DIM, WARN, styled};

/// Completes the command line by questions, where it names no domain and somebody can answer.
pub fn complete(args: Setup) -> Result<Setup> {
    if args.domain.is_some() {
        return Ok(args);
    }
    if !args.ask && !io::stdin().is_terminal() {
        bail!("no domain is named\n  hint: waypost setup example.com --forward me@example.com=foo@gmail.com");
    }
    questions(args, &mut io::stdin().lock(), &mut anstream::stderr().lock())
}

fn questions(mut args: Setup, input: &mut impl BufRead, out: &mut impl Write) -> Result<Setup> {
    writeln!(out, "{}", styled(BOLD, "A few questions; Enter takes what stands in brackets."))?;
    let domain = ask(input, out, "Your domain, as in example.com", None, |text| read_domain(text).map_err(|e| e.to_string()))?;
    if args.forward.is_empty() {
        let me = format!("me@{domain}");
        let address = ask(input, out, "An address of yours there", Some(&me), |text| {
            let full = if text.contains('@') { text.to_owned() } else { format!("{text}@{domain}") };
            let mailbox = Mailbox::parse(&full).map_err(|e| e.to_string())?;
            if mailbox.domain == domain { Ok(mailbox) } else { Err(format!("{mailbox} is not an address of {domain}")) }
        })?;
        let target = ask(input, out, "Where its mail goes: the mailbox that you read, as in foo@gmail.com", None, |text| {
            let target = Mailbox::parse(text).map_err(|e| e.to_string())?;
            if target.domain == domain { Err(format!("{target} is here too; name the mailbox elsewhere")) } else { Ok(target) }
        })?;
        args.forward.push(format!("{address}={target}"));
    }
    if args.hostname.is_none() {
        let hostname = ask(input, out, "The name of this server in DNS", Some(&suggested(&domain)), |text| {
            read_domain(text).map_err(|e| e.to_string())
        })?;
        args.hostname = Some(hostname.to_string());
    }
    if args.addresses.is_empty() && public_addresses().is_empty() {
        let question =
            "This machine has no public address of its own. From which one does the Internet reach it (- if that is not known yet)";
        args.addresses = ask(input, out, question, Some("-"), |text| match text {
            "-" => Ok(Vec::new()),
            text => text.parse::<IpAddr>().map(|address| vec![address]).map_err(|e| e.to_string()),
        })?;
    }
    if args.certificate == CertificateFrom::SelfSigned {
        let question = "A certificate from Let's Encrypt? Gmail needs one; you agree to their terms of service";
        let yes = ask(input, out, question, Some("yes"), |text| match text.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("yes or no".into()),
        })?;
        args.certificate = if yes { CertificateFrom::Acme } else { CertificateFrom::SelfSigned };
    }
    args.domain = Some(domain.to_string());
    Ok(args)
}

/// The machine's own name where that is a full one, else mx in the domain.
fn suggested(domain: &Domain) -> String {
    let own = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    match Domain::parse(&own) {
        Ok(name)
            if name.is_fully_qualified() && name.address().is_none() && !own.ends_with(".localdomain") && !own.ends_with(".internal") =>
        {
            own
        }
        _ => format!("mx.{domain}"),
    }
}

fn ask<T>(
    input: &mut impl BufRead,
    out: &mut impl Write,
    question: &str,
    default: Option<&str>,
    read: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<T> {
    loop {
        let hint = default.map_or(String::new(), |default| styled(DIM, format!(" [{default}]")));
        write!(out, "{question}{hint}: ")?;
        out.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            bail!("the questions were not answered, and nothing was made");
        }
        let answer = match (line.trim(), default) {
            ("", Some(default)) => default,
            (answer, _) => answer,
        };
        match read(answer) {
            Ok(value) => return Ok(value),
            Err(error) => writeln!(out, "  {} {}", styled(WARN, "not that:"), error.split("\n  hint").next().unwrap_or_default())?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> Result<Setup> {
        // The address is named, since the machine of the test may have a public one or none.
        let args = Setup { ask: true, addresses: vec![[192, 0, 2, 10].into()], ..Setup::default() };
        questions(args, &mut text.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn a_wrong_answer_is_asked_for_again() {
        let args = answered("nonsense\nExample.test\n\nme\nfoo@example.test\nfoo@gmail.test\nmx.example.test\nperhaps\nno\n").unwrap();
        assert_eq!(args.domain.as_deref(), Some("example.test"));
        assert_eq!(args.forward, ["me@example.test=foo@gmail.test"]);
        assert_eq!((args.hostname.as_deref(), args.certificate), (Some("mx.example.test"), CertificateFrom::SelfSigned));
        assert_eq!(answered("example.test\nyou\nfoo@gmail.test\nmx.example.test\n\n").unwrap().certificate, CertificateFrom::Acme);
        assert!(answered("example.test\n").is_err());
    }
}
