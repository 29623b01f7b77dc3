//! The clock of AWS, as replies show it and as the SDK needs it for signatures.

use std::time::SystemTime;

use aws_sdk_athena::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_athena::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use crate::runtime::clock::{BootTime, Clock, Reply};

/// Interceptor that corrects a clock by the `Date` of each reply.
#[derive(Debug)]
pub(super) struct ReadDate {
    pub(super) clock: Clock,
    /// True if the replies are Athena's own, and not those of another service of AWS.
    pub(super) is_own: bool,
}

/// Time at which a request was sent.
#[derive(Debug)]
struct Sent(BootTime);

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

#[dyn_dispatch_hint]
impl Intercept for ReadDate {
    fn name(&self) -> &'static str {
        "ReadDate"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Sent(BootTime::now()));
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let received = BootTime::now();
        if let Some(Sent(sent)) = config.load::<Sent>()
            && let Some(reply) =
                date_of_aws(context.response()).and_then(|date| Reply::new(date, *sent, received))
        {
            if self.is_own { self.clock.observe(&reply) } else { self.clock.hint(&reply) }
        }
        Ok(())
    }
}

/// Returns the `Date` of a reply of AWS's. A proxy's reply has no request id, and one from a cache has an age.
fn date_of_aws(reply: &HttpResponse) -> Option<&str> {
    let headers = reply.headers();
    headers.get("date").filter(|_| headers.get("x-amzn-requestid").is_some() && headers.get("age").is_none())
}

/// The time of signatures. The SDK's own correction of a wrong clock is off: it would need another refused call after each jump of the node's clock.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        self.signing_time().into()
    }
}
