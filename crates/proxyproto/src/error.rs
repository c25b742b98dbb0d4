//! Why a header is refused.

/// Why a header is refused. The text is for a person and repeats nothing the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The bytes begin neither like version 1 nor like version 2 (2).
    #[error("the connection does not begin with a PROXY protocol header")]
    NoHeader,
    /// Longer than [`V1_BYTES_MAX`](crate::V1_BYTES_MAX) or [`V2_BYTES_MAX`](crate::V2_BYTES_MAX).
    #[error("the PROXY protocol header is too long")]
    TooLong,
    /// A carriage return or a line feed alone (2.1).
    #[error("the PROXY line must end in CR LF, and neither may occur alone")]
    LineEnding,
    /// A protocol other than `TCP4`, `TCP6` and `UNKNOWN` (2.1).
    #[error("the PROXY line names no protocol of TCP4, TCP6 and UNKNOWN")]
    Protocol,
    /// Not two addresses and two ports with single spaces between them (2.1).
    #[error("the PROXY line is not two addresses and two ports with single spaces")]
    Fields,
    /// No address, or one of another family than the line says (2.1).
    #[error("an address of the PROXY line is not one of its protocol")]
    Address,
    /// No number up to 65535, or one with leading zeros (2.1).
    #[error("a port of the PROXY line is not a decimal number up to 65535")]
    Port,
    /// The signature of version 2 and another version (2.2).
    #[error("the version of the PROXY protocol header is not 2")]
    Version,
    /// A command other than `LOCAL` and `PROXY` (2.2).
    #[error("the command of the PROXY protocol header is unknown")]
    Command,
    /// A family or a transport that is reserved (2.2).
    #[error("the address family of the PROXY protocol header is unknown")]
    Family,
    /// The length leaves no room for the addresses (2.2).
    #[error("the PROXY protocol header is too short for its addresses")]
    AddressesCut,
    /// A TLV reaches beyond the header (2.2.5).
    #[error("a TLV of the PROXY protocol header reaches beyond it")]
    TlvCut,
    /// The checksum is not the one of the header, not four bytes, or there twice (2.2.3).
    #[error("the checksum of the PROXY protocol header is wrong")]
    Checksum,
}
