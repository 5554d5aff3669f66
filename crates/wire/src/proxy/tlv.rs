//! Type-length-values of a version 2 header.
//!
//! Source: `proxy-protocol.txt` section 2.2 and its subsections.

use super::Malformed;

/// One type-length-value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The type, such as [`Tlv::AUTHORITY`].
    pub kind: u8,
    /// The value, as it was sent.
    pub value: &'a [u8],
}

impl Tlv<'_> {
    /// Application protocol, as in TLS ALPN.
    pub const ALPN: u8 = 0x01;
    /// Host name that the client asked for, as in TLS SNI.
    pub const AUTHORITY: u8 = 0x02;
    /// Checksum over the whole header; `parse` has compared it.
    pub const CRC32C: u8 = 0x03;
    /// Padding.
    pub const NOOP: u8 = 0x04;
    /// An opaque name of the connection, at most 128 bytes.
    pub const UNIQUE_ID: u8 = 0x05;
    /// What the client's TLS was; see [`Ssl`].
    pub const SSL: u8 = 0x20;
    /// Network namespace.
    pub const NETNS: u8 = 0x30;
    /// Google Cloud, Private Service Connect: 8 bytes, the id of the connection.
    pub const GCP: u8 = 0xe0;
    /// Amazon Web Services: a subtype, 0x01 for the id of a VPC endpoint, and its text.
    pub const AWS: u8 = 0xea;
    /// Microsoft Azure: a subtype, 0x01 for the id of a private endpoint's link, 4 bytes, the least first.
    pub const AZURE: u8 = 0xee;
}

/// The type-length-values of a header, in order.
#[derive(Clone, Debug)]
pub struct Tlvs<'a> {
    rest: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Those in `bytes`, as [`super::parse`] has checked them. Of others the walk ends at the first that is cut.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left: empty at the end, or what no further value can be cut from.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let [kind, high, low, rest @ ..] = self.rest else {
            return None;
        };
        let (value, rest) = rest.split_at_checked(usize::from(*high) << 8 | usize::from(*low))?;
        self.rest = rest;
        Some(Tlv { kind: *kind, value })
    }
}

/// The value of [`Tlv::SSL`]: what the client's TLS connection to the proxy was.
#[derive(Clone, Debug)]
pub struct Ssl<'a> {
    /// Bit 1: TLS was used; 2: a client certificate on this connection; 4: in this session.
    pub client: u8,
    /// Was the client certificate presented and verified? (The field is 0 when it was.)
    pub verified: bool,
    /// Version 0x21, common name 0x22, cipher 0x23, signature 0x24, key 0x25 and others.
    pub parts: Tlvs<'a>,
}

impl<'a> Ssl<'a> {
    /// In `client`: TLS was used.
    pub const TLS: u8 = 1;
    /// In `client`: there was a client certificate on this connection.
    pub const CERTIFICATE: u8 = 2;
    /// In `client`: there was one in its session, on this connection or an earlier one.
    pub const SESSION_CERTIFICATE: u8 = 4;
    /// Of `parts`: the version, such as `TLSv1.3`.
    pub const VERSION: u8 = 0x21;
    /// Of `parts`: the common name of the client certificate's subject.
    pub const CN: u8 = 0x22;
    /// Of `parts`: the cipher.
    pub const CIPHER: u8 = 0x23;
    /// Of `parts`: the algorithm of the signature on the certificate.
    pub const SIG_ALG: u8 = 0x24;
    /// Of `parts`: the algorithm of the certificate's key.
    pub const KEY_ALG: u8 = 0x25;

    /// True if a client certificate is spoken of.
    pub fn has_certificate(&self) -> bool {
        self.client & (Self::CERTIFICATE | Self::SESSION_CERTIFICATE) != 0
    }

    /// Reads the value of a [`Tlv::SSL`].
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let [client, v0, v1, v2, v3, parts @ ..] = value else {
            return Err(Malformed { code: "bad_tlv" });
        };
        let parts = Tlvs::new(parts);
        let mut walk = parts.clone();
        walk.by_ref().for_each(drop);
        if !walk.rest().is_empty() {
            return Err(Malformed { code: "bad_tlv" });
        }
        Ok(Self {
            client: *client,
            verified: client & (Self::CERTIFICATE | Self::SESSION_CERTIFICATE) != 0
                && [*v0, *v1, *v2, *v3] == [0; 4],
            parts,
        })
    }
}
