//! The gateway as Envoy: the one place that knows the proxy-wasm ABI, version 0.2.1.
//!
//! Exported is only what is used, for each callback costs something in every exchange: not
//! `proxy_on_delete`, which has nothing to tell that `proxy_on_done` has not. What the
//! host hands over was allocated by [`proxy_on_memory_allocate`] and is owned from then on.
//!
//! Invariant: nothing here panics, and no status of the host is ignored without a reason; all
//! contexts are in one registry, the only static there is.

#![expect(
    unsafe_code,
    reason = "the ABI is made of raw memory; here, and nowhere else, it becomes safe"
)]

use std::{
    alloc::{Layout, alloc},
    cell::{Cell, RefCell},
    ptr::{null_mut, slice_from_raw_parts_mut},
    time::Duration,
};

use crate::{
    contexts::Contexts,
    host::{
        Action, Call, ContextId, Host, Kind, Level, MetricId, Moment, Refusal, Reply, Side, Token,
    },
    pairs::{self, Fields},
};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, length: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(nanos: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(millis: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_get_buffer_bytes(
        kind: u32,
        start: usize,
        length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_length: usize,
        body: *const u8,
        body_length: usize,
        headers: *const u8,
        headers_length: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_length: usize,
        headers: *const u8,
        headers_length: usize,
        body: *const u8,
        body_length: usize,
        trailers: *const u8,
        trailers_length: usize,
        timeout_millis: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, length: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, amount: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, length: usize) -> u32;
    fn clock_time_get(clock: u32, precision: u64, nanos: *mut u64) -> u32;
}

// Numbers of the ABI: statuses, header maps, buffers, streams.
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CALL_HEADERS: u32 = 6;
const CONFIGURATION: u32 = 7;
const MONOTONIC: u32 = 1;

/// The gateway during one callback.
#[derive(Default)]
struct Envoy {
    /// The steady clock, once it was read.
    moment: Cell<Option<Moment>>,
}

fn check(status: u32) -> Result<(), Refusal> {
    if status == OK { Ok(()) } else { Err(Refusal(status)) }
}

/// Runs a host function that hands memory over.
fn owned(get: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Refusal> {
    let (mut data, mut size) = (null_mut::<u8>(), 0_usize);
    check(get(&raw mut data, &raw mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host fills memory that `proxy_on_memory_allocate` gave it, of exactly the size
    // it returns, and gives it away with that.
    Ok(unsafe { Box::from_raw(slice_from_raw_parts_mut(data, size)) }.into_vec())
}

fn header(map: u32, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    // SAFETY: pointer and length are those of `name`, which lives longer than the call.
    match owned(|data, size| unsafe {
        proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size)
    }) {
        Ok(value) => Ok(Some(value)),
        Err(Refusal(NOT_FOUND)) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl Host for Envoy {
    fn log(&self, level: Level, text: &str) {
        let level = match level {
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        // SAFETY: pointer and length are those of `text`. There is nowhere to report that a line
        // could not be logged.
        let _ = unsafe { proxy_log(level, text.as_ptr(), text.len()) };
    }

    fn unix_nanos(&self) -> Result<u64, Refusal> {
        let mut nanos = 0;
        // SAFETY: the host writes eight bytes there.
        check(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) })?;
        Ok(nanos)
    }

    fn moment(&self) -> Result<Moment, Refusal> {
        if let Some(moment) = self.moment.get() {
            return Ok(moment);
        }
        let mut nanos = 0;
        // SAFETY: the host writes eight bytes there.
        check(unsafe { clock_time_get(MONOTONIC, 1, &raw mut nanos) })?;
        self.moment.set(Some(Moment(nanos)));
        Ok(Moment(nanos))
    }

    fn random(&self) -> Result<u64, Refusal> {
        let mut bytes = [0_u8; 8];
        // SAFETY: pointer and length are those of `bytes`.
        check(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn configuration(&self, length: usize) -> Result<Vec<u8>, Refusal> {
        // SAFETY: `owned` hands in valid places for pointer and size.
        owned(|data, size| unsafe { proxy_get_buffer_bytes(CONFIGURATION, 0, length, data, size) })
    }

    fn header(&self, side: Side, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        header(map(side), name)
    }

    fn headers(&self, side: Side) -> Result<Fields, Refusal> {
        // SAFETY: `owned` hands in valid places for pointer and size.
        let bytes =
            owned(|data, size| unsafe { proxy_get_header_map_pairs(map(side), data, size) });
        bytes.map(Fields::laid_out_in)
    }

    fn body(&self, side: Side, length: usize) -> Result<Vec<u8>, Refusal> {
        let kind = side as u32;
        // SAFETY: `owned` hands in valid places for pointer and size.
        owned(|data, size| unsafe { proxy_get_buffer_bytes(kind, 0, length, data, size) })
    }

    fn code_details(&self) -> Result<Vec<u8>, Refusal> {
        let path = b"response\0code_details";
        // SAFETY: pointer and length are those of `path`.
        owned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
    }

    fn call_status(&self) -> Result<Option<Vec<u8>>, Refusal> {
        header(CALL_HEADERS, ":status")
    }

    fn act_for(&self, context: ContextId) -> Result<(), Refusal> {
        // SAFETY: takes no memory.
        check(unsafe { proxy_set_effective_context(context.0) })
    }

    fn resume(&self, side: Side) -> Result<(), Refusal> {
        // SAFETY: takes no memory.
        check(unsafe { proxy_continue_stream(side as u32) })
    }

    fn reply(&self, reply: &Reply) -> Result<(), Refusal> {
        const NO_GRPC_STATUS: i32 = -1;
        let headers = pairs::write(reply.headers);
        // SAFETY: pointers and lengths are those of texts that live longer than the call.
        check(unsafe {
            proxy_send_local_response(
                reply.status,
                reply.details.as_ptr(),
                reply.details.len(),
                reply.body.as_ptr(),
                reply.body.len(),
                headers.as_ptr(),
                headers.len(),
                NO_GRPC_STATUS,
            )
        })
    }

    fn call(&self, call: &Call<'_>) -> Result<Token, Refusal> {
        let headers = pairs::write(call.headers);
        let mut token = 0;
        // SAFETY: pointers and lengths are those of texts that live longer than the call; a
        // length of zero means no trailers.
        check(unsafe {
            proxy_http_call(
                call.cluster.as_ptr(),
                call.cluster.len(),
                headers.as_ptr(),
                headers.len(),
                call.body.as_ptr(),
                call.body.len(),
                headers.as_ptr(),
                0,
                millis(call.timeout),
                &raw mut token,
            )
        })?;
        Ok(Token(token))
    }

    fn tick_every(&self, period: Duration) -> Result<(), Refusal> {
        // SAFETY: takes no memory.
        check(unsafe { proxy_set_tick_period_milliseconds(millis(period)) })
    }

    fn finished(&self) -> Result<(), Refusal> {
        // SAFETY: takes no memory.
        check(unsafe { proxy_done() })
    }

    fn define(&self, kind: Kind, name: &str) -> Result<MetricId, Refusal> {
        let kind = kind as u32;
        let mut id = 0;
        // SAFETY: pointer and length are those of `name`.
        check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
        Ok(MetricId(id))
    }

    fn add(&self, metric: MetricId, amount: i64) -> Result<(), Refusal> {
        // SAFETY: takes no memory.
        check(unsafe { proxy_increment_metric(metric.0, amount) })
    }

    fn record(&self, metric: MetricId, value: u64) -> Result<(), Refusal> {
        // SAFETY: takes no memory.
        check(unsafe { proxy_record_metric(metric.0, value) })
    }
}

fn map(side: Side) -> u32 {
    match side {
        Side::Request => 0,
        Side::Response => 2,
    }
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = const { RefCell::new(Contexts::new()) };
}

/// Runs a callback. One that comes while another is running, which no host does, does nothing.
fn with<T>(otherwise: T, callback: impl FnOnce(&mut Contexts) -> T) -> T {
    let run = |contexts: &RefCell<Contexts>| Some(callback(&mut *contexts.try_borrow_mut().ok()?));
    CONTEXTS.try_with(run).ok().flatten().unwrap_or(otherwise)
}

fn run(callback: impl FnOnce(&mut Contexts)) {
    with((), callback);
}

fn act(callback: impl FnOnce(&mut Contexts) -> Action) -> u32 {
    with(Action::Continue, callback) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Gives the host memory to hand something over in; null if there is none.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout has a size.
        Ok(layout) if size > 0 => unsafe { alloc(layout) },
        _ => null_mut(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    let owner = (root != 0).then_some(ContextId(root));
    run(|contexts| contexts.create(ContextId(context), owner));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _length: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, length: usize) -> u32 {
    with(false, |contexts| contexts.configure(&Envoy::default(), ContextId(root), length)).into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    run(|contexts| contexts.tick(&Envoy::default(), ContextId(root)));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _fields: usize, ended: u32) -> u32 {
    act(|contexts| contexts.request_headers(&Envoy::default(), ContextId(context), ended != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, ended: u32) -> u32 {
    act(|contexts| {
        contexts.body(&Envoy::default(), ContextId(context), Side::Request, size, ended != 0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _fields: usize) -> u32 {
    act(|contexts| contexts.trailers(&Envoy::default(), ContextId(context), Side::Request))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _fields: usize, ended: u32) -> u32 {
    act(|contexts| contexts.response_headers(&Envoy::default(), ContextId(context), ended != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: usize, ended: u32) -> u32 {
    act(|contexts| {
        contexts.body(&Envoy::default(), ContextId(context), Side::Response, size, ended != 0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _fields: usize) -> u32 {
    act(|contexts| contexts.trailers(&Envoy::default(), ContextId(context), Side::Response))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    root: u32,
    token: u32,
    _fields: usize,
    _body: usize,
    _trailers: usize,
) {
    run(|contexts| contexts.answered(&Envoy::default(), ContextId(root), Token(token)));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    with(true, |contexts| contexts.end(&Envoy::default(), ContextId(context))).into()
}
