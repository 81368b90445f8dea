//! NVIDIA's management library (NVML), loaded at run time from the installed driver. The only user of nvml-wrapper.

use crate::model::error::{Error, Result};
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::ffi::OsStr;

/// The name under which every driver installs it.
pub const LIBRARY: &str = "libnvidia-ml.so.1";

/// The library. It is initialised once, because initialising it wakes sleeping GPUs.
pub struct Library(Nvml);

/// The values of one GPU.
pub struct Gpu {
    pub uuid: String,
    pub product: String,
    /// The values that this GPU has, by cell.
    pub numbers: Vec<(&'static str, u64)>,
    /// The first error, other than a value that this GPU does not have.
    pub problem: Option<String>,
}

type Numbers = Vec<(&'static str, u64)>;
type Group = fn(&Device, &mut Numbers) -> Result<(), NvmlError>;

/// The queries to a GPU. They are independent: if one is not supported, the others still count.
const GROUPS: &[Group] = &[
    |gpu, to| {
        let memory = gpu.memory_info()?;
        // NVML's own `used` leaves out the memory reserved by the driver.
        let used = memory.total.saturating_sub(memory.free);
        to.extend([("memory_total", memory.total), ("memory_free", memory.free), ("memory_used", used)]);
        to.push(("memory_reserved", memory.reserved));
        Ok(())
    },
    |gpu, to| one(to, "graphics_processes", gpu.running_graphics_processes_count()),
    |gpu, to| one(to, "compute_processes", gpu.running_compute_processes_count()),
    |gpu, to| {
        let share = gpu.utilization_rates()?;
        to.extend([("gpu_share", share.gpu.into()), ("memory_share", share.memory.into())]);
        Ok(())
    },
    |gpu, to| one(to, "encoder_share", gpu.encoder_utilization().map(|share| share.utilization)),
    |gpu, to| one(to, "decoder_share", gpu.decoder_utilization().map(|share| share.utilization)),
    |gpu, to| one(to, "temperature", gpu.temperature(TemperatureSensor::Gpu)),
    |gpu, to| one(to, "graphics_clock", gpu.clock_info(Clock::Graphics)),
    |gpu, to| one(to, "sm_clock", gpu.clock_info(Clock::SM)),
    |gpu, to| one(to, "memory_clock", gpu.clock_info(Clock::Memory)),
    |gpu, to| {
        let window = gpu.bar1_memory_info()?;
        to.extend([("bar1_total", window.total), ("bar1_free", window.free), ("bar1_used", window.used)]);
        Ok(())
    },
    |gpu, to| one(to, "fan", gpu.fan_speed(0)),
    |gpu, to| one(to, "power", gpu.power_usage()),
    |gpu, to| one(to, "power_limit", gpu.enforced_power_limit()),
    |gpu, to| one(to, "pcie_generation", gpu.current_pcie_link_gen()),
    |gpu, to| one(to, "pcie_width", gpu.current_pcie_link_width()),
    |gpu, to| one(to, "throttle_reasons", gpu.current_throttle_reasons().map(|reasons| reasons.bits())),
    |gpu, to| one(to, "ecc_corrected", gpu.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile)),
    |gpu, to| one(to, "ecc_uncorrected", gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)),
];

fn one<N: Into<u64>>(to: &mut Numbers, cell: &'static str, number: Result<N, NvmlError>) -> Result<(), NvmlError> {
    to.push((cell, number?.into()));
    Ok(())
}

impl Library {
    /// Loads the library by name or path.
    ///
    /// # Errors
    /// [`Error::Absent`] if there is no driver.
    pub fn open(name: &str) -> Result<Library> {
        let opened = Nvml::builder().lib_path(OsStr::new(name)).init();
        opened.map(Library).map_err(|error| match error {
            NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
                Error::Absent(format!("there is no NVIDIA driver on this host: {name} cannot be loaded"))
            }
            NvmlError::DriverNotLoaded => Error::Absent("the NVIDIA driver is installed and not loaded".into()),
            NvmlError::LibRmVersionMismatch => Error::daemon(
                "the NVIDIA driver that runs is not the one that is installed: load it anew, or restart this machine",
            ),
            error => Error::daemon(format!("{name}: {error}")),
        })
    }

    /// The number of GPUs.
    ///
    /// # Errors
    /// The driver was unloaded or replaced; the library must be opened again.
    pub fn count(&self) -> Result<u32> {
        self.0.device_count().map_err(|error| Error::daemon(format!("the NVIDIA driver does not answer: {error}")))
    }

    /// Reads the GPU with this number.
    ///
    /// # Errors
    /// The GPU does not respond, for example because it fell off the bus.
    pub fn gpu(&self, number: u32) -> Result<Gpu> {
        let device = self.0.device_by_index(number).map_err(|error| Error::daemon(error.to_string()))?;
        let (uuid, product) = (device.uuid().unwrap_or_default(), device.name().unwrap_or_default());
        let mut gpu = Gpu { uuid, product, numbers: Numbers::new(), problem: None };
        for ask in GROUPS {
            match ask(&device, &mut gpu.numbers) {
                Ok(())
                | Err(
                    NvmlError::NotSupported
                    | NvmlError::NoPermission
                    | NvmlError::FailedToLoadSymbol(_)
                    | NvmlError::FunctionNotFound,
                ) => {}
                Err(error) => _ = gpu.problem.get_or_insert(error.to_string()),
            }
        }
        Ok(gpu)
    }
}
