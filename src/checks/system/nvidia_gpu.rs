//! nvidia_gpu: memory, load, temperature, clocks and power of NVIDIA GPUs.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::nvml::{LIBRARY, Library};
use crate::model::error::Result;
use crate::model::point::Tags;
use crate::model::table::{Field, Row, counter, gauge};

pub static SPEC: Spec = Spec {
    name: "check_nvidia_gpu",
    purpose: "memory, load, temperature, clocks and power of NVIDIA boards",
    check_type: "gpu",
    conf: CONF,
    section: "NVIDIA",
    keys: &[&["library"]],
    runs: Runs::Own,
    fields: &[NUMBERS, &[INFO]],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("GPU").of(&["nvidia_gpu_utilizaton"]).each("gpu").full(100.0).first(120),
    Chart::new("GPU memory in use").of(&["nvidia_memory_used"]).each("gpu").first(121),
    Chart::new("Memory free").of(&["nvidia_memory_free"]).each("gpu"),
    Chart::new("Memory read or written").of(&["nvidia_memory_utilizaton"]).each("gpu").full(100.0),
    Chart::new("Temperature").of(&["nvidia_gpu_temperature"]).each("gpu"),
    Chart::new("Power").of(&["nvidia_power_usage"]).each("gpu"),
    Chart::new("Power limit").of(&["nvidia_power_limit"]).each("gpu"),
    Chart::new("Fan").of(&["nvidia_fan_speed"]).each("gpu").full(100.0),
    Chart::new("Processes").of(&["nvidia_cuda_processes", "nvidia_graphic_processes"]),
    Chart::new("Video").of(&["nvidia_encoder_utilization", "nvidia_decoder_utilization"]).full(100.0),
    Chart::new("Clocks").of(&["nvidia_gpu_clock_info", "nvidia_sm_clock_info", "nvidia_memory_clock_info"]),
    Chart::new("Memory errors").of(&["nvidia_ecc_errors_corrected", "nvidia_ecc_errors_uncorrected"]),
    Chart::new("Reasons to run slower").of(&["nvidia_throttle_reasons"]).each("gpu"),
    Chart::new("Lanes to the host").of(&["nvidia_pcie_width"]).each("gpu"),
    Chart::new("Generation of the link to the host").of(&["nvidia_pcie_generation"]).each("gpu"),
];

/// A field that not every GPU has, without learned alerts.
const fn quiet(field: Field) -> Field {
    field.int().optional().reaction(-3)
}

/// Some names are misspelled, for compatibility with the original.
const NUMBERS: &[Field] = &[
    quiet(gauge("memory_total", "nvidia_memory_total", "bytes")),
    quiet(gauge("memory_free", "nvidia_memory_free", "bytes").part_of("memory_total")),
    quiet(gauge("memory_used", "nvidia_memory_used", "bytes").part_of("memory_total")),
    quiet(gauge("memory_reserved", "nvidia_memory_reserved", "bytes").part_of("memory_total")),
    quiet(gauge("graphics_processes", "nvidia_graphic_processes", "processes")),
    quiet(gauge("compute_processes", "nvidia_cuda_processes", "processes")),
    quiet(gauge("gpu_share", "nvidia_gpu_utilizaton", "%").most(100.0)),
    quiet(gauge("memory_share", "nvidia_memory_utilizaton", "%").most(100.0)),
    quiet(gauge("encoder_share", "nvidia_encoder_utilization", "%").most(100.0)),
    quiet(gauge("decoder_share", "nvidia_decoder_utilization", "%").most(100.0)),
    quiet(gauge("temperature", "nvidia_gpu_temperature", "°C")),
    quiet(gauge("graphics_clock", "nvidia_gpu_clock_info", "MHz")),
    quiet(gauge("sm_clock", "nvidia_sm_clock_info", "MHz")),
    quiet(gauge("memory_clock", "nvidia_memory_clock_info", "MHz")),
    quiet(gauge("bar1_total", "nvidia_b1_memory_total", "bytes")),
    quiet(gauge("bar1_free", "nvidia_b1_memory_free", "bytes").part_of("bar1_total")),
    quiet(gauge("bar1_used", "nvidia_b1_memory_used", "bytes").part_of("bar1_total")),
    quiet(gauge("fan", "nvidia_fan_speed", "%")),
    quiet(gauge("power", "nvidia_power_usage", "mW")),
    quiet(gauge("power_limit", "nvidia_power_limit", "mW")),
    quiet(gauge("pcie_generation", "nvidia_pcie_generation", "state")),
    quiet(gauge("pcie_width", "nvidia_pcie_width", "lanes")),
    quiet(gauge("throttle_reasons", "nvidia_throttle_reasons", "bits")),
    quiet(counter("ecc_corrected", "nvidia_ecc_errors_corrected", "errors")),
    quiet(counter("ecc_uncorrected", "nvidia_ecc_errors_uncorrected", "errors")),
];

const INFO: Field = gauge("", "nvidia_gpu_info", "0 or 1").int().reaction(-3);

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let name = section.text("library").filter(|name| !name.is_empty()).unwrap_or(LIBRARY);
    Ok(Box::new(NvidiaGpu { name: name.into(), library: None }))
}

struct NvidiaGpu {
    name: String,
    library: Option<Library>,
}

impl Check for NvidiaGpu {
    fn run(&mut self, _: &Context, out: &mut Out) -> Result<()> {
        let library = match self.library.take() {
            Some(library) => library,
            None => Library::open(&self.name)?,
        };
        let count = library.count()?;
        for number in 0..count {
            let item = number.to_string();
            match library.gpu(number) {
                Ok(gpu) => {
                    let tags = Tags::one("gpu", &item);
                    out.pick(&Row::of(gpu.numbers), NUMBERS, &tags);
                    let who = [("gpu", &*item), ("uuid", &gpu.uuid), ("product", &gpu.product)];
                    out.put(&INFO, 1_u64, &who.into_iter().filter(|(_, text)| !text.is_empty()).collect());
                    if let Some(problem) = gpu.problem {
                        out.fault_of(&format!("gpu {item}"), problem);
                    }
                }
                Err(error) => out.fault_of(&format!("gpu {item}"), error.to_string()),
            }
        }
        self.library = Some(library);
        Ok(())
    }
}
