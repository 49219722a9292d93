//! Authorities and what they vouch for, written to files as a certificate manager writes them.
//!
//! Invariant: a key is readable by its owner alone.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// An authority.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub(crate) struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Whose name is that of its issuer is taken to have signed itself.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn issue(&self, name: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

impl Identity {
    /// Writes `tls.crt`, `tls.key` and, as `ca.crt`, the authority of the other side.
    pub(crate) fn write(&self, folder: &Path, others: &Authority) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("ca.crt"), &others.pem)?;
        self.renew(folder)
    }

    /// Moves `tls.crt` and `tls.key` to where earlier ones may be.
    pub(crate) fn renew(&self, folder: &Path) -> Result<()> {
        for (name, text) in [("tls.key", &self.key), ("tls.crt", &self.certificate)] {
            let unfinished = folder.join(format!("{name}.new"));
            fs::write(&unfinished, text)?;
            fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
            fs::rename(unfinished, folder.join(name))?;
        }
        Ok(())
    }
}
