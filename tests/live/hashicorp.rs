//! check_hashicorp_consul against a Consul that requires tokens, check_hashicorp_nomad against Nomad with jobs, and
//! check_hashicorp_vault against Vault, sealed and unsealed, compared with their APIs and tools.

use crate::cache::output;
use crate::golang::{self, Changes};
use crate::server::{Program, free_port, http, json, needs_root, post, wait};
use crate::watched::Watched;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(60);
/// Consul reports complete intervals of ten seconds, and counts its objects every ten seconds.
const TOLD: Duration = Duration::from_secs(60);
const TOKEN: &str = "5f1c0e3a-7f0b-4a31-9d55-0c6a4e1b2d77";
const KEYS: usize = 30;
/// Number of tokens to create in Vault; each has a lease.
const LEASES: usize = 7;

pub fn consul() -> Result<(), String> {
    let own = ["api", "proto-public", "sdk"].map(|name| format!("github.com/hashicorp/consul/{name}"));
    let consul = golang::program(
        "github.com/hashicorp/consul@v1.14.11",
        ".",
        &Changes { neighbours: &own, ..Changes::default() },
    )?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let port = free_port();
    let [names, raft, lan, wan] = [free_port(), free_port(), free_port(), free_port()];
    let config = format!(
        "acl {{\n enabled = true\n default_policy = \"deny\"\n tokens {{\n initial_management = \"{TOKEN}\"\n agent = \"{TOKEN}\"\n }}\n}}\n\
         ports {{\n http = {port}\n dns = {names}\n grpc = -1\n grpc_tls = -1\n server = {raft}\n serf_lan = {lan}\n serf_wan = {wan}\n}}\n"
    );
    fs::write(inside("consul.hcl"), config).unwrap();
    // Uses its API.
    let api = |method: &str, path: &str, body: &str| {
        let (status, text) = post(port, method, &format!("/v1/{path}token={TOKEN}"), body)?;
        (status == 200).then(|| serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    let start = || {
        let mut command = Command::new(&consul);
        command.args(["agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-node", "n1", "-config-file"]);
        let server = Program::start(command.arg(inside("consul.hcl")), &inside("log"));
        wait("Consul", START, || {
            let nodes = api("GET", "catalog/nodes?", "").unwrap_or_default();
            nodes.as_array().is_some_and(|nodes| nodes.len() == 1)
        });
        server
    };
    let server = start();
    let place = format!("telemetery: http://127.0.0.1:{port}/v1/agent/metrics\n");
    let section = format!(
        "[Hashicorp-Consul]\n{place}token: {TOKEN}\n[Hashicorp-Consul:nobody]\n{place}token: {}\n",
        TOKEN.replace('7', "8")
    );
    let watched = Watched::start("check_hashicorp_consul", "hashicorp.ini", &section);
    assert_eq!(watched.now("consul_server_isleader", &[]), 1.0);
    // In its first seconds Consul may know no token at all.
    let is_told = |line: &String| line.contains("nobody: ") && line.contains("agent:read");
    wait("a line about the token that is none", START, || watched.said().iter().any(is_told));
    assert!(!watched.said().concat().contains("5f1c0e3a"), "{:#?}", watched.said());
    drop(watched);

    let watched = Watched::start(
        "check_hashicorp_consul",
        "hashicorp.ini",
        &format!("[Hashicorp-Consul]\n{place}token: {TOKEN}\n"),
    );
    for key in 0..KEYS {
        assert_eq!(api("PUT", &format!("kv/live/{key}?"), "value"), Some(Value::Bool(true)));
    }
    assert!(api("PUT", "agent/service/register?", "{\"Name\": \"web\", \"Port\": 80}").is_some());
    let length = |path: &str| -> f64 {
        let told = api("GET", path, "").unwrap();
        told.as_array().map(Vec::len).or(told.as_object().map(|all| all.len())).unwrap() as f64
    };
    // What it holds, by the numbers of its API.
    for (metric, path) in [
        ("consul_state_kv_entries", "kv/live/?keys=true&"),
        ("consul_state_services", "catalog/services?"),
        ("consul_state_nodes", "catalog/nodes?"),
        ("consul_members_servers", "agent/members?"),
    ] {
        let own = length(path);
        wait(&format!("{metric} {own}"), TOLD, || {
            watched.points(metric, &[]).last().is_some_and(|(_, value)| *value == own)
        });
    }
    assert_eq!(length("kv/live/?keys=true&"), KEYS as f64);
    assert_eq!(watched.now("consul_autopilot_healthy", &[]), 1.0);

    // The same numbers as on its page, of which the last interval is written.
    let gauge = |name: &str| -> Option<f64> {
        let page = api("GET", "agent/metrics?", "")?;
        page["Gauges"].as_array()?.iter().find(|gauge| gauge["Name"] == name)?["Value"].as_f64()
    };
    for (metric, name) in [
        ("consul_raft_last_index", "consul.raft.last_index"),
        ("consul_runtime_sys_bytes", "consul.runtime.sys_bytes"),
        ("consul_runtime_num_goroutines", "consul.runtime.num_goroutines"),
    ] {
        watched.until(metric, &[], |value| gauge(name) == Some(value));
    }
    // Writes are timed: one interval has those of this run.
    for _ in 0..KEYS {
        assert_eq!(api("PUT", "kv/live/again?", "value"), Some(Value::Bool(true)));
    }
    let most = |metric: &str| watched.points(metric, &[]).into_iter().map(|(_, value)| value).fold(0.0, f64::max);
    wait("writes that are timed", TOLD, || most("consul_kvs_apply_mean") > 0.0 && most("consul_raft_apply") > 1.0);
    assert!(most("consul_kvs_apply_max") >= most("consul_kvs_apply_mean"));
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    assert_eq!(http(port, "GET", "/v1/agent/metrics").map(|(status, _)| status), Some(403), "asked without a token");
    watched.outage("consul_runtime_alloc_bytes", &[], server, Program::end, start);
    Ok(())
}

pub fn nomad() -> Result<(), String> {
    needs_root("to run a client of Nomad")?;
    let own = ["github.com/hashicorp/nomad/api".to_string()];
    // No version of its module api that it names has these fields.
    let without = [
        ("command/agent/job_endpoint.go", "Address:           s.Address,"),
        ("command/node_status.go", "out[i+1] += fmt.Sprintf(\"|%s\", node.Attributes[\"os.name\"])"),
    ];
    let changes = Changes { without: &without, neighbours: &own, ..Changes::default() };
    let program = golang::program("github.com/hashicorp/nomad@v1.3.1", ".", &changes)?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let [port, rpc, serf] = [free_port(), free_port(), free_port()];
    let config = format!(
        "name = \"n1\"\ndata_dir = \"{}\"\nbind_addr = \"127.0.0.1\"\ndisable_update_check = true\n\
         ports {{\n http = {port}\n rpc = {rpc}\n serf = {serf}\n}}\n\
         advertise {{\n http = \"127.0.0.1\"\n rpc = \"127.0.0.1\"\n serf = \"127.0.0.1\"\n}}\n\
         server {{\n enabled = true\n bootstrap_expect = 1\n}}\n\
         client {{\n enabled = true\n servers = [\"127.0.0.1:{rpc}\"]\n network_interface = \"lo\"\n cpu_total_compute = 4000\n\
         options = {{\n \"fingerprint.denylist\" = \"env_aws,env_gce,env_azure,env_digitalocean,consul,vault,cni\"\n \
         \"driver.allowlist\" = \"raw_exec\"\n }}\n}}\n\
         plugin \"raw_exec\" {{\n config {{\n enabled = true\n }}\n}}\n\
         telemetry {{\n publish_allocation_metrics = true\n publish_node_metrics = true\n collection_interval = \"1s\"\n}}\n",
        inside("data").display()
    );
    fs::write(inside("nomad.hcl"), config).unwrap();
    let ask = |path: &str| json(port, "GET", path, "").filter(|(status, _)| *status == 200).map(|(_, told)| told);
    let start = || {
        let mut command = Command::new(&program);
        command.args(["agent", "-config"]).arg(inside("nomad.hcl")).env_remove("AWS_CA_BUNDLE");
        let server = Program::start(&mut command, &inside("log"));
        wait("a ready node of Nomad", START, || {
            ask("/v1/nodes").is_some_and(|nodes| nodes.pointer("/0/Status").is_some_and(|status| status == "ready"))
        });
        server
    };
    let server = start();
    let section = format!("[Hashicorp-Nomad]\ntelemetery: http://127.0.0.1:{port}/v1/metrics\n");
    let watched = Watched::start("check_hashicorp_nomad", "hashicorp.ini", &section);
    watched.until("nomad_is_leader", &[], |value| value == 1.0);
    watched.until("nomad_heartbeat_active", &[], |value| value == 1.0);
    watched.until("nomad_client_allocations_running", &[], |value| value == 0.0);
    let free = watched.now("nomad_client_unallocated_cpu", &[]);

    // Two allocations of a service, and a run that completes; a slash in a job's name becomes `_`.
    let run = |id: &str, kind: &str, count: usize, words: &str| {
        let job = format!(
            "{{\"Job\": {{\"ID\": \"{id}\", \"Name\": \"{id}\", \"Type\": \"{kind}\", \"Datacenters\": [\"dc1\"], \"TaskGroups\": [{{\
             \"Name\": \"g\", \"Count\": {count}, \"EphemeralDisk\": {{\"SizeMB\": 150}}, \"Tasks\": [{{\"Name\": \"t\", \"Driver\": \"raw_exec\", \
             \"Config\": {{\"command\": \"/bin/sleep\", \"args\": [\"{words}\"]}}, \"Resources\": {{\"CPU\": 100, \"MemoryMB\": 32}}}}]}}]}}}}"
        );
        assert_eq!(json(port, "PUT", "/v1/jobs", &job).map(|(status, _)| status), Some(200), "{id}");
    };
    run("shop/web", "service", 2, "600");
    run("once", "batch", 1, "0.1");
    let web = [("nomad_jobname", "shop_web")];
    watched.until("nomad_job_summary_running", &web, |value| value == 2.0);
    watched.until("nomad_job_summary_complete", &[("nomad_jobname", "once")], |value| value == 1.0);
    watched.until("nomad_client_allocations_running", &[], |value| value == 2.0);
    watched.until("nomad_client_allocated_cpu", &[], |value| value == 200.0);
    watched.until("nomad_client_allocated_memory", &[], |value| value == 64.0);
    watched.until("nomad_client_unallocated_cpu", &[], |value| value == free - 200.0);
    watched.until("nomad_client_allocs_memory_rss", &web, |value| value > 0.0);
    // The same as its API says.
    let summary = ask("/v1/job/shop%2Fweb/summary").unwrap();
    assert_eq!(summary.pointer("/Summary/g/Running").and_then(Value::as_f64), Some(2.0), "{summary}");
    let jobs = ask("/v1/jobs").unwrap();
    let of = |state: &str| jobs.as_array().unwrap().iter().filter(|job| job["Status"] == state).count() as f64;
    for (metric, state) in [("nomad_job_status_running", "running"), ("nomad_job_status_dead", "dead")] {
        watched.until(metric, &[], |value| value == of(state));
    }
    // More than the node has: the evaluation waits.
    run("big", "service", 100, "600");
    watched.until("nomad_blocked_evals_total_blocked", &[], |value| value == 1.0);
    watched.until("nomad_job_summary_queued", &[("nomad_jobname", "big")], |value| value > 0.0);

    // Tasks outlive the agent: they are ended first.
    for id in ["shop%2Fweb", "once", "big"] {
        assert!(json(port, "DELETE", &format!("/v1/job/{id}?purge=true"), "").is_some_and(|(status, _)| status == 200));
    }
    watched.until("nomad_client_allocations_running", &[], |value| value == 0.0);
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    let _server = watched.outage("nomad_runtime_alloc_bytes", &[], server, Program::end, start);
    watched.until("nomad_is_leader", &[], |value| value == 1.0);
    Ok(())
}

pub fn vault() -> Result<(), String> {
    let own = ["api", "api/auth/approle", "api/auth/kubernetes", "api/auth/userpass", "sdk"]
        .map(|name| format!("github.com/hashicorp/vault/{name}"));
    // The published versions of its own modules lack what these lines use: the documentation of a path, and options of
    // the agent.
    let agent = ["sinkClient", "proxyClient", "ahClient"];
    let agent = agent
        .map(|client| [format!("{client}.SetMaxIdleConnections(-1)"), format!("{client}.SetDisableKeepAlives(true)")]);
    let mut without = vec![("vault/logical_system_paths.go", "TakesArbitraryInput: true,")];
    without.extend(agent.iter().flatten().map(|line| ("command/agent.go", &**line)));
    let changes = Changes { without: &without, neighbours: &own, ..Changes::default() };
    let program = golang::program("github.com/hashicorp/vault@v1.11.3", ".", &changes)?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let (port, statsd) = (free_port(), free_port());
    // With a second telemetry sink, gauges have the host name in their names.
    let config = format!(
        "storage \"file\" {{\n path = \"{}\"\n}}\nlistener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true\n}}\n\
         disable_mlock = true\ntelemetry {{\n statsd_address = \"127.0.0.1:{statsd}\"\n}}\n",
        inside("data").display()
    );
    fs::write(inside("vault.hcl"), config).unwrap();
    fs::write(inside("metrics.hcl"), "path \"sys/metrics\" {\n capabilities = [\"read\"]\n}\n").unwrap();
    // Runs Vault's own tool with this token.
    let tool = |token: &str, words: &[&str]| -> String {
        let mut command = Command::new(&program);
        let place = format!("http://127.0.0.1:{port}");
        command.args(words).env("VAULT_ADDR", place).env("VAULT_TOKEN", token).env("HOME", folder.path());
        output(&mut command).unwrap()
    };
    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let start = || {
        let mut command = Command::new(&program);
        let server = Program::start(command.arg("server").arg("-config").arg(inside("vault.hcl")), &inside("log"));
        wait("Vault", START, || http(port, "GET", "/v1/sys/health").is_some());
        server
    };
    let server = start();
    let keys = json(tool("", &["operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"]));
    let text = |place: &str| keys.pointer(place).and_then(Value::as_str).unwrap();
    let (key, root) = (text("/unseal_keys_b64/0"), text("/root_token"));
    let unseal = || {
        tool("", &["operator", "unseal", key]);
        wait("Vault unsealed", START, || http(port, "GET", "/v1/sys/health").is_some_and(|(status, _)| status == 200));
    };
    unseal();
    tool(root, &["policy", "write", "metrics", inside("metrics.hcl").to_str().unwrap()]);
    let new = |policy: &str| json(tool(root, &["token", "create", &format!("-policy={policy}"), "-format=json"]));
    let token = new("metrics").pointer("/auth/client_token").and_then(Value::as_str).unwrap().to_string();

    // A sealed Vault checks no token, and only reports that it is sealed.
    tool(root, &["operator", "seal"]);
    let place = format!("telemetery: http://127.0.0.1:{port}/v1/sys/metrics\n");
    let section =
        format!("[Hashicorp-Vault]\n{place}token: {token}\n[Hashicorp-Vault:nobody]\n{place}token: hvs.nobody\n");
    let watched = Watched::start("check_hashicorp_vault", "hashicorp.ini", &section);
    let of_nobody = [("instance", "nobody")];
    for tags in [&[][..], &of_nobody] {
        assert_eq!((watched.now("vault_core_unsealed", tags), watched.now("vault_core_active", tags)), (0.0, 0.0));
    }
    assert!(watched.points("vault_runtime_alloc_bytes", &[]).is_empty());
    unseal();
    for tags in [&[][..], &of_nobody] {
        watched.until("vault_core_unsealed", tags, |value| value == 1.0);
        watched.until("vault_core_active", tags, |value| value == 1.0);
    }
    let is_told =
        |line: &String| line.contains("nobody: ") && line.contains("HTTP 403") && line.contains("sys/metrics");
    wait("a line about the token that is none", START, || watched.said().iter().any(is_told));
    assert!(!watched.said().concat().contains("hvs."), "{:#?}", watched.said());
    drop(watched);

    let section = format!("[Hashicorp-Vault]\n{place}token: {token}\n");
    let watched = Watched::start("check_hashicorp_vault", "hashicorp.ini", &section);
    tool(root, &["audit", "enable", "file", &format!("file_path={}", inside("audit").display())]);
    for _ in 0..LEASES {
        new("default");
    }
    // Every token except the root token has a lease.
    let accessors = json(tool(root, &["list", "-format=json", "auth/token/accessors"]));
    let leases = accessors.as_array().unwrap().len() as f64 - 1.0;
    wait(&format!("{leases} leases"), TOLD, || watched.now("vault_expire_num_leases", &[]) == leases);
    // An audit entry was written for each request, and none failed.
    tool(root, &["list", "auth/token/accessors"]);
    let most = |metric: &str| watched.points(metric, &[]).into_iter().map(|(_, value)| value).fold(f64::NAN, f64::max);
    wait("requests, and what was written of them", TOLD, || {
        most("vault_core_handle_request") >= 1.0 && most("vault_audit_log_request_failure") >= 0.0
    });
    assert_eq!(most("vault_audit_log_request_failure"), 0.0);
    assert!(most("vault_core_handle_request_max") >= most("vault_core_handle_request_mean"));
    let goroutines = watched.now("vault_runtime_num_goroutines", &[]);
    assert!((10.0..5000.0).contains(&goroutines), "{goroutines}");
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    let start_again = || {
        let server = start();
        unseal();
        server
    };
    let _server = watched.outage("vault_core_active", &[], server, Program::end, start_again);
    watched.now("vault_runtime_alloc_bytes", &[]);
    Ok(())
}
