//! Names of the counters of backends in what `varnishstat -j` writes (Varnish documentation, varnish-counters, "VBE").

/// The VCL of the last backend: varnishstat writes them as they came, an order that the JSON reader does not keep.
pub fn newest_vcl(text: &str) -> &str {
    let last = text.rsplit_once("\"VBE.").and_then(|(_, rest)| rest.split_once('"'));
    last.and_then(|(name, _)| backend(name)).map_or("", |(vcl, ..)| vcl)
}

/// VCL, backend and counter of `boot.default.req`; `default(127.0.0.1,,81).req`, as it was in 4.0, has no VCL.
pub fn backend(name: &str) -> Option<(&str, &str, &str)> {
    let (whole, counter) = name.rsplit_once('.')?;
    match whole.split_once('.') {
        Some((vcl, backend)) if !vcl.contains('(') => Some((vcl, backend, counter)),
        _ => Some(("", whole.split('(').next()?, counter)),
    }
}
