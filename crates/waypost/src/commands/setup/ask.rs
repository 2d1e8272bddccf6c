//! `waypost setup` without a domain: asks for each value.
//!
//! Invariant: an invalid answer is asked for again at once; nothing is created before the last answer.

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::IpAddr;

use anyhow::{Result, bail};
use mail::{Domain, Mailbox};

use super::plan::read_domain;
use crate::cli::{CertificateFrom, SetupArgs};
use crate::dns_facts::public_addresses;
use crate::output::{BOLD, DIM, WARN, styled};

/// Completes a command line without a domain by asking questions.
pub fn complete(args: SetupArgs) -> Result<SetupArgs> {
    if args.domain.is_some() {
        return Ok(args);
    }
    if !args.ask && !io::stdin().is_terminal() {
        bail!("no domain given\n  hint: waypost setup example.com --forward me@example.com=foo@gmail.com");
    }
    questions(args, &mut io::stdin().lock(), &mut anstream::stderr().lock())
}

fn questions(mut args: SetupArgs, input: &mut impl BufRead, out: &mut impl Write) -> Result<SetupArgs> {
    writeln!(out, "{}", styled(BOLD, "A few questions; press Enter to accept the value in brackets."))?;
    let domain = ask(input, out, "Your domain, such as example.com", None, |text| read_domain(text).map_err(|e| e.to_string()))?;
    if args.forward.is_empty() {
        let me = format!("me@{domain}");
        let address = ask(input, out, "Your address at this domain", Some(&me), |text| {
            let full = if text.contains('@') { text.to_owned() } else { format!("{text}@{domain}") };
            let mailbox = Mailbox::parse(&full).map_err(|e| e.to_string())?;
            if mailbox.domain == domain { Ok(mailbox) } else { Err(format!("{mailbox} is not an address of {domain}")) }
        })?;
        let target = ask(input, out, "Forward its mail to (the mailbox that you read, such as foo@gmail.com)", None, |text| {
            let target = Mailbox::parse(text).map_err(|e| e.to_string())?;
            if target.domain == domain { Err(format!("{target} is at the same domain; enter a mailbox elsewhere")) } else { Ok(target) }
        })?;
        args.forward.push(format!("{address}={target}"));
    }
    if args.hostname.is_none() {
        let hostname = ask(input, out, "The host name of this server", Some(&suggested(&domain)), |text| {
            read_domain(text).map_err(|e| e.to_string())
        })?;
        args.hostname = Some(hostname.to_string());
    }
    if args.addresses.is_empty() && public_addresses().is_empty() {
        let question = "No interface of this machine has a public address. Its public address (- if not known yet)";
        args.addresses = ask(input, out, question, Some("-"), |text| match text {
            "-" => Ok(Vec::new()),
            text => text.parse::<IpAddr>().map(|address| vec![address]).map_err(|e| e.to_string()),
        })?;
    }
    if args.certificate == CertificateFrom::SelfSigned {
        let question = "Get a certificate from Let's Encrypt, and accept its terms of service? Gmail needs one";
        let yes = ask(input, out, question, Some("yes"), |text| match text.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("answer yes or no".into()),
        })?;
        args.certificate = if yes { CertificateFrom::Acme } else { CertificateFrom::SelfSigned };
    }
    args.domain = Some(domain.to_string());
    Ok(args)
}

/// The machine's own name if it is fully qualified, else mx.DOMAIN.
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
            bail!(
                "the input ended before the last answer; nothing was created\n  hint: run setup again, or give the values as options: waypost setup --help"
            );
        }
        let answer = match (line.trim(), default) {
            ("", Some(default)) => default,
            (answer, _) => answer,
        };
        match read(answer) {
            Ok(value) => return Ok(value),
            Err(error) => writeln!(out, "  {} {}", styled(WARN, "invalid:"), error.split("\n  hint").next().unwrap_or_default())?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> Result<SetupArgs> {
        // The address is given, because the machine of the test may or may not have a public one.
        let args = SetupArgs { ask: true, addresses: vec![[192, 0, 2, 10].into()], ..SetupArgs::default() };
        questions(args, &mut text.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn an_invalid_answer_is_asked_for_again() {
        let args = answered("nonsense\nExample.test\n\nme\nfoo@example.test\nfoo@gmail.test\nmx.example.test\nperhaps\nno\n").unwrap();
        assert_eq!(args.domain.as_deref(), Some("example.test"));
        assert_eq!(args.forward, ["me@example.test=foo@gmail.test"]);
        assert_eq!((args.hostname.as_deref(), args.certificate), (Some("mx.example.test"), CertificateFrom::SelfSigned));
        assert_eq!(answered("example.test\nyou\nfoo@gmail.test\nmx.example.test\n\n").unwrap().certificate, CertificateFrom::Acme);
        assert!(answered("example.test\n").is_err());
    }
}
