/**
 * The native library as a Cargo workspace: the kernels' crate once for each set of vector instructions, and a crate in front
 * that finds out once what the CPU has and calls the widest that fits. The same library is opened by foreign function
 * interfaces and is a Node-API module.
 */
import { SYMBOLS } from "../ops/native/symbols.ts";
import type { NumberType, Signature } from "../platform/foreign_library.ts";
import type { Level } from "./native_workspace.ts";

const RUST: Readonly<Record<NumberType | "void", string>> = {
  usize: "usize",
  u32: "u32",
  i32: "i32",
  f32: "f32",
  bool: "bool",
  void: "()",
};

/** What the front computes itself. */
const OWN = "vectors";

const kernels = (): readonly (readonly [string, Signature])[] =>
  Object.entries(SYMBOLS).filter(([name]) => name !== OWN);

const parametersOf = ({ parameters }: Signature): string =>
  parameters.map((type, i) => `a${i}: ${RUST[type]}`).join(", ");

const argument = (type: NumberType, i: number): string =>
  type === "bool" ? `a[${i}] != 0.0` : `a[${i}] as ${RUST[type]}`;

const asNumber = (type: NumberType | "void", call: string): string =>
  type === "void" ? `${call};\n        None` : `Some(${call} as f64)`;

/** The front's source. Floating-point numbers carry every argument of Node-API: addresses are below 2^53. */
export function frontSource(levels: readonly Level[]): string {
  const last = levels.at(-1)!;
  const detected = levels.slice(0, -1).map(({ name, needs }, i) =>
    `    #[cfg(target_arch = "x86_64")]
    if (asked.is_none() || asked.as_deref() == Some("${name}")) && ${
      needs.map((feature) => `is_x86_feature_detected!("${feature}")`).join(" && ")
    } {
        return ${i};
    }
`
  ).join("");
  const calls = kernels().map(([name, signature]) => {
    const result = signature.result === "void" ? "" : ` -> ${RUST[signature.result]}`;
    const given = signature.parameters.map((_, i) => `a${i}`).join(", ");
    const arms = levels.map((level, i) =>
      `            ${i === levels.length - 1 ? "_" : i} => graft_${level.name}_${name}(${given}),`
    ).join("\n");
    return `/// # Safety
/// As the kernel of this name asks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ${name}(${parametersOf(signature)})${result} {
    unsafe {
        match level() {
${arms}
        }
    }
}
`;
  });
  const declared = levels.flatMap((level) =>
    kernels().map(([name, signature]) =>
      `    fn graft_${level.name}_${name}(${parametersOf(signature)})${
        signature.result === "void" ? "" : ` -> ${RUST[signature.result]}`
      };`
    )
  );
  const all = [...kernels(), [OWN, SYMBOLS[OWN]!] as const];
  const callbacks = all.map(([name, { parameters, result }]) =>
    `unsafe extern "C" fn js_${name}(env: Env, info: Info) -> Value {
    called::<${parameters.length}>(env, info, |a| unsafe {
        ${parameters.length === 0 ? "let _ = a;\n        " : ""}${
      asNumber(result, `${name}(${parameters.map(argument).join(", ")})`)
    }
    })
}
`
  );
  return `//! Written by tools/native_front.ts.
#![allow(unsafe_op_in_unsafe_fn, clippy::missing_safety_doc)]
${levels.map(({ name }) => `extern crate graft_${name} as _;`).join("\n")}
use std::sync::OnceLock;

unsafe extern "C" {
${declared.join("\n")}
}

/// The widest level that the CPU has; GRAFT_VECTORS names another of those it has.
fn level() -> usize {
    static LEVEL: OnceLock<usize> = OnceLock::new();
    *LEVEL.get_or_init(found)
}

fn found() -> usize {
    let asked = std::env::var("GRAFT_VECTORS").ok().filter(|name| !name.is_empty());
    let _ = &asked;
${detected}    ${levels.length - 1}
}

/// What the bits of a result depend on besides the sources: lanes of a vector, and 256 where multiply-adds are fused.
#[unsafe(no_mangle)]
pub extern "C" fn vectors() -> u32 {
    match level() {
${
    levels.map(({ name, needs }, i) =>
      `        ${i === levels.length - 1 ? "_" : i} => ${
        needs.includes("avx512f") ? "256 + 16" : needs.includes("avx2") ? "256 + 8" : "HERE"
      }, // ${name}`
    ).join("\n")
  }
    }
}

/// Of the level that is compiled with the front's own flags.
const HERE: u32 = ${
    last.name === "native" ? "COMPILED" : 'if cfg!(target_arch = "aarch64") { 256 + 4 } else { 4 }'
  };
${
    last.name === "native"
      ? `const COMPILED: u32 = {
    let lanes = if cfg!(target_feature = "avx512f") { 16 } else if cfg!(target_feature = "avx") { 8 } else { 4 };
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { 256 + lanes } else { lanes }
};
`
      : ""
  }
