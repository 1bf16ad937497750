//! Error reasons on the wire: the enum value without its prefix, and the domain of its package
//! (AIP-193). One line a package, so that a reason can never be spelled by hand.

/// A reason declared in the contract.
pub trait Reason: Copy {
    /// The `ErrorInfo.domain`, such as `lightning.agents`.
    fn domain(&self) -> &'static str;
    /// The `ErrorInfo.reason`, such as `AGENT_NOT_FOUND`.
    fn reason(&self) -> &'static str;
}

macro_rules! reasons {
    ($($package:ident),* $(,)?) => {$(
        impl Reason for crate::$package::v1::ErrorReason {
            fn domain(&self) -> &'static str {
                concat!("lightning.", stringify!($package))
            }

            fn reason(&self) -> &'static str {
                let name = self.as_str_name();
                name.strip_prefix("ERROR_REASON_").unwrap_or(name)
            }
        }
    )*};
}

reasons!(agents, auth, enhanced, gateway, integrations, mesh, models, monitoring, workflows);
