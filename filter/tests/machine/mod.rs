//! The module in a virtual machine, with a gateway around it that counts what it is asked.
//!
//! Invariant: memory changes hands the way the ABI says, so that the module can't tell this from
//! a gateway.

#![expect(clippy::unwrap_used, reason = "a module that can't be run has to end the test")]
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use sidehook_event::{Event, wire};
use wasmtime::{
    AsContextMut, Caller, Config, Engine, Extern, Instance, Linker, Memory, Module, OptLevel,
    Store, TypedFunc, WasmParams, WasmResults,
};

const ROOT: u32 = 1;
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;

/// What the gateway shows, and what it was asked.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) asked: Vec<&'static str>,
    pub(crate) calls: Vec<Vec<u8>>,
    pub(crate) logs: Vec<String>,
    pub(crate) resumed: Vec<u32>,
    pub(crate) context: u32,
}

pub(crate) struct Machine {
    pub(crate) store: Store<Host>,
    instance: Instance,
}

/// Compiled once for all tests, which takes longer than to run them all.
pub(crate) static MODULE: LazyLock<Module> = LazyLock::new(|| {
    let named = env::var_os("SIDEHOOK_FILTER_WASM").map(PathBuf::from);
    compiled(&named.unwrap_or_else(|| built("sidehook_filter.wasm")), "cargo xtask wasm")
});

/// The filter that does nothing, written with the public SDK.
pub(crate) static BASELINE: LazyLock<Module> = LazyLock::new(|| {
    compiled(&built("sidehook_filter_baseline.wasm"), "cargo xtask wasm --baseline")
});

/// As much of a body as a gateway shows at once.
const CHUNK: usize = 16 << 10;

fn built(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/wasm").join(file)
}

fn compiled(path: &Path, made_by: &str) -> Module {
    let bytes = fs::read(path);
    assert!(bytes.is_ok(), "no {}: run `{made_by}` first", path.display());
    let mut config = Config::new();
    config.consume_fuel(true).cranelift_opt_level(OptLevel::None);
    Module::new(&Engine::new(&config).unwrap(), bytes.unwrap()).unwrap()
}

fn memory(caller: &mut Caller<'_, Host>) -> Memory {
    caller.get_export("memory").and_then(Extern::into_memory).unwrap()
}

fn read(caller: &mut Caller<'_, Host>, at: u32, length: u32) -> Vec<u8> {
    let memory = memory(caller);
    let (at, length) = (at as usize, length as usize);
    memory.data(&*caller).get(at..at + length).unwrap().to_vec()
}

fn put(caller: &mut Caller<'_, Host>, at: u32, bytes: &[u8]) {
    memory(caller).write(caller, at as usize, bytes).unwrap();
}

/// Hands bytes over the way a gateway does: in memory that it asks the module for.
fn hand_over(caller: &mut Caller<'_, Host>, bytes: &[u8], data: u32, size: u32) -> u32 {
    let length = u32::try_from(bytes.len()).unwrap();
    let at = if length == 0 {
        0
    } else {
        // The SDK's name for it is the older one.
        let allocate = ["proxy_on_memory_allocate", "malloc"];
        let mut allocate = allocate.iter().filter_map(|name| caller.get_export(name));
        let allocate = allocate.find_map(Extern::into_func);
        let allocate = allocate.unwrap().typed::<u32, u32>(&*caller).unwrap();
        allocate.call(caller.as_context_mut(), length).unwrap()
    };
    put(caller, at, bytes);
    put(caller, data, &at.to_le_bytes());
    put(caller, size, &length.to_le_bytes());
    OK
}

type C<'a> = Caller<'a, Host>;