${calls.join("\n")}
${NODE_API}
${callbacks.join("\n")}
const FUNCTIONS: &[(&str, Callback)] = &[
${all.map(([name]) => `    ("${name}\\0", js_${name}),`).join("\n")}
    ("view\\0", view),
];
`;
}

/** The few functions of Node-API that are needed, found in the running program: other hosts have none. */
const NODE_API = `use core::ffi::{c_char, c_void};

type Env = *mut c_void;
type Value = *mut c_void;
type Info = *mut c_void;
type Status = i32;
type Callback = unsafe extern "C" fn(Env, Info) -> Value;
type Finalize = Option<unsafe extern "C" fn(Env, *mut c_void, *mut c_void)>;

#[cfg(unix)]
unsafe fn symbol(name: &str) -> *mut c_void {
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    let program = if cfg!(target_os = "macos") { -2isize as *mut c_void } else { core::ptr::null_mut() };
    dlsym(program, name.as_ptr() as *const c_char)
}
#[cfg(windows)]
unsafe fn symbol(name: &str) -> *mut c_void {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetModuleHandleA(name: *const c_char) -> *mut c_void;
        fn GetProcAddress(module: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    GetProcAddress(GetModuleHandleA(core::ptr::null()), name.as_ptr() as *const c_char)
}

macro_rules! node_api {
    ($($name:ident($($type:ty),*);)*) => {
        struct NodeApi { $($name: unsafe extern "C" fn($($type),*) -> Status),* }
        fn api() -> &'static NodeApi {
            static API: OnceLock<NodeApi> = OnceLock::new();
            API.get_or_init(|| NodeApi { $($name: unsafe {
                let found = symbol(concat!(stringify!($name), "\\0"));
                assert!(!found.is_null(), concat!("this program has no ", stringify!($name)));
                core::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type),*) -> Status>(found)
            }),* })
        }
    };
}
node_api! {
    napi_create_function(Env, *const c_char, usize, Callback, *mut c_void, *mut Value);
    napi_set_named_property(Env, Value, *const c_char, Value);
    napi_get_cb_info(Env, Info, *mut usize, *mut Value, *mut Value, *mut *mut c_void);
    napi_get_value_double(Env, Value, *mut f64);
    napi_get_value_bool(Env, Value, *mut bool);
    napi_create_double(Env, f64, *mut Value);
    napi_create_external_arraybuffer(Env, *mut c_void, usize, Finalize, *mut c_void, *mut Value);
    napi_throw_error(Env, *const c_char, *const c_char);
}

const MOST: usize = 16;

unsafe fn arguments<const N: usize>(env: Env, info: Info) -> Option<[f64; N]> {
    let api = api();
    let mut values = [core::ptr::null_mut(); MOST];
    let mut count = MOST;
    (api.napi_get_cb_info)(env, info, &mut count, values.as_mut_ptr(), core::ptr::null_mut(), core::ptr::null_mut());
    let mut numbers = [0.0; N];
    for (number, value) in numbers.iter_mut().zip(values) {
        let mut truth = false;
        if (api.napi_get_value_double)(env, value, number) != 0 {
            if (api.napi_get_value_bool)(env, value, &mut truth) != 0 {
                (api.napi_throw_error)(env, core::ptr::null(), c"Expected numbers".as_ptr());
                return None;
            }
            *number = if truth { 1.0 } else { 0.0 };
        }
    }
    (count >= N).then_some(numbers)
}

fn called<const N: usize>(env: Env, info: Info, f: impl FnOnce([f64; N]) -> Option<f64>) -> Value {
    unsafe {
        let mut value = core::ptr::null_mut();
        if let Some(result) = arguments::<N>(env, info).and_then(f) {
            (api().napi_create_double)(env, result, &mut value);
        }
        value
    }
}

/// Memory of the machine as an ArrayBuffer, which frees nothing.
unsafe extern "C" fn view(env: Env, info: Info) -> Value {
    let mut value = core::ptr::null_mut();
    if let Some([pointer, bytes]) = arguments::<2>(env, info) {
        let status = (api().napi_create_external_arraybuffer)(
            env, pointer as usize as *mut c_void, bytes as usize, None, core::ptr::null_mut(), &mut value,
        );
        if status != 0 {
            (api().napi_throw_error)(env, core::ptr::null(), c"This runtime shows no memory of the machine".as_ptr());
        }
    }
    value
}

/// What a runtime with Node-API calls first.
///
/// # Safety
/// The runtime calls it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: Env, exports: Value) -> Value {
    let api = api();
    for (name, callback) in FUNCTIONS {
        let mut function = core::ptr::null_mut();
        let named = name.as_ptr() as *const c_char;
        (api.napi_create_function)(env, named, name.len() - 1, *callback, core::ptr::null_mut(), &mut function);
        (api.napi_set_named_property)(env, exports, named, function);
    }
    exports
}

#[unsafe(no_mangle)]
pub extern "C" fn node_api_module_get_api_version_v1() -> i32 {
    8
}
`;
