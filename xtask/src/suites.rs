//! Public conformance suites that tests read: those for SPF (with pyspf) and DKIM vectors (with dkimpy), from PyPI.
//!
//! They are not copied into the repository, since they have other licences and releases. Invariant: an existing suite is not fetched again, and a
//! suite that cannot be fetched is an error.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::checkout::{must, program, target};

/// A source distribution, and the file in it that tests need.
struct Suite {
    name: &'static str,
    version: &'static str,
    file: &'static str,
}

const SUITES: &[Suite] = &[
    Suite { name: "pyspf", version: "2.0.14", file: "test/rfc7208-tests.yml" },
    Suite { name: "dkimpy", version: "1.1.8", file: "dkim/tests/data/rfc6376.signed.msg" },
];

/// Fetches missing suites and unpacks them into target/suites.
pub fn fetch() -> Result<()> {
    let dir = target().join("suites");
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    for Suite { name, version, file } in SUITES {
        let found = dir.join(format!("{name}-{version}")).join(file);
        if !found.exists() {
            must(
                program("python3")
                    .args(["-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps", "--dest"])
                    .arg(&dir)
                    .arg(format!("{name}=={version}")),
            )
            .with_context(|| format!("{name} {version} is needed from PyPI (with python3-pip), or its suite in {}", dir.display()))?;
            must(program("tar").arg("--directory").arg(&dir).arg("-xzf").arg(dir.join(format!("{name}-{version}.tar.gz"))))?;
        }
        if !found.exists() {
            bail!("{} is missing after {name} {version} was unpacked", found.display());
        }
    }
    println!("    found the suites of {}", SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(" "));
    Ok(())
}