/// What the filter asks about the exchange whose callback is running.
fn link_exchange(linker: &mut Linker<Host>) {
    linker
        .func_wrap("env", "proxy_log", |mut c: C<'_>, _: u32, at: u32, length: u32| {
            let text = String::from_utf8(read(&mut c, at, length)).unwrap();
            c.data_mut().logs.push(text);
            OK
        })
        .unwrap()
        .func_wrap("env", "proxy_get_current_time_nanoseconds", |mut c: C<'_>, at: u32| {
            c.data_mut().asked.push("time");
            put(&mut c, at, &1_763_890_200_000_000_000_u64.to_le_bytes());
            OK
        })
        .unwrap()
        .func_wrap("env", "proxy_set_effective_context", |mut c: C<'_>, context: u32| {
            c.data_mut().asked.push("context");
            c.data_mut().context = context;
            OK
        })
        .unwrap()
        .func_wrap("env", "proxy_continue_stream", |mut c: C<'_>, _: u32| {
            c.data_mut().asked.push("resume");
            let context = c.data().context;
            c.data_mut().resumed.push(context);
            OK
        })
        .unwrap()
        .func_wrap(
            "env",
            "proxy_get_buffer_bytes",
            |mut c: C<'_>, _: u32, _: u32, length: u32, data: u32, size: u32| {
                c.data_mut().asked.push("body");
                let length = c.data().body.len().min(length as usize);
                let bytes = c.data().body.get(..length).unwrap().to_vec();
                hand_over(&mut c, &bytes, data, size)
            },
        )
        .unwrap()
        .func_wrap(
            "env",
            "proxy_get_header_map_value",
            |mut c: C<'_>, _: u32, at: u32, length: u32, data: u32, size: u32| {
                c.data_mut().asked.push("header");
                let name = read(&mut c, at, length);
                let mut fields = c.data().fields.iter();
                let value = fields.find(|(key, _)| key.as_bytes() == name);
                let value = value.map(|(_, value)| value.clone().into_bytes());
                value.map_or(NOT_FOUND, |value| hand_over(&mut c, &value, data, size))
            },
        )
        .unwrap()
        .func_wrap(
            "env",
            "proxy_get_header_map_pairs",
            |mut c: C<'_>, map: u32, data: u32, size: u32| {
                assert!([REQUEST, RESPONSE].contains(&map));
                c.data_mut().asked.push("headers");
                let fields = c.data().fields.iter();
                let fields: Vec<_> = fields.map(|(name, value)| (*name, value.as_str())).collect();
                let bytes = sidehook_filter::pairs::write(&fields);
                hand_over(&mut c, &bytes, data, size)
            },
        )
        .unwrap();
}

/// What the filter asks of the gateway as a whole.
fn link_gateway(linker: &mut Linker<Host>) {
    linker
        .func_wrap(
            "env",
            "proxy_get_property",
            |mut c: C<'_>, at: u32, length: u32, data: u32, size: u32| {
                c.data_mut().asked.push("property");
                assert_eq!(read(&mut c, at, length), b"response\0code_details");
                hand_over(&mut c, b"via_upstream", data, size)
            },
        )
        .unwrap()
        .func_wrap(
            "env",
            "proxy_http_call",
            |mut c: C<'_>,
             _: u32,
             _: u32,
             _: u32,
             _: u32,
             body: u32,
             length: u32,
             _: u32,
             _: u32,
             _: u32,
             token: u32| {
                c.data_mut().asked.push("call");
                let body = read(&mut c, body, length);
                c.data_mut().calls.push(body);
                let number = u32::try_from(c.data().calls.len()).unwrap();
                put(&mut c, token, &number.to_le_bytes());
                OK
            },
        )
        .unwrap()
        .func_wrap("env", "proxy_increment_metric", |mut c: C<'_>, _: u32, _: i64| {
            c.data_mut().asked.push("metric");
            OK
        })
        .unwrap()
        .func_wrap("env", "proxy_record_metric", |mut c: C<'_>, _: u32, _: u64| {
            c.data_mut().asked.push("metric");
            OK
        })
        .unwrap()
        .func_wrap(
            "wasi_snapshot_preview1",
            "clock_time_get",
            |mut c: C<'_>, _: u32, _: u64, at: u32| {
                c.data_mut().asked.push("time");
                put(&mut c, at, &1_000_000_000_u64.to_le_bytes());
                OK
            },
        )
        .unwrap();
}

impl Machine {
    pub(crate) fn new(module: &Module) -> Self {
        let engine = module.engine();
        let mut store = Store::new(engine, Host::default());
        store.set_fuel(u64::MAX).unwrap();
        let mut linker = Linker::new(engine);
        link_exchange(&mut linker);
        link_gateway(&mut linker);
        linker.define_unknown_imports_as_default_values(&mut store, module).unwrap();
        let instance = linker.instantiate(&mut store, module).unwrap();
        let mut machine = Self { store, instance };
        machine.call_if_there("_initialize", ());
        machine
    }

    pub(crate) fn configured(config: &str) -> (Self, u32) {
        Self::of(&MODULE, config)
    }

    pub(crate) fn of(module: &Module, config: &str) -> (Self, u32) {
        let mut machine = Self::new(module);
        machine.call::<_, ()>("proxy_on_context_create", (ROOT, 0_u32));
        machine.store.data_mut().body = config.as_bytes().to_vec();
        let length = u32::try_from(config.len()).unwrap();
        let accepted = machine.call("proxy_on_configure", (ROOT, length));
        (machine, accepted)
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, parameters: P) -> R {
        let function: TypedFunc<P, R> =
            self.instance.get_typed_func(&mut self.store, name).unwrap();
        function.call(&mut self.store, parameters).unwrap()
    }

    fn call_if_there<P: WasmParams>(&mut self, name: &str, parameters: P) {
        if self.instance.get_func(&mut self.store, name).is_some() {
            self.call::<_, ()>(name, parameters);
        }
    }

    fn head(
        &mut self,
        callback: &str,
        context: u32,
        fields: &[(&'static str, &str)],
        ended: u32,
    ) -> u32 {
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned()));
        self.store.data_mut().fields = fields.collect();
        self.call(callback, (context, 0_u32, ended))
    }

    /// Shows a body, in parts. What the filter said to the last of them.
    fn body(&mut self, callback: &str, context: u32, body: &[u8]) -> u32 {
        let mut parts = body.chunks(CHUNK).peekable();
        let mut action = 0;
        while let Some(part) = parts.next() {
            self.store.data_mut().body = part.to_vec();
            let (length, ended) = (u32::try_from(part.len()).unwrap(), parts.peek().is_none());
            action = self.call(callback, (context, length, u32::from(ended)));
        }
        action
    }

    /// A whole exchange. Its last answer is what the filter said to the end of the API's answer.
    pub(crate) fn exchange(&mut self, context: u32, method: &str, path: &str) -> u32 {
        let name = "Ada".repeat(50);
        let request = format!(r#"{{"name":"{name}","email":"ada@example.com","password":"x"}}"#);
        let answer = r#"{"id":42,"name":"Ada","created":"2025-11-23T09:30:00Z"}"#;
        self.exchange_of(context, method, path, [request.as_bytes(), answer.as_bytes()])
    }

    /// The same with bodies of one's own, the request's and the answer's; a GET sends none.
    pub(crate) fn exchange_of(
        &mut self,
        context: u32,
        method: &str,
        path: &str,
        [request, answer]: [&[u8]; 2],
    ) -> u32 {
        self.call::<_, ()>("proxy_on_context_create", (context, ROOT));
        let head = [
            (":authority", "api.test"),
            (":path", path),
            (":method", method),
            (":scheme", "http"),
            ("user-agent", "test/1.0"),
            ("content-type", "application/json"),
            ("x-request-id", "7d0b1e3c-52d5-4b7e-9c57-0c4e2c4f5a10"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        let reads = method == "GET";
        assert_eq!(self.head("proxy_on_request_headers", context, &head, u32::from(reads)), 0);
        if !reads {
            assert_eq!(self.body("proxy_on_request_body", context, request), 0);
        }
        let head = [(":status", "201"), ("content-type", "application/json"), ("server", "api")];
        self.head("proxy_on_response_headers", context, &head, 0);
        self.body("proxy_on_response_body", context, answer)
    }

    pub(crate) fn ends(&mut self, context: u32) {
        assert_eq!(self.call::<_, u32>("proxy_on_done", context), 1);
        self.call_if_there("proxy_on_log", context);
        self.call_if_there("proxy_on_delete", context);
    }

    pub(crate) fn answered(&mut self, call: u32) {
        self.store.data_mut().fields = vec![(":status", "202".into())];
        self.call::<_, ()>("proxy_on_http_call_response", (ROOT, call, 1_u32, 0_u32, 0_u32));
    }

    /// The fuel and the host calls that `run` takes.
    pub(crate) fn cost(&mut self, run: impl FnOnce(&mut Self)) -> (u64, Vec<&'static str>) {
        self.store.data_mut().asked.clear();
        let before = self.store.get_fuel().unwrap();
        run(self);
        let spent = before - self.store.get_fuel().unwrap();
        (spent, self.store.data().asked.clone())
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let calls = self.store.data().calls.iter();
        calls.flat_map(|call| wire::decode(call.clone().into()).unwrap()).collect()
    }
}
